"""The report's figure of one parameter."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpo.analysis import canvas
from hpo.analysis.draw_parameters import MAX_CHOICES, finite, on_axis
from hpo.analysis.levels import commonest, labels_of
from hpo.analysis.parameters import Parameter
from hpo.analysis.plotly_common import COLORS, MAX_POINTS, escaped, sized
from hpo.analysis.study import thinned, thinning
from hpo.analysis.subject import Subject, values_of
from hpo.analysis.trend import fit, is_skewed

_MAX_OF_CHOICE = MAX_POINTS // 5


def parameter_plot(subject: Subject, parameter: Parameter) -> Any:
    from plotly.subplots import make_subplots

    if subject.complete.empty:
        return "no trial is complete"
    columns = min(2, len(subject.metrics))
    rows = -(-len(subject.metrics) // columns)
    figure = make_subplots(rows=rows, cols=columns)
    said: list[str] = []
    for index, metric in enumerate(subject.metrics):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        frame = finite(subject.complete, metric)
        is_log_metric = is_skewed(frame[metric])
        if parameter.is_numerical:
            said += _add_scatter(figure, frame, parameter, metric, is_log_metric, place)
        else:
            said += _add_violins(figure, frame, parameter, metric, place)
        figure.update_yaxes(
            title_text=escaped(subject.names.of_metric(metric)), type="log" if is_log_metric else "linear", **place
        )
        figure.update_xaxes(title_text=escaped(subject.names.of_parameter(parameter.key)), **place)
    figure.update_layout(showlegend=False)
    return sized(figure, 340 * rows, *dict.fromkeys(said))


def _add_scatter(
    figure: Any, frame: Any, parameter: Parameter, metric: str, is_log_metric: bool, place: dict[str, int]
) -> list[str]:
    """Adds the points and their trend; what is to be said of them."""
    frame, left_out = on_axis(frame, parameter)
    values = values_of(frame, parameter).to_numpy(dtype=float)
    is_log = parameter.is_log
    shown = thinned(frame.assign(shown=values), MAX_POINTS)
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
    return list(filter(None, (thinning(len(frame), MAX_POINTS), left_out)))


def _add_violins(figure: Any, frame: Any, parameter: Parameter, metric: str, place: dict[str, int]) -> list[str]:
    """Adds the violins with their points; what is to be said of them."""
    labels = labels_of(frame, parameter)
    choices, said = commonest(parameter, labels, MAX_CHOICES)
    for index, choice in enumerate(choices):
        of_choice = frame[labels == choice]
        chosen = thinned(of_choice, _MAX_OF_CHOICE)
        if len(of_choice) > _MAX_OF_CHOICE:
            said.append(f"{choice}: {thinning(len(of_choice), _MAX_OF_CHOICE)}")
        figure.add_violin(
            y=chosen[metric].tolist(),
            name=escaped(choice),
            text=[f"trial {number}" for number in chosen["number"]],
            points="all",
            jitter=0.3,
            pointpos=0,
            marker={"size": 3, "opacity": 0.5, "color": "#222222"},
            line={"color": COLORS[index % len(COLORS)]},
            spanmode="hard",
            **place,
        )
    figure.update_xaxes(type="category", **place)
    return said
