"""The figures of the report, for plotly: the same data as in the drawn ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from hpo.analysis import canvas
from hpo.analysis.draw_overview import MAX_CONTOUR, front_of
from hpo.analysis.figures import Weights, attempted
from hpo.analysis.importance import interactions
from hpo.analysis.loading import EXPERIMENT
from hpo.analysis.parameters import Parameter
from hpo.analysis.plotly_common import HEIGHT, MAX_POINTS, escaped, sized
from hpo.analysis.plotly_course import history, learning_curves, timeline
from hpo.analysis.plotly_parameters import parameter_plot
from hpo.analysis.study import quiet, study_of, thinned, thinning
from hpo.analysis.subject import Subject, is_min
from hpo.analysis.trend import is_skewed
from hpo.counted import counted
from hpo.frames import column_of

_MAX_LINES = 300
# without and with importances
_CONTOUR = ("Contour of two parameters", "Contour of the two most important parameters")


def plots(subject: Subject, weights: Weights) -> Iterator[tuple[str, Any]]:
    """Titles, and figures of plotly or why there is none."""
    drawn: dict[str, Callable[[], Any]] = {
        "Optimization history": lambda: history(subject),
        "Learning curves": lambda: learning_curves(subject),
        "Parameter importance": lambda: _importance(subject, weights.shares),
        "Interactions of parameters": lambda: _interactions(subject, weights.ordered),
        _CONTOUR[isinstance(weights.shares[0], dict)]: lambda: _contour(subject, weights.ordered),
        "Parallel coordinates": lambda: _parallel(subject, weights.ordered),
        "Timeline of the slots": lambda: timeline(subject),
    }
    if len(subject.objectives) > 1:
        drawn["Pareto front"] = lambda: _pareto(subject)
    for each in weights.ordered + [each for each in subject.parameters if each.key == EXPERIMENT]:
        title = f"Parameter {subject.names.of_parameter(each.key)}"
        drawn[title] = partial(parameter_plot, subject, each)
    for title, draw in drawn.items():
        yield title, attempted(draw)


def _importance(subject: Subject, shares: Sequence[dict[str, float] | str]) -> Any:
    from plotly.graph_objects import Bar, Figure

    known = [each for each in shares if not isinstance(each, str)]
    if not known:
        return shares[0]
    figure = Figure()
    for objective, found in zip(subject.objectives, shares, strict=True):
        if not isinstance(found, str):
            figure.add_trace(
                Bar(
                    y=[escaped(name) for name in reversed(found)],
                    x=list(reversed(found.values())),
                    orientation="h",
                    name=escaped(subject.names.of_metric(objective.name)),
                    texttemplate="%{x:.2f}",
                    textposition="outside",
                    cliponaxis=False,
                )
            )
    figure.update_xaxes(title_text="importance (PED-ANOVA, sums to 1)")
    return sized(figure, 160 + 40 * max(map(len, known)))


def _interactions(subject: Subject, ordered: list[Parameter]) -> Any:
    from plotly.graph_objects import Figure, Heatmap

    found = interactions(subject, ordered)
    if isinstance(found, str):
        return found
    parameters, strength = found
    names = [escaped(subject.names.of_parameter(each.key)) for each in parameters]
    if np.isnan(strength).all():
        return "there are too few trials to tell interactions from chance"
    cells = [[None if np.isnan(cell) else 100 * cell for cell in row] for row in strength.tolist()]
    figure = Figure(
        Heatmap(
            z=cells,
            x=names,
            y=names,
            colorscale="Cividis",
            zmin=0,
            zmax=max(5.0, float(100 * np.nanmax(strength))),
            texttemplate="%{z:.1f}",
            colorbar={"title": "% of variance<br>(of ranks)"},
        )
    )
    figure.update_yaxes(autorange="reversed")
    return sized(figure, 220 + 50 * len(names))


def _contour(subject: Subject, ordered: list[Parameter]) -> Any:
    from optuna.visualization import plot_contour

    study = study_of(subject, thinned(subject.complete, MAX_CONTOUR), escaped)
    names = _varying(study, subject, ordered)[:2]
    if len(names) < 2 or len(study.get_trials(deepcopy=False)) < 4:
        return "fewer than two parameters vary, or fewer than four trials are complete"
    with quiet():
        figure = plot_contour(study, names, target=_first, target_name=escaped(_label(subject)))
    # bright is worse, and everybody can tell the colours apart
    figure.update_traces(
        colorscale="Viridis", reversescale=not is_min(subject.first), selector={"type": "contour"}
    )
    return sized(figure, 520, thinning(len(subject.complete), MAX_CONTOUR))


def _parallel(subject: Subject, ordered: list[Parameter]) -> Any:
    from optuna.visualization import plot_parallel_coordinate

    study = study_of(subject, thinned(subject.complete, _MAX_LINES), escaped)
    names = _varying(study, subject, ordered)
    if not names:
        return "no parameter varies"
    with quiet():
        figure = plot_parallel_coordinate(study, names, target=_first, target_name=escaped(_label(subject)))
    return sized(figure, 520, thinning(len(subject.complete), _MAX_LINES))


def _pareto(subject: Subject) -> Any:
    from plotly.subplots import make_subplots

    if subject.complete.empty:
        return "no trial is complete"
    columns = [column_of(each.name) for each in subject.objectives]
    is_front = front_of(subject)
    pairs = list(combinations(range(len(columns)), 2))
    across = min(2, len(pairs))
    rows = -(-len(pairs) // across)
    figure = make_subplots(rows=rows, cols=across)
    others, front = thinned(subject.complete[~is_front], MAX_POINTS), subject.complete[is_front]
    for index, (i, j) in enumerate(pairs):
        place = {"row": index // across + 1, "col": index % across + 1}
        for frame, name, color, size in (
            (others, "other trials", canvas.GREY, 5),
            (front, f"Pareto front ({counted(len(front), 'trial')})", canvas.RED, 9),
        ):
            figure.add_scatter(
                x=frame[columns[i]].tolist(),
                y=frame[columns[j]].tolist(),
                text=[f"trial {number}" for number in frame["number"]],
                mode="markers",
                marker={"color": color, "size": size},
                name=name,
                showlegend=not index,
                **place,
            )
        for which, update in ((i, figure.update_xaxes), (j, figure.update_yaxes)):
            objective = subject.objectives[which]
            way = "lower" if is_min(objective) else "higher"
            is_log = is_skewed(subject.complete[columns[which]])
            update(
                title_text=f"{escaped(subject.names.of_metric(objective.name))} ({way} is better)",
                type="log" if is_log else "linear",
                **place,
            )
    return sized(figure, max(HEIGHT, 360 * rows), thinning(len(subject.complete[~is_front]), MAX_POINTS))


def _varying(study: Any, subject: Subject, ordered: Sequence[Parameter]) -> list[str]:
    there = {name for trial in study.get_trials(deepcopy=False) for name in trial.params}
    names = [escaped(subject.names.of_parameter(each.key)) for each in ordered]
    return [name for name in names if name in there]


def _first(trial: Any) -> float:
    return float(trial.values[0])


def _label(subject: Subject) -> str:
    return subject.names.of_metric(subject.first.name)
