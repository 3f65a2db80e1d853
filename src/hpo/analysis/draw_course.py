"""How the search went: its history, the learning curves, and the timeline of its slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.analysis import canvas
from hpo.analysis.curves import curves
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
_HIGHLIGHTED = 5


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
        panel.legend(
            loc="upper right" if is_min(objective) else "lower right", markerscale=2 if len(frame) > 300 else 1
        )
    return figure


def draw_curves(subject: Subject) -> Figure | str:
    """The objectives over the steps: pruned and failed trials dimmed, the best ones in colours."""
    import seaborn
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    found = [curves(subject, objective) for objective in subject.objectives]
    if not any(of_one for of_one, _ in found):
        return "; ".join(said for _, said in found if said)
    figure, axes = canvas.panels(len(found), width=7.5, height=4.2, columns=1)
    palette = seaborn.color_palette("colorblind", _HIGHLIGHTED)
    for panel, objective, (shown, said) in zip(axes, subject.objectives, found, strict=True):
        groups: dict[str, list[Any]] = {"dimmed": [], "complete": []}
        handles = []
        for curve in shown:
            points = np.column_stack([curve.steps, curve.values])
            if curve.rank is not None and curve.rank < _HIGHLIGHTED:
                (line,) = panel.plot(*points.T, color=palette[curve.rank], linewidth=2, zorder=3)
                line.set_label(_trial_name(subject, curve.experiment_id, curve.number))
                handles.append((curve.rank, line))
            else:
                groups["dimmed" if curve.is_dimmed else "complete"].append(points)
        for name, color, alpha, style in (
            ("dimmed", canvas.GREY, 0.35, "--"),
            ("complete", canvas.BLUE, 0.3, "-"),
        ):
            if groups[name]:
                lines = LineCollection(groups[name], colors=color, alpha=alpha, linewidths=0.9, linestyles=style)
                lines.set_label(name)
                lines.set_rasterized(canvas.is_dense(len(groups[name]) * 5))
                panel.add_collection(lines)
        panel.autoscale_view()
        values = np.concatenate([curve.values for curve in shown]) if shown else np.array([])
        if is_skewed(values):
            panel.set_yscale("log")
        legend = [line for _, line in sorted(handles, key=lambda pair: pair[0])]
        legend += [Line2D([], [], color=canvas.BLUE, alpha=0.6, label="complete")] if groups["complete"] else []
        legend += (
            [Line2D([], [], color=canvas.GREY, linestyle="--", label="pruned, failed or running")]
            if groups["dimmed"]
            else []
        )
        panel.legend(handles=legend, loc="center left", bbox_to_anchor=(1.01, 0.5))
        panel.set_xlabel("step (iterations)")
        panel.set_ylabel(subject.names.of_metric(objective.name))
        if said:
            panel.set_title(said, fontsize=8, fontweight="normal", color="#555555")
    return figure


def draw_timeline(subject: Subject) -> Figure | str:
    """Who ran when, a row for each slot, and below how many ran at a time; two panels for each experiment."""
    found = [spans for source in subject.loaded.sources if (spans := spans_of(subject, source)) is not None]
    if not found:
        return "no trial has started"
    figure, axes = canvas.panels(2 * len(found), width=9, height=2.4, columns=1)
    for index, spans in enumerate(found):
        _draw_slots(axes[2 * index], spans)
        _draw_occupancy(axes[2 * index + 1], spans)
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
    axes.set_xlabel(f"time since the first start ({spans.unit})")
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
    axes.set_xlabel(f"time since the first start ({spans.unit})")


def shown_id(experiment_id: str) -> str:
    return canvas.shortened(experiment_id, 20)


def _trial_name(subject: Subject, experiment_id: str, number: int) -> str:
    return f"trial {number}" + (f" of {shown_id(experiment_id)}" if subject.is_several else "")
