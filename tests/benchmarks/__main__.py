"""Runs every benchmark, or those that are named: `python -m tests.benchmarks noop loop`."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "noop",
    "ragged",
    "torch_trials",
    "loop",
    "data",
    "memory",
    "reports",
    "scale",
    "slots",
    "asha",
    "recovery",
    "analysis",
    "dashboard",
    "ray",
    "slurm",
)


def main() -> None:
    wanted = sys.argv[1:] or NAMES
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    for name in wanted:
        importlib.import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main()
