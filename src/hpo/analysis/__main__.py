"""`python -m hpo.analysis DIR [DIR ...]`: figures and a report of what is on disk."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from hpo.errors import ConfigError, HpoError
from hpo.terminal import show


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the files that were written; exits with status 2 where there is no experiment, or no extra."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        from hpo.analysis.extra import check_extra

        check_extra()
        from hpo.analysis.run import analyse

        names = _renamed(given.rename)
        done = analyse(given.directories, output=given.output, attribute_name_remap=names, metric_name_remap=names)
    except HpoError as error:
        print(f"hpo: {error}", file=sys.stderr)
        sys.exit(2)
    for note in done.notes:
        show(f"note: {note}")
    for path in done.files:
        show(str(path))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hpo.analysis",
        description="Figures (PNG and SVG) and report.html of experiments, in analysis/ of the first one.",
    )
    parser.add_argument(
        "directories", nargs="+", type=Path, metavar="DIR", help="<experiment_dir>/experiment_<experiment_id>"
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="KEY=LABEL",
        help="what a parameter or metric is called; or a YAML file of such pairs; may be repeated",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="another folder for what is written")
    return parser


def _renamed(given: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for each in given:
        key, found, label = each.partition("=")
        names |= {key: label} if found else _of_file(Path(each))
    return names


def _of_file(path: Path) -> dict[str, str]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        first_line = str(error).splitlines()[0]
        raise ConfigError(f"--rename {path} is neither KEY=LABEL nor a YAML file: {first_line}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"--rename {path}: a mapping of keys to labels is needed")
    return {str(key): str(label) for key, label in found.items()}


if __name__ == "__main__":
    main()
