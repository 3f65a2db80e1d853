"""Draws terminal.svg, the README's picture, from a real run: `python docs/picture.py [override ...]`.

Run it where the command that is shown would be run, for example beside a folder `mnist` with MNIST's files:
`python path/to/docs/picture.py data_config.root=mnist`. It shows the table as it is half-way, and the end.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from hpo.progress.render import render
from hpo.progress.saved import snapshot_of
from hpo.progress.snapshot import Snapshot

_COMMAND = ("-m", "hpo", "+experiment=mnist", "--multirun", "total_trials=12")
_WIDTH, _HEIGHT = 112, 24
_PICTURE = Path(__file__).with_name("terminal.svg")


def main() -> None:
    arguments = (*_COMMAND, *sys.argv[1:])
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        half_way = _half_way(Path(re.search(r" in (\S+):", first)[1]))  # type: ignore[index]
        said = process.stdout.read().splitlines()
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(f"$ python {shlex.join(arguments)}", highlight=False, style="bold")
    console.print(render(half_way, width=_WIDTH, height=_HEIGHT))
    console.print("\n...", style="dim")
    # the summary is what follows the last empty line
    for line in said[len(said) - said[::-1].index("") :]:
        console.print(line, highlight=False, overflow="fold", markup=False)
    console.print()  # the last line's descenders would be cut off
    console.save_svg(str(_PICTURE), title="hpo")


def _half_way(directory: Path) -> Snapshot:
    """The experiment when half of its trials have ended, in the midst of others."""
    while True:
        taken = snapshot_of(directory, said="", is_running=True, max_running=_HEIGHT)
        fractions = [trial.fraction or 0.0 for trial in taken.running]
        is_half = taken.total is not None and taken.standing.num_done >= taken.total / 2
        if is_half and fractions and min(fractions) > 0.2 and max(fractions) < 0.9:
            return taken
        time.sleep(0.05)


if __name__ == "__main__":
    main()
