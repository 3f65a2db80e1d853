"""A figure for each parameter: a scatter with its trend, or violins with the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpo.analysis import canvas
from hpo.analysis.levels import commonest, labels_of
from hpo.analysis.parameters import Parameter
from hpo.analysis.study import thinned, thinning
from hpo.analysis.subject import Subject, values_of
from hpo.analysis.trend import fit, is_skewed
from hpo.counted import counted

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CHOICES = 20
_MIN_FOR_VIOLIN = 5
_MAX_DOTS = canvas.MAX_POINTS // 2


def draw_parameter(subject: Subject, parameter: Parameter) -> Figure | str:
    """One panel for each metric; the reason in words where there is nothing to draw."""
    if subject.complete.empty:
        return "no trial is complete"
    figure, axes = canvas.panels(len(subject.metrics))
    for panel, metric in zip(axes, subject.metrics, strict=True):
        frame = finite(subject.complete, metric)
        if parameter.is_numerical:
            _draw_numerical(subject, panel, frame, parameter, metric)
        else:
            _draw_categorical(panel, frame, parameter, metric)
        panel.set_ylabel(subject.names.of_metric(metric))
        panel.set_xlabel(subject.names.of_parameter(parameter.key))
    return figure


def finite(frame: pandas.DataFrame, metric: str) -> pandas.DataFrame:
    return frame[np.isfinite(frame[metric].to_numpy(dtype=float))]


def on_axis(frame: pandas.DataFrame, parameter: Parameter) -> tuple[pandas.DataFrame, str]:
    """The trials that the parameter's axis can show, and how many it cannot, in words.

    A default of zero, where the parameter is not searched, is on no logarithmic axis.
    """
    values = values_of(frame, parameter).to_numpy(dtype=float)
    can = np.isfinite(values) & ((values > 0) | (not parameter.is_log))
    num = int((~can & np.isfinite(values)).sum())
    return frame[can], f"{counted(num, 'trial')} with 0 or less not on the logarithmic axis" if num else ""


def _draw_numerical(
    subject: Subject, axes: Axes, frame: pandas.DataFrame, parameter: Parameter, metric: str
) -> None:
    import seaborn

    frame, said = on_axis(frame, parameter)
    values = values_of(frame, parameter).to_numpy(dtype=float)
    metrics = frame[metric].to_numpy(dtype=float)
    is_log = parameter.is_log
    is_log_metric = is_skewed(metrics)
    if is_log:
        axes.set_xscale("log")
    if is_log_metric:
        axes.set_yscale("log")
    shown = thinned(frame.assign(shown=values), canvas.MAX_POINTS)
    seaborn.scatterplot(
        x=shown["shown"].to_numpy(dtype=float),
        y=shown[metric].to_numpy(dtype=float),
        ax=axes,
        color=canvas.BLUE,
        s=18 if len(shown) < 300 else 8,
        alpha=0.6 if len(shown) < 300 else 0.3,
        linewidth=0,
        legend=False,
        rasterized=canvas.is_dense(len(shown)),
    )
    trend = fit(values, metrics, is_log=is_log, is_log_metric=is_log_metric)
    told = list(filter(None, (thinning(len(frame), canvas.MAX_POINTS), said)))
    if isinstance(trend, str):
        told.append(f"no trend: {trend}")
    else:
        axes.plot(trend.x, trend.y, color=canvas.RED, linewidth=2, label="trend")
        axes.fill_between(trend.x, trend.low, trend.high, color=canvas.RED, alpha=0.2, linewidth=0)
    _say(axes, told)
    limits = None if is_log_metric else canvas.limits_of(metrics)
    if limits is not None:
        _say_beyond(axes, metrics, limits)
    _mark_best(subject, axes, parameter, metric)


def _draw_categorical(axes: Axes, frame: pandas.DataFrame, parameter: Parameter, metric: str) -> None:
    import seaborn

    labels = labels_of(frame, parameter)
    choices, told = commonest(parameter, labels, MAX_CHOICES)
    counts = labels.value_counts()
    is_log = is_skewed(frame[metric])
    metrics = frame[metric].to_numpy(dtype=float)
    position = labels.map({choice: index for index, choice in enumerate(choices)}).to_numpy(dtype=float)
    full = [
        index
        for index in range(len(choices))
        if (position == index).sum() >= _MIN_FOR_VIOLIN and np.unique(metrics[position == index]).size > 1
    ]
    in_violin = np.isin(position, full)
    palette = seaborn.color_palette("colorblind", max(len(choices), 1))
    if is_log:
        axes.set_yscale("log")
    if in_violin.any():
        seaborn.violinplot(
            x=position[in_violin].astype(int),
            y=metrics[in_violin],
            order=range(len(choices)),
            hue=position[in_violin].astype(int),
            hue_order=range(len(choices)),
            palette=palette,
            legend=False,
            ax=axes,
            inner="quart",
            cut=0,
            density_norm="width",
            linewidth=1,
            log_scale=(False, True) if is_log else None,
            alpha=0.45,
        )
    known = np.flatnonzero(~np.isnan(position))
    if len(known) > _MAX_DOTS:
        told.append(f"dots: {thinning(len(known), _MAX_DOTS)}")
        known = np.random.default_rng(0).choice(known, _MAX_DOTS, replace=False)
    _say(axes, told)
    seaborn.stripplot(
        x=position[known].astype(int),
        y=metrics[known],
        order=range(len(choices)),
        ax=axes,
        color="#222222",
        size=3 if len(known) < 300 else 2,
        alpha=0.6 if len(known) < 300 else 0.3,
        jitter=0.15,
        legend=False,
        rasterized=canvas.is_dense(len(known)),
    )
    limits = None if is_log else canvas.limits_of(metrics)
    if limits is not None:
        _say_beyond(axes, metrics, limits)
    canvas.set_choices(axes, choices, [int(counts.get(choice, 0)) for choice in choices])


def _say(axes: Axes, told: Sequence[str]) -> None:
    axes.set_title("; ".join(told), fontsize=8, fontweight="normal", color="#555555")


def _say_beyond(axes: Axes, metrics: np.ndarray, limits: tuple[float, float]) -> None:
    axes.set_ylim(*limits)
    num = int(((metrics < limits[0]) | (metrics > limits[1])).sum())
    axes.annotate(
        f"{num} beyond the axis", (0.99, 0.99), xycoords="axes fraction", ha="right", va="top", fontsize=8
    )


def _mark_best(subject: Subject, axes: Axes, parameter: Parameter, metric: str) -> None:
    best = subject.best()
    if best is None:
        return
    shown, _ = on_axis(best.to_frame().T, parameter)
    if shown.empty:
        return
    axes.plot(
        [float(values_of(shown, parameter).iloc[0])],
        [best[metric]],
        marker="*",
        markersize=12,
        color=canvas.ORANGE,
        markeredgecolor="black",
        linestyle="none",
        label=f"best trial ({best['number']})",
    )
    axes.legend(loc="best")
