"""The files of a new project, made from those in the folder `project`."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

from hpo.errors import ConfigError

EXPERIMENT = "spirals"
"""The experiment that the skeleton has."""

_FOLDER = "project"
_SUFFIX = ".template"  # so that nothing takes them for modules of hpo's own
_PACKAGE_FOLDER = "package"
_PLACEHOLDER = "__PACKAGE__"
_TAKEN = ("conf", "experiments", "__main__")  # folders beside the package, and what is running


def package_name(directory: Path, wanted: str | None = None) -> str:
    """`wanted`, or the directory's name as an identifier.

    Raises ConfigError for what is none, and for the name of a module that the package would hide.
    """
    name = wanted if wanted is not None else _identifier(directory.resolve().name)
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigError(
            f"{name!r} cannot be a package's name: take letters, digits and _, as in --package my_net"
        )
    if name in _TAKEN or _is_module(name):
        raise ConfigError(
            f"a package {name} would hide what has that name already; give it another one: --package my_{name}"
        )
    return name


def write(directory: Path, package: str) -> list[Path]:
    """Write the skeleton; its files, relative to `directory`.

    Raises ConfigError, and writes nothing, where any of them exists.
    """
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is a file; name a folder, which is made if need be")
    contents = _contents(package)
    in_the_way = [path for path in contents if _is_blocked(directory, path)]
    if in_the_way:
        listed = "".join(f"\n  {path}" for path in in_the_way)
        raise ConfigError(f"nothing is overwritten, and {directory} has already:{listed}")
    for path, text in contents.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        with (directory / path).open("x", encoding="utf-8") as file:
            file.write(text)
    return list(contents)


def _identifier(name: str) -> str:
    """`My-net 2` as `my_net_2`."""
    cleaned = re.sub(r"\W+", "_", name.lower()).strip("_")
    if not cleaned:
        return "my_project"
    return f"_{cleaned}" if cleaned[0].isdigit() or keyword.iskeyword(cleaned) else cleaned


def _is_module(name: str) -> bool:
    """Whether `import name` gives something, other than what lies where the command runs."""
    if name in sys.stdlib_module_names:
        return True
    spec = find_spec(name)
    if spec is None or spec.origin is None:  # a folder without __init__.py has no origin
        return False
    return Path.cwd() not in Path(spec.origin).parents[:2]


def _contents(package: str) -> Mapping[Path, str]:
    """Path below the project's directory -> text, in the order of their names."""
    contents = {}
    for path, file in _templates(files("hpo.init") / _FOLDER, Path()):
        parts = (package if part == _PACKAGE_FOLDER else part for part in path.parts)
        text = file.read_text(encoding="utf-8").replace(_PLACEHOLDER, package)
        contents[Path(*parts).with_suffix("")] = text
    return dict(sorted(contents.items()))


def _templates(folder: Traversable, below: Path) -> list[tuple[Path, Traversable]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _templates(entry, below / entry.name)
        elif entry.name.endswith(_SUFFIX):
            found.append((below / entry.name, entry))
    return found


def _is_blocked(directory: Path, path: Path) -> bool:
    """Whether the file exists, or a file stands where one of its folders would."""
    folders = [directory / parent for parent in path.parents]
    return (directory / path).exists() or any(folder.exists() and not folder.is_dir() for folder in folders)
