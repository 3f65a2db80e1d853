"""The packages of the extra `analysis`."""

from __future__ import annotations

from importlib.util import find_spec

from hpo.errors import HpoError

_NEEDED = ("pandas", "matplotlib", "seaborn", "plotly", "scipy", "sklearn")


def check_extra() -> None:
    """Raise HpoError with the line that installs what is missing."""
    missing = [name for name in _NEEDED if not _is_there(name)]
    if missing:
        is_or_are = "is" if len(missing) == 1 else "are"
        raise HpoError(
            f"the analysis needs {', '.join(missing)}, which {is_or_are} not installed: "
            "pip install 'hpo[analysis]'"
        )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:
        return False
