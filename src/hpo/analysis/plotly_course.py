"""The history, learning curves and timeline of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hpo.analysis import canvas
from hpo.analysis.curves import Curve, colored, curves
from hpo.analysis.draw_course import OTHER, STATE_COLORS, trial_name
from hpo.analysis.history import best_so_far
from hpo.analysis.loading import EXPERIMENT
from hpo.analysis.plotly_common import HEIGHT, MAX_POINTS, escaped, sized
from hpo.analysis.spans import spans_of
from hpo.analysis.study import thinned, thinning
from hpo.analysis.subject import Subject, is_min
from hpo.analysis.trend import is_skewed
from hpo.frames import column_of

_MAX_BARS = 2000


def history(subject: Subject) -> Any:
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
            shown = thinned(frame, MAX_POINTS)
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
    counts = subject.complete[EXPERIMENT].value_counts()
    said = {experiment_id: thinning(num, MAX_POINTS) for experiment_id, num in counts.items()}
    told = [f"{of}: {text}" if subject.is_several else text for of, text in said.items() if text]
    return sized(figure, max(HEIGHT, 300 * rows), *told)


def learning_curves(subject: Subject) -> Any:
    from plotly.subplots import make_subplots

    found = [curves(subject, objective) for objective in subject.objectives]
    if not any(of_one for of_one, _ in found):
        return "; ".join(said for _, said in found if said)
    figure = make_subplots(rows=len(found), cols=1, vertical_spacing=0.08)
    colors = colored([shown for shown, _ in found])
    told: set[str] = set()
    for row, (objective, (shown, _)) in enumerate(zip(subject.objectives, found, strict=True), start=1):
        for trace in [*_muted(shown, colors), *_highlighted(subject, shown, colors)]:
            group = trace["legendgroup"]
            figure.add_scatter(**trace, showlegend=group not in told, row=row, col=1)
            told.add(group)
        values = np.concatenate([curve.values for curve in shown]) if shown else np.array([])
        figure.update_yaxes(
            title_text=escaped(subject.names.of_metric(objective.name)),
            type="log" if is_skewed(values) else "linear",
            row=row,
            col=1,
        )
    figure.update_xaxes(title_text="step (iterations)", row=len(found), col=1)
    said = dict.fromkeys(said for _, said in found if said)
    return sized(figure, max(HEIGHT, 320 * len(found)), *said)


def _muted(shown: Sequence[Curve], colors: Mapping[tuple[str, int], int]) -> Iterator[dict[str, Any]]:
    """The curves of all trials without a colour of their own; a dot is one evaluation alone."""
    for name, color, is_dimmed in (
        ("pruned, failed or running", canvas.GREY, True),
        ("complete", canvas.BLUE, False),
    ):
        chosen = [curve for curve in shown if curve.is_dimmed is is_dimmed and curve.trial not in colors]
        if chosen:
            yield {
                "x": [x for curve in chosen for x in (*curve.steps.tolist(), None)],
                "y": [y for curve in chosen for y in (*curve.values.tolist(), None)],
                "text": [f"trial {curve.number}" for curve in chosen for _ in (*curve.steps, None)],
                "mode": "lines+markers",
                "marker": {
                    "color": color,
                    "size": [5 * (len(curve.steps) == 1) for curve in chosen for _ in (*curve.steps, None)],
                },
                "line": {"color": color, "width": 1, "dash": "dot" if is_dimmed else "solid"},
                "opacity": 0.6,
                "name": name,
                "legendgroup": name,
            }


def _highlighted(
    subject: Subject, shown: Sequence[Curve], colors: Mapping[tuple[str, int], int]
) -> Iterator[dict[str, Any]]:
    """The best trials, each in one colour in every panel; the best one last, on top of the others."""
    for curve in shown:
        if curve.trial in colors:
            name = trial_name(subject, *curve.trial)
            color = canvas.COLORS[colors[curve.trial] % len(canvas.COLORS)]
            yield {
                "x": curve.steps.tolist(),
                "y": curve.values.tolist(),
                "mode": "lines" if len(curve.steps) > 1 else "markers",
                "line": {"width": 2.5, "color": color},
                "marker": {"color": color},
                "name": escaped(name),
                "legendgroup": name,
                "legendrank": colors[curve.trial] + 1,
            }


def timeline(subject: Subject) -> Any:
    from plotly.graph_objects import Figure

    found = spans_of(subject)
    if not found:
        return "no trial has started"
    figure = Figure()
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
    figure.update_xaxes(title_text=found[0].axis)
    if len(found) == 1:
        for at, told in found[0].pauses:
            figure.add_vline(at, line={"color": canvas.GREY, "width": 1, "dash": "dot"}, annotation_text=told)
    num_rows = sum(spans.num_slots for spans in found)
    said = [spans.title for spans in found]
    if any(len(spans.states) > _MAX_BARS for spans in found):
        said.append(f"shown: the last {_MAX_BARS} trials")
    return sized(figure, min(1200, 200 + 36 * num_rows), *said)
