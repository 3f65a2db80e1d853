"""What is drawn: the artists of each figure, held against the data that is planted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas
import pytest
from matplotlib import pyplot
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution, FloatDistribution

from hpo.analysis import canvas
from hpo.analysis.curves import curves
from hpo.analysis.draw_course import draw_curves, draw_history, draw_timeline
from hpo.analysis.draw_overview import (
    draw_contour,
    draw_importance,
    draw_interactions,
    draw_parallel,
    draw_pareto,
)
from hpo.analysis.draw_parameters import draw_parameter
from hpo.analysis.figures import Weights, figures
from hpo.analysis.history import best_so_far
from hpo.analysis.loading import load
from hpo.analysis.parameters import Parameter
from hpo.analysis.plotly_course import learning_curves, timeline
from hpo.analysis.plotly_parameters import parameter_plot
from hpo.analysis.subject import Subject, chosen
from hpo.records import State
from tests.analysis.planted import Trial, delay, plant

Quadratic = Callable[..., DictConfig]


@pytest.fixture(autouse=True)
def _drawing() -> Iterator[None]:
    with canvas.drawing():
        yield
    assert pyplot.get_fignums() == [], "a figure is left open"


@pytest.fixture(scope="module")
def weights(subject: Subject) -> Weights:
    return Weights.of(subject)


def drawn(figure: Figure | str) -> Figure:
    assert isinstance(figure, Figure), figure
    return figure


def points(panel: Any) -> np.ndarray:
    return np.concatenate([each.get_offsets() for each in panel.collections if isinstance(each, PathCollection)])


def parameter(subject: Subject, key: str) -> Parameter:
    return next(each for each in subject.parameters if each.key == key)


def test_the_history_has_each_trial_and_the_best_so_far(subject: Subject) -> None:
    (panel,) = drawn(draw_history(subject)).axes
    values = subject.complete["val_loss"].to_numpy()
    (line,) = panel.lines

    assert np.array_equal(points(panel), np.column_stack([subject.complete["number"], values]))
    assert np.array_equal(line.get_ydata(), best_so_far(values, is_min=True))
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("trial number", "val_loss")


def test_a_numerical_parameter_is_a_scatter_with_a_trend_on_the_axis_of_its_space(subject: Subject) -> None:
    figure = drawn(draw_parameter(subject, parameter(subject, "optimizer_config.lr")))
    assert [panel.get_ylabel() for panel in figure.axes] == [
        *("val_loss", "val_accuracy", "train_loss", "train_accuracy")
    ]
    panel = figure.axes[0]
    shown = points(panel)
    trend = next(line for line in panel.lines if line.get_label() == "trend")

    assert panel.get_xscale() == "log"
    assert panel.get_xlabel() == "lr"
    assert sorted(shown[:, 0]) == pytest.approx(sorted(subject.complete["params_optimizer_config.lr"]))
    # the valley is planted at 0.01
    assert 3e-3 < trend.get_xdata()[np.argmin(trend.get_ydata())] < 3e-2
    assert draw_parameter(subject, parameter(subject, "model_config.dropout")).axes[0].get_xscale() == "linear"  # type: ignore[union-attr]


def test_the_trend_of_what_does_not_matter_is_flat(subject: Subject) -> None:
    def span(key: str) -> float:
        panel = drawn(draw_parameter(subject, parameter(subject, key))).axes[0]
        trend = np.asarray(next(line for line in panel.lines if line.get_label() == "trend").get_ydata())
        return float(np.ptp(trend))

    assert span("model_config.dropout") < 0.3 * span("optimizer_config.lr")


def test_a_categorical_parameter_is_violins_with_the_points(subject: Subject) -> None:
    figure = drawn(draw_parameter(subject, parameter(subject, "model_config.activation")))
    panel = figure.axes[0]
    counts = subject.complete["params_model_config.activation"].value_counts()

    assert [label.get_text() for label in panel.get_xticklabels()] == [
        f"{name}\n(n={counts[name]})" for name in ("relu", "tanh", "gelu")
    ]
    bodies = [each for each in panel.collections if not isinstance(each, PathCollection)]
    assert len(bodies) == 3
    assert len(points(panel)) == len(subject.complete)
    tanh = subject.complete.loc[subject.complete["params_model_config.activation"] == "tanh", "val_loss"]
    assert sorted(bodies[1].get_paths()[0].vertices[:, 1])[0] == pytest.approx(tanh.min())


def test_curves_of_trials_that_did_not_complete_are_dimmed(subject: Subject) -> None:
    found, said = curves(subject, subject.first)
    (panel,) = drawn(draw_curves(subject)).axes
    groups = {str(each.get_label()): each for each in panel.collections if isinstance(each, LineCollection)}
    num_dimmed = sum(curve.is_dimmed for curve in found)

    assert said is None
    assert num_dimmed == len(subject.trials) - len(subject.complete)
    num_single = sum(curve.is_dimmed and len(curve.steps) == 1 for curve in found)
    assert len(groups["dimmed"].get_segments()) == num_dimmed - num_single
    assert len(points(panel)) == num_single
    assert groups["dimmed"].get_alpha() == 0.7
    assert len(groups["complete"].get_segments()) + 5 == len(found) - num_dimmed
    best = subject.best()
    assert best is not None
    assert panel.lines[-1].get_label() == f"trial {best['number']}"


def test_importance_is_a_bar_for_each_parameter_the_longest_first(subject: Subject, weights: Weights) -> None:
    (panel,) = drawn(draw_importance(subject, weights.shares)).axes
    widths = [bar.get_width() for bar in panel.patches]

    assert next(label.get_text() for label in panel.get_yticklabels()) == "lr"
    assert isinstance(weights.shares[0], dict)
    assert widths == pytest.approx(list(weights.shares[0].values()))
    assert widths == sorted(widths, reverse=True)


def test_the_contour_is_of_the_two_most_important_and_low_where_the_best_are(
    subject: Subject, weights: Weights
) -> None:
    figure = drawn(draw_contour(subject, weights.ordered))
    panel = figure.axes[0]

    assert {panel.get_xlabel(), panel.get_ylabel()} == {"lr", "hidden_size"}
    scales = {panel.get_xlabel(): panel.get_xscale(), panel.get_ylabel(): panel.get_yscale()}
    assert scales == {"lr": "log", "hidden_size": "linear"}


def test_parallel_coordinates_have_a_line_for_each_trial(subject: Subject, weights: Weights) -> None:
    figure = drawn(draw_parallel(subject, weights.ordered))
    (lines,) = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]

    assert len(lines.get_segments()) == len(subject.complete)
    assert next(text.get_text() for text in figure.axes[0].get_xticklabels()) == "val_loss"


def test_the_interactions_are_the_lower_half_of_a_matrix(subject: Subject, weights: Weights) -> None:
    panel = drawn(draw_interactions(subject, weights.ordered)).axes[0]
    (mesh,) = panel.collections

    assert np.ma.count(mesh.get_array()) == 10


def test_the_timeline_has_a_bar_for_each_trial_and_says_how_busy_the_slots_were(subject: Subject) -> None:
    slots, running = drawn(draw_timeline(subject)).axes
    bars = sum(len(each.get_paths()) for each in slots.collections)

    assert bars == len(subject.trials)
    assert "240 trials in" in slots.get_title(loc="left")
    assert "busy" in slots.get_title(loc="left")
    assert slots.get_xlabel() == "time since the first start (min)"
    assert running.get_ylabel() == "running trials"


def test_a_week_without_trials_is_left_out_of_the_timeline_and_said(quadratic: Quadratic) -> None:
    paths = plant(quadratic(), [Trial({"task.x": float(i)}, {"loss": float(i)}) for i in range(8)])
    delay(paths, since=4, days=7)
    paused = chosen(load(paths.root))

    slots, _ = drawn(draw_timeline(paused)).axes
    interactive = timeline(paused)

    assert slots.get_title(loc="left").endswith(", 1 pause of 7 d")
    assert slots.get_xlabel() == "time since the first start (s, pauses left out)"
    assert [text.get_text() for text in slots.texts] == ["7 d"]
    assert slots.dataLim.x1 < 100
    assert interactive.layout.xaxis.title.text == "time since the first start (s, pauses left out)"
    assert [each.text for each in interactive.layout.annotations if each.text == "7 d"] == ["7 d"]


def test_the_pareto_front_is_what_no_other_trial_beats(quadratic: Quadratic) -> None:
    config = quadratic(optim_metrics={"loss": "min", "score": "max"})
    values = [(1.0, 1.0), (2.0, 2.0), (3.0, 2.0), (0.5, 0.0), (0.1, 9.0)]
    trials = [
        Trial({"task.x": float(i)}, {"loss": loss, "score": score}, is_feasible=i != 4)
        for i, (loss, score) in enumerate(values)
    ]
    (panel,) = drawn(draw_pareto(chosen(load(plant(config, trials).root)))).axes
    others, front = panel.collections

    assert sorted(map(tuple, front.get_offsets())) == [(0.5, 0.0), (1.0, 1.0), (2.0, 2.0)]
    assert len(others.get_offsets()) == 2
    assert panel.get_xlabel() == "loss (lower is better)"
    assert panel.get_ylabel() == "score (higher is better)"


def test_names_are_replaced_and_a_dollar_is_no_formula(quadratic: Quadratic) -> None:
    trials = [Trial({"task.x": float(i)}, {"loss": float(i)}) for i in range(10)]
    found = chosen(load(plant(quadratic(), trials).root), {"task.x": "$x_{1$"}, {"loss": r"cost \frac{$"})
    figure = drawn(draw_parameter(found, found.parameters[0]))

    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("$x_{1$", r"cost \frac{$")
    figure.canvas.draw()


def test_no_two_labels_of_an_axis_overlap(subject: Subject, weights: Weights) -> None:
    for name, figure in figures(subject, weights):
        if name == "parallel_coordinates":
            continue
        shown = drawn(figure)
        canvas.spell_logarithms(shown)
        shown.canvas.draw()
        for panel in shown.axes:
            boxes = [
                label.get_window_extent()
                for label in panel.get_xticklabels()
                if label.get_text() and label.get_visible() and not label.get_rotation()
            ]
            boxes.sort(key=lambda box: box.x0)
            assert all(one.x1 <= other.x0 + 1 for one, other in itertools.pairwise(boxes)), name


def test_a_trial_that_diverged_does_not_flatten_the_others(quadratic: Quadratic) -> None:
    trials = [Trial({"task.x": float(i)}, {"loss": -1.0 + 0.1 * i}) for i in range(20)]
    trials.append(Trial({"task.x": 3.5}, {"loss": 1e6}))
    found = chosen(load(plant(quadratic(), trials).root))
    panel = drawn(draw_parameter(found, found.parameters[0])).axes[0]

    assert panel.get_ylim()[1] < 100
    assert any("1 beyond the axis" in text.get_text() for text in panel.texts)


def test_a_default_of_zero_is_not_on_a_logarithmic_axis_and_that_is_said(quadratic: Quadratic) -> None:
    trials = [Trial({"task.x": 10.0 ** -(i % 4)} if i % 2 else {}, {"loss": float(i)}) for i in range(20)]
    kinds = {"task.x": FloatDistribution(1e-4, 1, log=True)}
    found = chosen(load(plant(quadratic(), trials, distributions=kinds).root))
    panel = drawn(draw_parameter(found, found.parameters[0])).axes[0]

    assert panel.get_xscale() == "log"
    assert len(points(panel)) == 10
    assert "10 trials with 0 or less not on the logarithmic axis" in panel.get_title()


def test_the_state_of_a_curve_is_that_of_its_trial(quadratic: Quadratic) -> None:
    trials = [
        Trial({"task.x": 1.0}, {"loss": 1.0}, losses=[3.0, 1.0]),
        Trial({"task.x": 2.0}, {"loss": 2.0}, State.PRUNED_POOR_PERFORMANCE, losses=[4.0, 2.0]),
        Trial({"task.x": 2.0}, state=None, losses=[4.0, float("nan"), 2.0]),
        Trial({"task.x": 3.0}, {"loss": 0.5}, losses=[2.0, 0.5]),
    ]
    found = chosen(load(plant(quadratic(), trials).root))
    shown, _ = curves(found, found.first)

    assert {curve.number: (curve.rank, curve.is_dimmed) for curve in shown} == {
        0: (1, False),
        1: (None, True),
        2: (None, True),
        3: (0, False),
    }
    assert next(curve for curve in shown if curve.number == 2).steps.tolist() == [1, 3]


def test_a_trial_has_one_colour_and_one_entry_of_the_legend_for_all_objectives(quadratic: Quadratic) -> None:
    config = quadratic(optim_metrics={"loss": "min", "score": "max"})
    found = chosen(
        load(
            plant(config, [Trial({"task.x": float(i)}, {"loss": 9.0 - i, "score": i % 4}) for i in range(9)]).root
        )
    )
    # the reports of planted trials have no score
    rows = [
        {
            "experiment_id": "x",
            "number": n,
            "replicate": 0,
            "step": step,
            "loss": 9.0 - n + step,
            "score": (n % 4) * step,
        }
        for n in range(9)
        for step in (1, 2)
    ]
    results = pandas.DataFrame(rows).assign(experiment_id=found.trials["experiment_id"].iloc[0])
    found = replace(found, loaded=replace(found.loaded, results=results))
    of_png = [
        {line.get_label(): to_hex(line.get_color()) for line in panel.lines}
        for panel in drawn(draw_curves(found)).axes
    ]
    report = learning_curves(found)
    traces = [each for each in report.data if each.name.startswith("trial")]
    shown = [each.name for each in report.data if each.showlegend]

    assert of_png[0] == of_png[1]
    assert len(set(of_png[0].values())) == len(of_png[0]) > 5
    assert {each.name: each.line.color for each in traces} == of_png[0]
    assert all(each.line.color == of_png[0][each.name] for each in traces)
    assert sorted(shown) == sorted({*of_png[0], "complete"} if "complete" in shown else of_png[0])


def test_a_trial_pruned_after_one_evaluation_is_a_dot(quadratic: Quadratic) -> None:
    trials = [
        *(Trial({"task.x": float(i)}, {"loss": 1.0 + i}, losses=[3.0, 1.0 + i]) for i in range(3)),
        *(Trial({"task.x": 9.0 + i}, {}, State.PRUNED_POOR_PERFORMANCE, losses=[9.0 + i]) for i in range(2)),
    ]
    found = chosen(load(plant(quadratic(), trials).root))
    (panel,) = drawn(draw_curves(found)).axes
    (dimmed,) = [each for each in learning_curves(found).data if each.name.startswith("pruned")]

    assert points(panel).tolist() == [[1.0, 9.0], [1.0, 10.0]]
    assert panel.get_ylim()[1] > 10
    assert list(dimmed.marker.size) == [5, 5, 5, 5]


def test_no_legend_covers_trials_of_the_history(subject: Subject) -> None:
    figure = drawn(draw_history(subject))
    figure.draw_without_rendering()
    (panel,) = figure.axes
    legend = panel.get_legend()

    assert legend is not None
    assert legend.get_window_extent().x0 >= panel.get_window_extent().x1


def test_choices_that_are_numbers_are_in_their_order_on_the_parallel_coordinates(quadratic: Quadratic) -> None:
    sizes = [16, 128, 32, 9, 1024]
    trials = [Trial({"task.x": float(i), "task.y": sizes[i % 5]}, {"loss": float(i)}) for i in range(15)]
    kinds = {"task.y": CategoricalDistribution(sizes)}
    found = chosen(load(plant(quadratic(), trials, distributions=kinds).root))
    figure = drawn(draw_parallel(found, Weights.of(found).ordered))
    ticks = [[text.get_text() for text in axes.get_yticklabels()] for axes in figure.axes]

    assert ["9", "16", "32", "128", "1024"] in ticks


def test_of_many_choices_picture_and_report_show_those_of_most_trials(quadratic: Quadratic) -> None:
    tried = [f"c{index:02}" for index in range(25) for _ in range(2 if index >= 5 else 1)]
    trials = [Trial({"task.x": choice}, {"loss": float(at)}) for at, choice in enumerate(tried)]
    found = chosen(load(plant(quadratic(), trials).root))
    (parameter,) = (each for each in found.parameters if each.key == "task.x")
    (panel, *_) = drawn(draw_parameter(found, parameter)).axes
    shown = [text.get_text().partition("\n")[0] for text in panel.get_xticklabels()]
    violins = [trace.name for trace in parameter_plot(found, parameter).data if trace.type == "violin"]

    assert shown == [f"c{index:02}" for index in range(5, 25)]
    assert violins[:20] == shown
