"""Whether a search space holds all that an earlier one of the same experiment held."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

from hpo.errors import ExperimentError, SearchSpaceError
from hpo.paths import ExperimentPaths
from hpo.search.spelled import spelled_values
from hpo.search.tree import SearchSpace
from hpo.stored import is_there, reading


def check_wider(paths: ExperimentPaths, space: SearchSpace) -> None:
    """Raise one SearchSpaceError for all in which `space` is narrower than that of the study on disk."""
    here = space.distributions
    problems = [
        f"  {name}: {spelled_values(there)} -> {spelled_values(here[name]) if name in here else 'not searched'}"
        for name, there in _there(paths)
        if name not in here or not _is_wider(here[name], there)
    ]
    if problems:
        raise SearchSpaceError(
            f"{paths.root} cannot be continued: its search space may get wider, and no narrower.\n"
            + "\n".join(dict.fromkeys(problems))
        )


def _there(paths: ExperimentPaths) -> Iterator[tuple[str, BaseDistribution]]:
    """Every parameter of the study and the distributions that it has had."""
    if not is_there(paths.study_db):
        return
    try:
        with closing(reading(paths.study_db)) as connection:
            rows = connection.execute("SELECT DISTINCT param_name, distribution_json FROM trial_params").fetchall()
    except sqlite3.OperationalError:  # the scheduler died before it had made the tables
        return
    except sqlite3.DatabaseError as error:
        raise ExperimentError(
            f"{paths.root} cannot be continued: its study, {paths.study_db.name}, cannot be read: {error}"
        ) from error
    for name, text in rows:
        yield name, json_to_distribution(text)


def _is_wider(here: BaseDistribution, there: BaseDistribution) -> bool:
    if isinstance(here, CategoricalDistribution) and isinstance(there, CategoricalDistribution):
        known = [(type(choice), choice) for choice in here.choices]
        return all((type(choice), choice) in known for choice in there.choices)
    for kind in (FloatDistribution, IntDistribution):
        if isinstance(here, kind) and isinstance(there, kind):
            is_same = (here.log, here.step) == (there.log, there.step)
            return is_same and here.low <= there.low and here.high >= there.high
    return False
