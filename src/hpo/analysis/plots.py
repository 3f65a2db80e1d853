"""The figures of the report, for plotly: the same data as in the drawn ones.

Plotly reads tags in texts: names and choices go in escaped.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hpo.analysis import canvas
from hpo.analysis.curves import curves
from hpo.analysis.draw_course import OTHER, STATE_COLORS
from hpo.analysis.draw_overview import MAX_CONTOUR, front_of
from hpo.analysis.draw_parameters import MAX_CHOICES, finite
from hpo.analysis.figures import Weights, attempted
from hpo.analysis.history import best_so_far
from hpo.analysis.importance import interactions
from hpo.analysis.levels import choices_of, labels_of
from hpo.analysis.load import EXPERIMENT
from hpo.analysis.parameters import Parameter
from hpo.analysis.spans import spans_of
from hpo.analysis.study import quiet, study_of, thinned
from hpo.analysis.subject import Subject, is_min, values_of
from hpo.analysis.trend import fit, is_skewed
from hpo.frames import column_of

_MAX_POINTS = 1500
_MAX_BARS = 2000
_MAX_LINES = 300
_HIGHLIGHTED = 5
_HEIGHT = 420
# seaborn's colour-blind-safe palette
_COLORS = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"]


def escaped(text: str) -> str:
    return html.escape(canvas.shortened(text, 60), quote=False)


def plots(subject: Subject, weights: Weights) -> Iterator[tuple[str, Any]]:
    """Titles, and figures of plotly or why there is none."""
    drawn: dict[str, Callable[[], Any]] = {
        "Optimization history": lambda: _history(subject),
        "Learning curves": lambda: _curves(subject),
        "Parameter importance": lambda: _importance(subject, weights.shares),
        "Interactions of parameters": lambda: _interactions(subject, weights.ordered),
        "Contour of the two most important parameters": lambda: _contour(subject, weights.ordered),
        "Parallel coordinates": lambda: _parallel(subject, weights.ordered),
        "Timeline of the slots": lambda: _timeline(subject),
    }
    if len(subject.objectives) > 1:
        drawn["Pareto front"] = lambda: _pareto(subject)
    for each in weights.ordered + [each for each in subject.parameters if each.key == EXPERIMENT]:
        title = f"Parameter {subject.names.of_parameter(each.key)}"
        drawn[title] = lambda each=each: _parameter(subject, each)  # type: ignore[misc] # bound at once
    for title, draw in drawn.items():
        yield title, attempted(draw)


def _history(subject: Subject) -> Any:
    from plotly.subplots import make_subplots

    if subject.complete.empty:
        return "no trial is complete"
    rows = len(subject.objectives)
    figure = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for row, objective in enumerate(subject.objectives, start=1):
        column = column_of(objective.name)
        for source in subject.loaded.sources:
            experiment_id = source.paths.experiment_id
            frame = subject.complete[subject.complete[EXPERIMENT] == experiment_id]
            shown = thinned(frame, _MAX_POINTS)
            of = f" of {escaped(experiment_id)}" if subject.is_several else ""
            figure.add_scatter(
                x=shown["number"].tolist(),
                y=shown[column].tolist(),
                mode="markers",
                marker={"color": None if subject.is_several else canvas.BLUE, "size": 6, "opacity": 0.6},
                name=f"trials{of}",
                showlegend=row == 1,
                row=row,
                col=1,
            )
            best = best_so_far(frame[column], is_min=is_min(objective))
            changes = np.flatnonzero(np.r_[True, np.diff(best) != 0][: len(best)])
            ends = np.unique(np.r_[changes, len(best) - 1]) if len(best) else changes
            figure.add_scatter(
                x=frame["number"].to_numpy()[ends].tolist(),
                y=best[ends].tolist(),
                mode="lines",
                line={"shape": "hv", "color": None if subject.is_several else canvas.RED, "width": 2},
                name=f"best so far{of}",
                showlegend=row == 1,
                row=row,
                col=1,
            )
        figure.update_yaxes(
            title_text=escaped(subject.names.of_metric(objective.name)),
            type="log" if is_skewed(subject.complete[column]) else "linear",
            row=row,
            col=1,
        )
    figure.update_xaxes(title_text="trial number", row=rows, col=1)
    return _sized(figure, max(_HEIGHT, 300 * rows))


def _curves(subject: Subject) -> Any:
    from plotly.subplots import make_subplots

    found = [curves(subject, objective) for objective in subject.objectives]
    if not any(of_one for of_one, _ in found):
        return "; ".join(said for _, said in found if said)
    figure = make_subplots(rows=len(found), cols=1, vertical_spacing=0.08)
    for row, (objective, (shown, _)) in enumerate(zip(subject.objectives, found, strict=True), start=1):
        for name, color, is_dimmed in (
            ("pruned, failed or running", canvas.GREY, True),
            ("complete", canvas.BLUE, False),
        ):
            chosen = [
                curve
                for curve in shown
                if curve.is_dimmed is is_dimmed and (curve.rank is None or curve.rank >= _HIGHLIGHTED)
            ]
            if chosen:
                figure.add_scatter(
                    x=[x for curve in chosen for x in (*curve.steps.tolist(), None)],
                    y=[y for curve in chosen for y in (*curve.values.tolist(), None)],
                    text=[f"trial {curve.number}" for curve in chosen for _ in (*curve.steps, None)],
                    mode="lines",
                    line={"color": color, "width": 1, "dash": "dot" if is_dimmed else "solid"},
                    opacity=0.4,
                    name=name,
                    showlegend=row == 1,
                    row=row,
                    col=1,
                )
        for curve in reversed([each for each in shown if each.rank is not None and each.rank < _HIGHLIGHTED]):
            figure.add_scatter(
                x=curve.steps.tolist(),
                y=curve.values.tolist(),
                mode="lines",
                line={"width": 2.5},
                name=f"trial {curve.number}",
                row=row,
                col=1,
            )
        values = np.concatenate([curve.values for curve in shown]) if shown else []
        figure.update_yaxes(
            title_text=escaped(subject.names.of_metric(objective.name)),
            type="log" if is_skewed(values) else "linear",
            row=row,
            col=1,
        )
    figure.update_xaxes(title_text="step (iterations)", row=len(found), col=1)
    return _sized(figure, max(_HEIGHT, 320 * len(found)))


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
    return _sized(figure, 160 + 40 * max(map(len, known)))


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
    return _sized(figure, 220 + 50 * len(names))


def _contour(subject: Subject, ordered: list[Parameter]) -> Any:
    from optuna.visualization import plot_contour

    study = study_of(subject, thinned(subject.complete, MAX_CONTOUR), escaped)
    names = _varying(study, subject, ordered)[:2]
    if len(names) < 2 or len(study.get_trials(deepcopy=False)) < 4:
        return "fewer than two parameters vary, or fewer than four trials are complete"
    with quiet():
        figure = plot_contour(study, names, target=_first, target_name=escaped(_label(subject)))
    # bright is worse, and everybody can tell the colours apart
    figure.update_traces(colorscale="Viridis", reversescale=not is_min(subject.first), selector={"type": "contour"})
    return _sized(figure, 520, _thinned(len(subject.complete), MAX_CONTOUR))


def _parallel(subject: Subject, ordered: list[Parameter]) -> Any:
    from optuna.visualization import plot_parallel_coordinate

    study = study_of(subject, thinned(subject.complete, _MAX_LINES), escaped)
    names = _varying(study, subject, ordered)
    if not names:
        return "no parameter varies"
    with quiet():
        figure = plot_parallel_coordinate(study, names, target=_first, target_name=escaped(_label(subject)))
    return _sized(figure, 520, _thinned(len(subject.complete), _MAX_LINES))


def _timeline(subject: Subject) -> Any:
    from plotly.graph_objects import Figure

    found = [spans for source in subject.loaded.sources if (spans := spans_of(subject, source)) is not None]
    if not found:
        return "no trial has started"
    figure = Figure()
    unit = found[0].unit
    for label, color in [*STATE_COLORS.values(), OTHER]:
        base: list[float] = []
        length: list[float] = []
        rows: list[str] = []
        text: list[str] = []
        for spans in found:
            of = f"{escaped(spans.experiment_id)} " if len(found) > 1 else ""
            for index in range(max(0, len(spans.states) - _MAX_BARS), len(spans.states)):
                if STATE_COLORS.get(spans.states[index], OTHER)[0] == label:
                    base.append(float(spans.started[index]))
                    length.append(float(spans.ended[index] - spans.started[index]))
                    rows.append(f"{of}slot {spans.slots[index]}")
                    text.append(f"trial {spans.numbers[index]}")
        if base:
            figure.add_bar(
                base=base,
                x=length,
                y=rows,
                hovertext=text,
                orientation="h",
                marker={"color": color, "line": {"width": 0.5, "color": "white"}},
                name=label,
            )
    figure.update_layout(barmode="overlay")
    figure.update_yaxes(autorange="reversed", categoryorder="category ascending")
    figure.update_xaxes(title_text=f"time since the first start ({unit})")
    num_rows = sum(spans.num_slots for spans in found)
    title = "<br>".join(escaped(spans.title) for spans in found)
    if any(len(spans.states) > _MAX_BARS for spans in found):
        title += f"<br>shown: the last {_MAX_BARS} trials"
    return _sized(figure, min(1200, 200 + 36 * num_rows), title)


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
    others, front = thinned(subject.complete[~is_front], _MAX_POINTS), subject.complete[is_front]
    for index, (i, j) in enumerate(pairs):
        place = {"row": index // across + 1, "col": index % across + 1}
        for frame, name, color, size in (
            (others, "other trials", canvas.GREY, 5),
            (front, f"Pareto front ({len(front)} trials)", canvas.RED, 9),
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
    return _sized(figure, max(_HEIGHT, 360 * rows))


def _parameter(subject: Subject, parameter: Parameter) -> Any:
    from plotly.subplots import make_subplots

    if subject.complete.empty:
        return "no trial is complete"
    columns = min(2, len(subject.metrics))
    rows = -(-len(subject.metrics) // columns)
    figure = make_subplots(rows=rows, cols=columns)
    for index, metric in enumerate(subject.metrics):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        frame = finite(subject.complete, metric)
        is_log_metric = is_skewed(frame[metric])
        if parameter.is_numerical:
            _add_scatter(figure, frame, parameter, metric, is_log_metric, place)
        else:
            _add_violins(figure, frame, parameter, metric, place)
        figure.update_yaxes(
            title_text=escaped(subject.names.of_metric(metric)), type="log" if is_log_metric else "linear", **place
        )
        figure.update_xaxes(title_text=escaped(subject.names.of_parameter(parameter.key)), **place)
    figure.update_layout(showlegend=False)
    return _sized(figure, 340 * rows)


def _add_scatter(
    figure: Any, frame: Any, parameter: Parameter, metric: str, is_log_metric: bool, place: dict[str, int]
) -> None:
    values = values_of(frame, parameter).to_numpy(dtype=float)
    is_log = parameter.is_log and not (values <= 0).any()
    shown = thinned(frame.assign(shown=values), _MAX_POINTS)
    shown = shown[np.isfinite(shown["shown"])]
    figure.add_scatter(
        x=shown["shown"].tolist(),
        y=shown[metric].tolist(),
        text=[f"trial {number}" for number in shown["number"]],
        mode="markers",
        marker={"color": canvas.BLUE, "size": 6, "opacity": 0.5},
        **place,
    )
    trend = fit(values, frame[metric], is_log=is_log, is_log_metric=is_log_metric)
    if not isinstance(trend, str):
        for y, width in ((trend.low, 0), (trend.high, 0), (trend.y, 2.5)):
            figure.add_scatter(
                x=trend.x.tolist(),
                y=y.tolist(),
                mode="lines",
                line={"color": canvas.RED, "width": width},
                fill="tonexty" if y is trend.high else None,
                fillcolor="rgba(213,94,0,0.2)",
                hoverinfo="skip",
                **place,
            )
    figure.update_xaxes(type="log" if is_log else "linear", **place)


def _add_violins(figure: Any, frame: Any, parameter: Parameter, metric: str, place: dict[str, int]) -> None:
    labels = labels_of(frame, parameter)
    for index, choice in enumerate(choices_of(parameter, labels)[:MAX_CHOICES]):
        chosen = thinned(frame[labels == choice], _MAX_POINTS // 5)
        figure.add_violin(
            y=chosen[metric].tolist(),
            name=escaped(choice),
            text=[f"trial {number}" for number in chosen["number"]],
            points="all",
            jitter=0.3,
            pointpos=0,
            marker={"size": 3, "opacity": 0.5, "color": "#222222"},
            line={"color": _COLORS[index % len(_COLORS)]},
            spanmode="hard",
            **place,
        )
    figure.update_xaxes(type="category", **place)


def _varying(study: Any, subject: Subject, ordered: Sequence[Parameter]) -> list[str]:
    there = {name for trial in study.get_trials(deepcopy=False) for name in trial.params}
    names = [escaped(subject.names.of_parameter(each.key)) for each in ordered]
    return [name for name in names if name in there]


def _first(trial: Any) -> float:
    return float(trial.values[0])


def _label(subject: Subject) -> str:
    return subject.names.of_metric(subject.first.name)


def _thinned(num: int, most: int) -> str:
    return f"{most} of {num} trials, drawn at random" if num > most else ""


def _sized(figure: Any, height: int, title: str = "") -> Any:
    figure.update_layout(
        height=height,
        title={"text": title, "font": {"size": 13}},
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 60 if title else 30, "b": 50},
        colorway=_COLORS,
    )
    figure.update_xaxes(exponentformat="power")
    figure.update_yaxes(exponentformat="power")
    return figure
