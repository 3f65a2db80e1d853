"""Figures of matplotlib without its global state: how they look, and how they are written."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.files import replace_file
from hpo.paths import AnalysisPaths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# of seaborn's colour-blind-safe palette
BLUE, ORANGE, GREEN, RED, GREY = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#8c8c8c"
COLORS = [
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9")
]
SEQUENTIAL = "viridis"
MAX_POINTS = 2000
_MAX_LABEL = 28
_DPI = 150
_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": _DPI,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "legend.fontsize": 9,
    # a name with dollars is no formula
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "hpo",
    "axes.formatter.useoffset": False,
}


@contextmanager
def drawing() -> Iterator[None]:
    """The look of the figures, for as long as they are made; nothing that a library complains of is shown."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def panels(count: int, width: float = 5.0, height: float = 3.8, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """A figure with so many axes, row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(columns, count)
    down = -(-count // across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(down, across, index + 1) for index in range(count)]
    return figure, axes


def write(figure: Figure, paths: AnalysisPaths, name: str) -> list[str]:
    """The figure as PNG and SVG in place of the ones that are there; their names."""
    spell_logarithms(figure)
    names = []
    for path, options in (
        (paths.png(name), {"dpi": _DPI}),
        (paths.svg(name), {"metadata": {"Date": None}, "dpi": _DPI}),
    ):
        data = io.BytesIO()
        figure.savefig(data, format=path.suffix[1:], bbox_inches="tight", **options)
        replace_file(path, data.getvalue())
        names.append(path.name)
    return names


def spell_logarithms(figure: Figure) -> None:
    """Powers of ten as numbers: matplotlib writes them as formulas."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    spelled = FuncFormatter(lambda value, _: f"{value:g}")
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() != "log":
                continue
            low, high = sorted(axis.get_view_interval())
            axis.set_major_formatter(spelled)
            # fewer than two powers of ten in sight: the numbers between them are needed
            is_narrow = low > 0 and np.log10(high / low) < 1.5
            if is_narrow:
                axis.set_minor_locator(LogLocator(subs=(2, 5)))
            axis.set_minor_formatter(spelled if is_narrow else NullFormatter())


def shortened(text: str, length: int = _MAX_LABEL) -> str:
    """A long text by its beginning and end."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2 - 1]}…{text[-(length // 2) :]}"


def is_dense(count: int) -> bool:
    """Whether so many marks are pixels also in an SVG, which would have megabytes otherwise."""
    return count > 500


def set_choices(axes: Axes, choices: Sequence[str], counts: Sequence[int]) -> None:
    """Ticks with the choices and how many trials had each; slanted where they would overlap."""
    names = [f"{shortened(choice)}\n(n={count})" for choice, count in zip(choices, counts, strict=True)]
    axes.set_xticks(range(len(names)), names)
    if max((len(choice) for choice in choices), default=0) * len(choices) > 40:
        axes.tick_params(axis="x", rotation=30)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")


def limits_of(values: Any) -> tuple[float, float] | None:
    """Between which values a linear axis shows what matters: without the extremes that would flatten the rest."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    if len(array) < 10:
        return None
    low, high = np.percentile(array, [5, 95])
    reach = max(high - low, 1e-12)
    if array.max() - high < 4 * reach and low - array.min() < 4 * reach:
        return None
    return float(max(array.min(), low - 0.5 * reach)), float(min(array.max(), high + 0.5 * reach))
