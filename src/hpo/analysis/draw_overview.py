"""What matters and how it acts together: importance, interactions, parallel coordinates, contour, Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpo.analysis import canvas
from hpo.analysis.importance import interactions
from hpo.analysis.loading import EXPERIMENT
from hpo.analysis.parameters import Parameter
from hpo.analysis.pareto import on_front
from hpo.analysis.study import quiet, searched, study_of, thinned, thinning
from hpo.analysis.subject import Subject, is_min
from hpo.analysis.trend import is_skewed
from hpo.counted import counted
from hpo.frames import column_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LINES, MAX_CONTOUR, MAX_AXES = 500, 300, 10
Shares = Sequence[dict[str, float] | str]


def draw_importance(subject: Subject, shares: Shares) -> Figure | str:
    """PED-ANOVA's shares, a panel for each objective."""
    import seaborn

    if all(isinstance(each, str) for each in shares):
        return str(shares[0])
    num = len(searched(subject.parameters))
    figure, axes = canvas.panels(len(shares), width=6.5, height=1.2 + 0.34 * max(num, 2), columns=1)
    for panel, objective, found in zip(axes, subject.objectives, shares, strict=True):
        if isinstance(found, str):
            panel.set_title(found, fontsize=8, fontweight="normal")
            continue
        names = [canvas.shortened(name) for name in found]
        seaborn.barplot(x=list(found.values()), y=names, ax=panel, color=canvas.BLUE, orient="h")
        for bars in panel.containers:
            panel.bar_label(
                bars,  # type: ignore[arg-type] # they are bars
                fmt="%.2f",
                padding=3,
                fontsize=8,
            )
        panel.set_xlim(0, max(found.values()) * 1.15 or 1.0)
        panel.set_xlabel(f"importance for {subject.names.of_metric(objective.name)} (PED-ANOVA, sums to 1)")
        panel.grid(visible=False, axis="y")
    return figure


def draw_interactions(subject: Subject, ordered: list[Parameter]) -> Figure | str:
    """Which pairs explain more together than apart."""
    import seaborn

    found = interactions(subject, ordered)
    if isinstance(found, str):
        return found
    parameters, strength = found
    if np.isnan(strength).all():
        return "there are too few trials to tell interactions from chance"
    names = [canvas.shortened(subject.names.of_parameter(each.key), 18) for each in parameters]
    size = 2.2 + 0.62 * len(names)
    figure, (panel,) = canvas.panels(1, width=size + 1.2, height=size)
    seaborn.heatmap(
        100 * strength[1:, :-1],
        ax=panel,
        mask=(np.triu(np.ones_like(strength, dtype=bool)) | np.isnan(strength))[1:, :-1],
        annot=True,
        fmt=".1f",
        cmap="cividis",
        vmin=0,
        vmax=max(5.0, float(100 * np.nanmax(strength))),
        xticklabels=names[:-1],
        yticklabels=names[1:],
        linewidths=1,
        cbar_kws={"label": f"% of the variance of {subject.names.of_metric(subject.first.name)} (ranks)"},
    )
    panel.tick_params(axis="x", rotation=40)
    panel.tick_params(axis="y", rotation=0)
    for label in panel.get_xticklabels():
        label.set_horizontalalignment("right")
    panel.grid(visible=False)
    panel.set_title("explained by the pair, beyond both alone", fontsize=10)
    return figure


def draw_parallel(subject: Subject, ordered: list[Parameter]) -> Figure | str:
    """Optuna's parallel coordinates of the most important parameters."""
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    frame = thinned(subject.complete, MAX_LINES)
    study = study_of(subject, frame, canvas.shortened)
    names = _varying(study, subject, ordered)[:MAX_AXES]
    if not names:
        return "no parameter varies"
    label = subject.names.of_metric(subject.first.name)
    with _of_pyplot(9.5, 5.0) as figures:
        plot_parallel_coordinate(study, names, target=_first_value, target_name=label)
        figure = figures()
        panel = figure.axes[0]
        panel.set_title(thinning(len(subject.complete), MAX_LINES), fontsize=10)
        _tidy_parallel(figure, panel)
        for lines in panel.collections:
            lines.set_cmap("viridis" if is_min(subject.first) else "viridis_r")
            lines.set_alpha(0.6)
            lines.set_rasterized(canvas.is_dense(len(frame)))
    return figure


def _tidy_parallel(figure: Figure, panel: Axes) -> None:
    """The colour bar away from the last axis, and the numbers of each axis readable on the lines."""
    panel.tick_params(axis="x", rotation=15)
    for text in panel.get_xticklabels():
        text.set_horizontalalignment("center")
    for axes in figure.axes:
        is_bar = axes.get_label() == "<colorbar>"
        axes.set_position((0.93, 0.15, 0.015, 0.75) if is_bar else (0.08, 0.15, 0.76, 0.75))
        axes.grid(visible=False)
        if axes is not panel and not is_bar:
            for text in axes.get_yticklabels():
                text.set_bbox({"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8})


def draw_contour(subject: Subject, ordered: list[Parameter]) -> Figure | str:
    """Optuna's contour of the two most important parameters, of the first two without importances."""
    from optuna.visualization.matplotlib import plot_contour

    frame = thinned(subject.complete, MAX_CONTOUR)
    study = study_of(subject, frame, canvas.shortened)
    names = _varying(study, subject, ordered)[:2]
    if len(names) < 2:
        return "fewer than two parameters vary"
    if len(frame) < 4:
        return f"too few for a contour: {counted(len(frame), 'complete trial')}"
    label = subject.names.of_metric(subject.first.name)
    with _of_pyplot(6.5, 4.8) as figures:
        plot_contour(study, names, target=_first_value, target_name=label)
        figure = figures()
        panel = figure.axes[0]
        said = [f"{label} over {' and '.join(names)}", thinning(len(subject.complete), MAX_CONTOUR)]
        panel.set_title("\n".join(filter(None, said)), fontsize=10)
        for shapes in panel.collections:
            if shapes.get_array() is not None:
                shapes.set_cmap("viridis" if is_min(subject.first) else "viridis_r")
    return figure


def draw_pareto(subject: Subject) -> Figure | str:
    """Each pair of objectives with the trials that no other beats in all of them."""
    import seaborn

    if len(subject.objectives) < 2:
        return "there is one objective"
    if subject.complete.empty:
        return "no trial is complete"
    columns = [column_of(each.name) for each in subject.objectives]
    values = subject.complete[columns].to_numpy(dtype=float)
    is_front = front_of(subject)
    pairs = list(combinations(range(len(columns)), 2))
    figure, axes = canvas.panels(len(pairs), width=5.5, height=4.4)
    for panel, (i, j) in zip(axes, pairs, strict=True):
        for chosen, color, size, label in (
            (~is_front, canvas.GREY, 14, "other trials"),
            (is_front, canvas.RED, 40, f"Pareto front ({counted(int(is_front.sum()), 'trial')})"),
        ):
            seaborn.scatterplot(
                x=values[chosen, i],
                y=values[chosen, j],
                ax=panel,
                color=color,
                s=size,
                alpha=0.5 if color == canvas.GREY else 1.0,
                linewidth=0,
                label=label,
                rasterized=canvas.is_dense(int(chosen.sum())),
            )
        if len(columns) == 2:
            _draw_front(panel, values[is_front], is_min(subject.objectives[0]))
        for index, axis in ((i, "x"), (j, "y")):
            objective = subject.objectives[index]
            way = "lower" if is_min(objective) else "higher"
            getattr(panel, f"set_{axis}label")(f"{subject.names.of_metric(objective.name)} ({way} is better)")
            if is_skewed(values[:, index]):
                getattr(panel, f"set_{axis}scale")("log")
        panel.legend(loc="best")
    return figure


def front_of(subject: Subject) -> np.ndarray:
    """Which complete trials are on the Pareto front; what breaks a soft constraint never is."""
    able = subject.complete["is_feasible"].astype(bool).to_numpy()
    values = subject.complete[[column_of(each.name) for each in subject.objectives]].to_numpy(dtype=float)
    return on_front(np.where(able[:, None], values, np.nan), [is_min(each) for each in subject.objectives])


def _draw_front(panel: Axes, front: np.ndarray, is_first_min: bool) -> None:
    """The staircase between what is reached and what is not."""
    ordered = front[np.argsort(front[:, 0])]
    where: Literal["post", "pre"] = "post" if is_first_min else "pre"
    panel.step(ordered[:, 0], ordered[:, 1], where=where, color=canvas.RED, linewidth=1)


def _varying(study: Any, subject: Subject, ordered: Sequence[Parameter]) -> list[str]:
    """The names of parameters as the study has them: those that vary, the most important first."""
    there = {name for trial in study.get_trials(deepcopy=False) for name in trial.params}
    names = [canvas.shortened(subject.names.of_parameter(each.key)) for each in ordered if each.key != EXPERIMENT]
    return [name for name in names if name in there]


def _first_value(trial: Any) -> float:
    return float(trial.values[0])


@contextmanager
def _of_pyplot(width: float, height: float) -> Iterator[Callable[[], Figure]]:
    """Optuna draws by pyplot: whatever it opens is closed again, and is on no screen."""
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    before = set(pyplot.get_fignums())

    def newest() -> Figure:
        figure = pyplot.figure(max(set(pyplot.get_fignums()) - before))
        figure.set_size_inches(width, height)
        FigureCanvasAgg(figure)
        return figure

    was_interactive = pyplot.isinteractive()
    pyplot.ioff()
    try:
        with quiet():
            yield newest
    finally:
        for number in set(pyplot.get_fignums()) - before:
            pyplot.close(number)
        if was_interactive:
            pyplot.ion()
