"""A scheduler to be killed: runs one trial that hangs in every way. Arguments: start method, directory."""

from __future__ import annotations

import sys
from pathlib import Path

from hpo.records import TrialSpec
from tests.launchers import tasks
from tests.launchers.applications import all_events, opened


def main() -> None:
    start_method, directory = sys.argv[1], Path(sys.argv[2])
    options = (f"hydra.launcher.start_method={start_method}", f"+ready={directory / 'ready'}")
    with opened("local", tasks.hang_in_every_way, directory, *options) as launcher:
        launcher.submit(TrialSpec(0, overrides=(f"+ready={directory / 'ready'}",)))
        all_events(launcher, 1)


if __name__ == "__main__":
    main()
