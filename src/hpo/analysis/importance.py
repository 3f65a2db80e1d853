"""How much each parameter decides whether a trial is among the good ones, and which pairs act together."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from hpo.analysis.history import Floats
from hpo.analysis.levels import commonest, labels_of
from hpo.analysis.parameters import Parameter
from hpo.analysis.study import quiet, searched, study_of, thinned
from hpo.analysis.subject import Subject, values_of
from hpo.counted import counted
from hpo.frames import column_of

if TYPE_CHECKING:
    import optuna
    import pandas

MIN_TRIALS = 8
MAX_TRIALS = 3000
_MAX_PARAMETERS = 8
_MAX_CHOICES = 8
_ALL_ALIKE = "all complete trials have the same value"


def importances(study: optuna.Study, objective: int = 0) -> dict[str, float] | str:
    """The shares that PED-ANOVA gives the parameters of a study, largest first; why there are none, in words."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.study import StudyDirection

    trials = study.get_trials(deepcopy=False)
    values = [trial.values[objective] for trial in trials if trial.values is not None]
    if len(values) < MIN_TRIALS:
        return (
            f"too few for importances: {counted(len(values), 'complete trial')}, at least {MIN_TRIALS} are needed"
        )
    if len(set(values)) < 2:
        return _ALL_ALIKE
    if not any(trial.params for trial in trials):
        return "no parameter varies"
    # the evaluator takes a low target for a good one, whatever the study's direction
    sign = -1.0 if study.directions[objective] is StudyDirection.MAXIMIZE else 1.0
    with quiet():
        found = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(), target=lambda trial: sign * trial.values[objective]
        )
    shares = {name: float(share) for name, share in found.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def of_subject(subject: Subject) -> list[dict[str, float] | str]:
    """For each objective the importances, by the names that are shown."""
    study = study_of(subject, thinned(subject.complete, MAX_TRIALS))
    return [importances(study, index) for index in range(len(subject.objectives))]


def by_importance(subject: Subject, shares: dict[str, float] | str) -> list[Parameter]:
    """The searched parameters, the most important first."""
    known = shares if isinstance(shares, dict) else {}
    return sorted(
        searched(subject.parameters), key=lambda each: -known.get(subject.names.of_parameter(each.key), -1.0)
    )


def interactions(subject: Subject, ordered: list[Parameter]) -> tuple[list[Parameter], Floats] | str:
    """Which part of the first objective's variance each pair explains beyond what both explain alone.

    By least squares: quadratic terms of numbers, one term for each choice, and their products; adjusted for the
    number of terms. The matrix is symmetric, NaN on its diagonal and where a pair has too few trials.
    """
    parameters = ordered[:_MAX_PARAMETERS]
    if len(parameters) < 2:
        return "there is no pair of parameters"
    frame = thinned(subject.complete, MAX_TRIALS)
    y = frame[column_of(subject.first.name)].to_numpy(dtype=float)
    if len(frame) < MIN_TRIALS:
        return (
            f"too few for interactions: {counted(len(frame), 'complete trial')}, at least {MIN_TRIALS} are needed"
        )
    if y.std() == 0:
        return _ALL_ALIKE
    # ranks: one trial that diverged is not to decide
    y = np.argsort(np.argsort(y)).astype(float)
    terms = [_terms(frame, each) for each in parameters]
    strength = np.full((len(parameters), len(parameters)), np.nan)
    for i, j in combinations(range(len(parameters)), 2):
        known = ~(np.isnan(terms[i]).any(axis=1) | np.isnan(terms[j]).any(axis=1))
        one, other = terms[i][known], terms[j][known]
        if not len(one):
            continue  # two options of one choice: no trial has both
        products = (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)
        alone = np.column_stack([np.ones(len(one)), one, other])
        both = np.column_stack([alone, products])
        if len(one) > 2 * both.shape[1]:
            gain = _adjusted_r2(both, y[known]) - _adjusted_r2(alone, y[known])
            strength[i, j] = strength[j, i] = max(0.0, gain)
    return parameters, strength


def _terms(frame: pandas.DataFrame, parameter: Parameter) -> Floats:
    if parameter.is_numerical:
        values = values_of(frame, parameter).to_numpy(dtype=float)
        if parameter.is_log:
            values = np.log10(np.where(values > 0, values, np.nan))
        spread = np.nanstd(values) or 1.0
        scaled = (values - np.nanmean(values)) / spread
        return np.column_stack([scaled, scaled**2 - 1])
    labels = labels_of(frame, parameter)
    choices = commonest(parameter, labels, _MAX_CHOICES)[0][1:]
    columns = [np.where(labels.isna(), np.nan, labels == label).astype(float) for label in choices]
    return np.column_stack(columns) if columns else np.zeros((len(frame), 1))


def _adjusted_r2(terms: Floats, y: Floats) -> float:
    solution, _, rank, _ = np.linalg.lstsq(terms, y, rcond=None)
    left = float(((y - terms @ solution) ** 2).sum())
    total = float(((y - y.mean()) ** 2).sum())
    freedom = len(y) - int(rank)
    return 1 - (left / freedom) / (total / (len(y) - 1)) if freedom > 0 and total > 0 else 0.0
