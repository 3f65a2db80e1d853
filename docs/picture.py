"""Draws terminal.svg, the README's picture, from a real run: `python docs/picture.py [override ...]`.

Run it where the command that is shown would be run, for example beside a folder `mnist` with MNIST's files:
`python path/to/docs/picture.py data_config.root=mnist`.
"""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console

_COMMAND = ("-m", "hpo", "+experiment=mnist", "--multirun", "total_trials=6")
_WIDTH = 112
_PICTURE = Path(__file__).with_name("terminal.svg")


def main() -> None:
    done = subprocess.run([sys.executable, *_COMMAND, *sys.argv[1:]], check=True, capture_output=True, text=True)
    console = Console(record=True, width=_WIDTH, file=io.StringIO())
    console.print(f"$ python {shlex.join((*_COMMAND, *sys.argv[1:]))}", highlight=False, style="bold")
    for line in done.stdout.splitlines():
        console.print(line, highlight=False, overflow="fold", markup=False)
    console.print()  # the last line's descenders would be cut off
    console.save_svg(str(_PICTURE), title="hpo")


if __name__ == "__main__":
    main()
