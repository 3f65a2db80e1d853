"""What the trials of experiments say: dataframes, figures and a report, from what is on disk.

`hpo.analysis.load` gives dataframes and `hpo.analysis.analyse` writes figures and report.html. Needs the extra:
`pip install 'hpo[analysis]'`. Modules of statistics (history, timeline, pareto, trend, effects, importance) draw
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo.analysis.loading import Loaded, load
    from hpo.analysis.run import analyse

__all__ = ["Loaded", "analyse", "load"]

# the dashboard takes single statistics, which need neither pandas nor matplotlib
_HOME = {"load": "hpo.analysis.loading", "Loaded": "hpo.analysis.loading", "analyse": "hpo.analysis.run"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
