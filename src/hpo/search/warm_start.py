"""What an earlier study has found out, for the sampler of a new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.errors import ConfigError
from hpo.experiment import sqlite
from hpo.objectives import Objective
from hpo.paths import EXPERIMENT_PREFIX, ExperimentPaths
from hpo.records import Value
from hpo.resolved import without_passwords
from hpo.search.spelled import spelled_values
from hpo.search.tree import Parameter, SearchSpace
from hpo.stored import is_there, readable

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_OF_CONSTRAINTS = "constraints"
_OF_THE_DUPLICATE = "duplicate_of"
_WARM = "warm_start"
# no parameter has this value, not even one that may be null
_NONE = object()


@dataclass(frozen=True)
class WarmStart:
    """Finished trials with the distributions of the new space, and what is told of them."""

    trials: Sequence[FrozenTrial] = ()
    said: str | None = None


def read_warm_start(source: str | None, space: SearchSpace, objectives: Sequence[Objective]) -> WarmStart:
    """The complete and pruned trials of an experiment's directory, or of the study at a URL.

    Raises ConfigError where there is no study, and one for all in which the two do not agree: the names and
    directions of the objectives, and the kinds of parameters. A trial whose values lie outside the new space, or
    that lacks one of its parameters, is left out.
    """
    if source is None:
        return WarmStart()
    with _opened(source) as study:
        source = without_passwords(source)
        problems = _of_objectives(study, objectives)
        trials = study.get_trials(states=_FINISHED)
    distributions = space.distributions
    finished = [
        trial
        for trial in trials
        if _OF_THE_DUPLICATE not in trial.user_attrs and (trial.values or trial.intermediate_values)
    ]
    known: dict[str, BaseDistribution] = {}
    for trial in finished:
        known |= trial.distributions
    shared = known.keys() & distributions.keys()
    problems += [
        f"{name} has {spelled_values(known[name])} there and {spelled_values(distributions[name])} here"
        for name in distributions
        if name in shared and not _agree(known[name], distributions[name])
    ]
    if finished and distributions and not shared:
        problems.append(f"no parameter is the same: there are {', '.join(known)} there")
    if problems:
        raise ConfigError("\n".join([f"warm_start={source} does not fit this search:", *problems]))
    taken = [taken for trial in finished if (taken := _taken(trial, space)) is not None]
    said = f"warm_start: {len(taken)} of the {len(finished)} finished trials of {source} are known to the sampler"
    if len(taken) < len(finished):
        said += "; the others lack a parameter of this space, or have a value outside of it"
    return WarmStart(taken, said)


def is_warm(trial: FrozenTrial) -> bool:
    """Whether a trial is of an earlier study, and not one of its own study's."""
    return _WARM in trial.user_attrs


@contextmanager
def _opened(source: str) -> Iterator[optuna.Study]:
    url, source = source, without_passwords(source)
    if "://" not in source:
        root = Path(source).absolute()
        database = ExperimentPaths.of(root).study_db if root.name.startswith(EXPERIMENT_PREFIX) else None
        if database is None or not is_there(database):
            raise ConfigError(
                f"warm_start={source} has no study: give the directory of an experiment, with its databases, or "
                "the URL of a study such as sqlite:///study.db"
            )
        url = sqlite.url(readable(database))
    file = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else None
    if file is not None and not Path(file).is_file():
        raise ConfigError(f"warm_start={source} cannot be opened: there is no file {file}")
    optuna.logging.disable_default_handler()
    with ExitStack() as stack:
        try:
            storage = RDBStorage(url)
            stack.callback(storage.engine.dispose)
            stack.callback(storage.remove_session)
            study = optuna.load_study(study_name=None, storage=storage)
        except Exception as error:
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(f"warm_start={source} cannot be opened: {first_line}") from error
        yield study


def _of_objectives(study: optuna.Study, objectives: Sequence[Objective]) -> list[str]:
    here = [objective.optuna_direction for objective in objectives]
    there = [direction.name.lower() for direction in study.directions]
    problems = []
    if here != there:
        problems.append(f"its directions are {', '.join(there)}, and those of optim_metrics {', '.join(here)}")
    names = [objective.name for objective in objectives]
    if study.metric_names is not None and study.metric_names != names:
        problems.append(f"it optimizes {', '.join(study.metric_names)}, and this search {', '.join(names)}")
    return problems


def _agree(there: BaseDistribution, here: BaseDistribution) -> bool:
    if isinstance(there, CategoricalDistribution) or isinstance(here, CategoricalDistribution):
        return there == here
    return type(there) is type(here) and getattr(there, "log", False) == getattr(here, "log", False)


def _taken(trial: FrozenTrial, space: SearchSpace) -> FrozenTrial | None:
    """The trial as one of this space; None where it is not."""
    lacking: list[str] = []

    def values_of(parameter: Parameter) -> tuple[Value, ...]:
        value = trial.params.get(parameter.name, _NONE)
        if parameter.holds(value):
            return (parameter.canonical(value),)
        lacking.append(parameter.name)
        return ()

    params = {each.name: value for each, value in space.chosen(values_of) if each.distribution is not None}
    if lacking or params.keys() != trial.params.keys():
        return None
    return create_trial(
        state=trial.state,
        values=trial.values,
        params=params,
        distributions={name: space.distributions[name] for name in params},
        intermediate_values=trial.intermediate_values,
        user_attrs=trial.user_attrs | {_WARM: trial.number},
        system_attrs={key: value for key, value in trial.system_attrs.items() if key.startswith(_OF_CONSTRAINTS)},
    )
