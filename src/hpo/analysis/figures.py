"""All figures of an analysis by their names, drawn one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hpo.analysis import canvas
from hpo.analysis.draw_course import draw_curves, draw_history, draw_timeline
from hpo.analysis.draw_overview import (
    draw_contour,
    draw_importance,
    draw_interactions,
    draw_parallel,
    draw_pareto,
)
from hpo.analysis.draw_parameters import draw_parameter
from hpo.analysis.importance import by_importance, of_subject
from hpo.analysis.parameters import Parameter
from hpo.analysis.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_NAME = 80


@dataclass(frozen=True)
class Weights:
    """For each objective the importances, and the parameters with the most important one first."""

    shares: list[dict[str, float] | str]
    ordered: list[Parameter]

    @classmethod
    def of(cls, subject: Subject) -> Weights:
        try:
            shares = of_subject(subject)
        except Exception as error:
            shares = [f"could not be told: {type(error).__name__}: {error}"] * len(subject.objectives)
        return cls(shares, by_importance(subject, shares[0]))


def figures(subject: Subject, weights: Weights) -> Iterator[tuple[str, Figure | str]]:
    """Each figure's name, and the figure or why there is none."""
    drawn: dict[str, Callable[[], Figure | str]] = {
        "history": lambda: draw_history(subject),
        "learning_curves": lambda: draw_curves(subject),
        "importance": lambda: draw_importance(subject, weights.shares),
        "interactions": lambda: draw_interactions(subject, weights.ordered),
        "contour": lambda: draw_contour(subject, weights.ordered),
        "parallel_coordinates": lambda: draw_parallel(subject, weights.ordered),
        "timeline": lambda: draw_timeline(subject),
    }
    if len(subject.objectives) > 1:
        drawn["pareto_front"] = lambda: draw_pareto(subject)
    for each in subject.parameters:
        name = _distinct(f"parameter_{each.key}", drawn)
        drawn[name] = partial(draw_parameter, subject, each)
    for name, draw in drawn.items():
        with canvas.drawing():
            yield name, attempted(draw)


def attempted(draw: Callable[[], Figure | str]) -> Figure | str:
    """The figure; one that a library cannot draw of these values is not to cost the others."""
    try:
        # values beyond all numbers are infinite, without a word
        with np.errstate(all="ignore"):
            return draw()
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        return f"could not be drawn: {type(error).__name__}: {first}"


def _distinct(name: str, taken: dict[str, Callable[[], Figure | str]]) -> str:
    """A file's name for a key that may hold anything, and that no other figure has."""
    plain = re.sub(r"[^\w.-]+", "_", name)[:_MAX_NAME]
    count = 1
    found = plain
    while found in taken:
        count += 1
        found = f"{plain}_{count}"
    return found
