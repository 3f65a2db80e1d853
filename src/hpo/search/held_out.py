"""Evaluates the best trial on the data that was held back."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.experiment.experiment import Experiment
from hpo.overrides import encode
from hpo.records import TrialSpec
from hpo.search.stream import Stream, the_end
from hpo.trial.attempt import RUN_TEST


def test_best(experiment: Experiment, stream: Stream, fixed: Sequence[str]) -> None:
    """Evaluate the best trial, once, on the data that was held back, if any was."""
    number = experiment.progress.best()
    if not experiment.has_test or number is None or experiment.progress.trial(number).test_metrics:
        return
    params = experiment.progress.params(number)
    overrides = (*fixed, RUN_TEST, *encode(params))
    stream.submit(TrialSpec(number, overrides=overrides, subdir=experiment.progress.trial_id(number)))
    experiment.record_test(the_end(stream))
