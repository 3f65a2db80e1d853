"""Draws terminal.svg, the README's picture, from a real run: `python docs/picture.py [override ...]`."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from rich.console import Console

_COMMAND = ("-m", "hpo", "+experiment=mnist", "--multirun", "total_trials=6")
_WIDTH = 150
_PICTURE = Path(__file__).with_name("terminal.svg")


def main() -> None:
    done = subprocess.run([sys.executable, *_COMMAND, *sys.argv[1:]], check=True, capture_output=True, text=True)
    console = Console(record=True, width=_WIDTH, file=io.StringIO())
    console.print(f"$ python {' '.join(_COMMAND)}", highlight=False, style="bold")
    for line in done.stdout.splitlines():
        console.print(line, highlight=False, overflow="ellipsis", no_wrap=True)
    console.save_svg(str(_PICTURE), title="hpo")


if __name__ == "__main__":
    main()
