"""`python -m hpo.init DIR`: writes a project with a model, data, a step and a search of its own, ready to run."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hpo.errors import HpoError
from hpo.init.skeleton import EXPERIMENT, package_name, write

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the project, say what was written and what to try; the exit status, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m hpo.init", description=_DESCRIPTION)
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="where the project is written; made if need be"
    )
    parser.add_argument("--package", metavar="NAME", help="the Python package's name (default: that of DIR)")
    options = parser.parse_args(arguments)
    directory: Path = options.directory
    try:
        package = package_name(directory, options.package)
        written = write(directory, package)
    except HpoError as error:
        print(f"hpo.init: {error}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(f"hpo.init: cannot write to {directory}: {error.strerror}: {error.filename}", file=sys.stderr)
        return BAD_INPUT
    print(f"wrote the package {package} and its configuration to {directory}:")
    for path in written:
        print(f"  {path}")
    folder = shlex.quote(str(directory))
    print("search, or train once with the configured values:")
    print(f"  cd {folder} && python -m hpo +experiment={EXPERIMENT} --multirun")
    print(f"  cd {folder} && python -m hpo +experiment={EXPERIMENT}")
    return 0


_DESCRIPTION = """Writes the skeleton of a project: a package with a model, a data module and a training step,
the YAML that names them, and a search. It runs as it is written; nothing that exists is overwritten."""

if __name__ == "__main__":
    sys.exit(main())
