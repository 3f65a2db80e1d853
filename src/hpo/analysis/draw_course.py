"""How the search went: its history, the learning curves, and the timeline of its slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpo.analysis import canvas
from hpo.analysis.curves import Curve, colored, curves
from hpo.analysis.history import best_so_far
from hpo.analysis.loading import EXPERIMENT
from hpo.analysis.spans import Spans, spans_of
from hpo.analysis.subject import Subject, is_min
from hpo.analysis.timeline import occupancy
from hpo.analysis.trend import is_skewed
from hpo.frames import column_of
from hpo.records import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STATES = (
    (State.COMPLETE, "complete", canvas.BLUE),
    (State.PRUNED_POOR_PERFORMANCE, "pruned", canvas.ORANGE),
    (State.FAIL, "failed", canvas.RED),
    (State.RUNNING, "running", canvas.GREEN),
)
STATE_COLORS = {state.value: (label, color) for state, label, color in _STATES}
OTHER = ("other", canvas.GREY)
_PALETTE = canvas.COLORS
_DIM = "#6f6f6f"
_MAX_NAMED_PAUSES = 8
_PALE = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8}


def draw_history(subject: Subject) -> Figure | str:
    """The value of each complete trial by its number, and the best so far; a panel for each objective."""
    import seaborn

    if subject.complete.empty:
        return "no trial is complete"
    figure, axes = canvas.panels(len(subject.objectives), width=7.5, columns=1)
    ids = [source.paths.experiment_id for source in subject.loaded.sources]
    colors = [canvas.BLUE] if len(ids) == 1 else seaborn.color_palette("colorblind", len(ids))
    for panel, objective in zip(axes, subject.objectives, strict=True):
        column = column_of(objective.name)
        for experiment_id, color in zip(ids, colors, strict=True):
            frame = subject.complete[subject.complete[EXPERIMENT] == experiment_id]
            numbers, values = frame["number"].to_numpy(), frame[column].to_numpy(dtype=float)
            seaborn.scatterplot(
                x=numbers,
                y=values,
                ax=panel,
                color=color,
                s=16 if len(frame) < 300 else 6,
                alpha=0.6 if len(frame) < 300 else 0.3,
                linewidth=0,
                legend=False,
                rasterized=canvas.is_dense(len(frame)),
                label="trial" if len(ids) == 1 else shown_id(experiment_id),
            )
            best = best_so_far(values, is_min=is_min(objective))
            line_color = canvas.RED if len(ids) == 1 else color
            label = "best so far" if len(ids) == 1 else None
            panel.step(numbers, best, where="post", color=line_color, linewidth=2, label=label)
        all_values = subject.complete[column]
        if is_skewed(all_values):
            panel.set_yscale("log")
        panel.set_ylabel(subject.names.of_metric(objective.name))
        panel.set_xlabel("trial number")
        # beside the axes: inside it would cover trials
        panel.legend(
            loc="center left", bbox_to_anchor=(1.01, 0.5), markerscale=2 if len(subject.complete) > 300 else 1
        )
    return figure


def draw_curves(subject: Subject) -> Figure | str:
    """The objectives over the steps: pruned and failed trials dimmed, the best ones in colours."""
    found = [curves(subject, objective) for objective in subject.objectives]
    if not any(of_one for of_one, _ in found):
        return "; ".join(said for _, said in found if said)
    figure, axes = canvas.panels(len(found), width=7.5, height=4.2, columns=1)
    colors = colored([shown for shown, _ in found])
    for panel, objective, (shown, said) in zip(axes, subject.objectives, found, strict=True):
        handles = _highlighted(subject, panel, shown, colors) + _muted(panel, shown, colors)
        panel.autoscale_view()
        values = np.concatenate([curve.values for curve in shown]) if shown else np.array([])
        if is_skewed(values):
            panel.set_yscale("log")
        panel.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))
        panel.set_xlabel("step (iterations)")
        panel.set_ylabel(subject.names.of_metric(objective.name))
        if said:
            panel.set_title(said, fontsize=8, fontweight="normal", color="#555555")
    return figure


def _highlighted(
    subject: Subject, panel: Axes, shown: Sequence[Curve], colors: Mapping[tuple[str, int], int]
) -> list[Any]:
    """The trials with a colour of their own, each the same one in every panel; their entries of the legend."""
    handles: dict[tuple[str, int], Any] = {}
    for curve in shown:
        if curve.trial not in colors:
            continue
        color = _PALETTE[colors[curve.trial] % len(_PALETTE)]
        marker = "o" if len(curve.steps) == 1 else ""
        (line,) = panel.plot(
            curve.steps, curve.values, color=color, linewidth=2, zorder=3, marker=marker, markersize=5
        )
        if curve.trial not in handles:
            line.set_label(trial_name(subject, *curve.trial))
            handles[curve.trial] = line
    return [handles[trial] for trial in colors if trial in handles]


def _muted(panel: Axes, shown: Sequence[Curve], colors: Mapping[tuple[str, int], int]) -> list[Any]:
    """All other trials, a dot where there is one evaluation alone; their entries of the legend."""
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    groups: Sequence[tuple[str, str, str, float, Literal["-", "--"]]] = (
        ("complete", "complete", canvas.BLUE, 0.4, "-"),
        ("dimmed", "pruned, failed or running", _DIM, 0.7, "--"),
    )
    handles = []
    for name, told, color, alpha, style in groups:
        chosen = [curve for curve in shown if curve.trial not in colors and curve.is_dimmed is (name == "dimmed")]
        if not chosen:
            continue
        points = [np.column_stack([curve.steps, curve.values]) for curve in chosen]
        is_dense = canvas.is_dense(len(points) * 5)
        lines = LineCollection(
            [each for each in points if len(each) > 1],
            colors=color,
            alpha=alpha,
            linewidths=1.0,
            linestyles=style,
            label=name,
            rasterized=is_dense,
        )
        panel.add_collection(lines)
        single = [each for each in points if len(each) == 1]
        if single:
            x, y = np.concatenate(single).T
            panel.scatter(x, y, color=color, alpha=alpha, s=16, linewidth=0, label=name, rasterized=is_dense)
        handles.append(Line2D([], [], color=color, alpha=alpha, linestyle=style, label=told))
    return handles


def draw_timeline(subject: Subject) -> Figure | str:
    """Who ran when, a row for each slot, and below how many ran at a time; two panels for each experiment."""
    found = spans_of(subject)
    if not found:
        return "no trial has started"
    figure, axes = canvas.panels(2 * len(found), width=9, height=2.4, columns=1)
    for index, spans in enumerate(found):
        _draw_slots(axes[2 * index], spans)
        _draw_occupancy(axes[2 * index + 1], spans)
        for panel in axes[2 * index : 2 * index + 2]:
            panel.set_xlabel(spans.axis)
            _draw_pauses(panel, spans, is_named=panel is axes[2 * index])
    return figure


def _draw_slots(axes: Axes, spans: Spans) -> None:
    from matplotlib.patches import Patch

    handles = []
    for label, color in [*STATE_COLORS.values(), OTHER]:
        is_it = np.array([STATE_COLORS.get(state, OTHER)[0] == label for state in spans.states])
        if not is_it.any():
            continue
        handles.append(Patch(color=color, label=label))
        for slot in range(spans.num_slots):
            chosen = is_it & (spans.slots == slot)
            bars = np.column_stack([spans.started[chosen], (spans.ended - spans.started)[chosen]])
            axes.broken_barh(
                bars.tolist(),
                (slot - 0.4, 0.8),
                facecolors=color,
                edgecolors="white",
                linewidth=0.5 if len(spans.slots) < 500 else 0,
                rasterized=canvas.is_dense(len(spans.slots)),
            )
    if spans.num_slots <= 16:
        axes.set_yticks(range(spans.num_slots))
    axes.set_ylabel("slot")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_title(spans.title, loc="left", fontsize=10)
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _draw_occupancy(axes: Axes, spans: Spans) -> None:
    from matplotlib.ticker import MaxNLocator

    times, counts = occupancy(spans.started, spans.ended)
    axes.fill_between(
        times,
        counts,
        step="post",
        color=canvas.BLUE,
        alpha=0.5,
        linewidth=0,
        rasterized=canvas.is_dense(len(times)),
    )
    axes.axhline(spans.num_slots, color=canvas.GREY, linestyle="--", linewidth=1)
    axes.set_ylim(0, spans.num_slots * 1.15)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("running trials")


def _draw_pauses(axes: Axes, spans: Spans, *, is_named: bool) -> None:
    for at, length in spans.pauses:
        axes.axvline(at, color=canvas.GREY, linestyle=":", linewidth=1.2)
        if is_named and len(spans.pauses) <= _MAX_NAMED_PAUSES:
            axes.annotate(
                length,
                (at, 0),
                (3, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=7,
                bbox=_PALE,
            )


def shown_id(experiment_id: str) -> str:
    return canvas.shortened(experiment_id, 20)


def trial_name(subject: Subject, experiment_id: str, number: int) -> str:
    return f"trial {number}" + (f" of {shown_id(experiment_id)}" if subject.is_several else "")
