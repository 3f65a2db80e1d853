"""Without --multirun: one trial with the configured values, in this process, into the same layout."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf import DictConfig, flag_override
from optuna.samplers import RandomSampler

from hpo.config import Verbose
from hpo.experiment.checks import check_config
from hpo.experiment.data_source import find_data_source
from hpo.experiment.directory import check_new
from hpo.experiment.earlier import check_no_search, check_places, check_same_training, check_study, find_earlier
from hpo.experiment.experiment import Experiment
from hpo.interrupts import heeding_signals
from hpo.search.budget import Budget, Limits
from hpo.search.constraint_check import Constraints
from hpo.search.constraints import HardConstraints
from hpo.search.dry_run import describe
from hpo.search.held_out import test_best
from hpo.search.inline import InlineStream
from hpo.search.loop import Search
from hpo.search.method import Method
from hpo.search.plan import Plan
from hpo.search.reconcile import reconcile
from hpo.search.retries import Retries
from hpo.search.sampler import SamplerChoice
from hpo.search.soft_constraints import SoftConstraints
from hpo.search.sweep import finish, opened
from hpo.search.tree import SearchSpace
from hpo.terminal import TerminalHandler, show
from hpo.trial.check import check


def run_single(config: DictConfig) -> None:
    """Train once and show the result. Exits with status 1 when the trial failed.

    Raises HpoError for bad input, before anything is on disk.
    """
    check_config(config)
    with flag_override(config, ["struct", "readonly"], False):
        config.search_space = {}
        config.total_trials = config.concurrent_trials = 1
    method = Method(
        SearchSpace(),
        SamplerChoice(lambda number: RandomSampler(seed=number)),
        Plan((), (), total_trials=1),
        Constraints(HardConstraints(()), SoftConstraints(())),
    )
    earlier = find_earlier(config) if config.resume else None
    if config.dry_run:
        show(describe(config, method, earlier))
        return
    if earlier is None:
        check_new(config)
    source = find_data_source(config)
    if earlier is not None:
        check_no_search(earlier)
        check_places(earlier, config)
        check_study(earlier)
        check_same_training(earlier, config, source)
    check(config)
    with opened(config, source, earlier) as experiment, _training_on_terminal(config, experiment):
        stream = InlineStream(config, experiment.paths)
        study = method.study(
            experiment.objectives, experiment.study_place, experiment.paths.experiment_id, config.db_timeout_s
        )
        try:
            proposals = method.proposals(study, config)
            budget = Budget(Limits(), experiment.objectives)
            left = reconcile(study, experiment, ())
            search = Search(
                *(study, stream, experiment, proposals, budget),
                fixed=(),
                total_trials=1,
                concurrent_trials=1,
                left=left,
                retries=Retries.of(config),
            )
            with heeding_signals():
                search.run()
        finally:
            study.close()
        test_best(experiment, stream, ())
    finish(experiment)


@contextmanager
def _training_on_terminal(config: DictConfig, experiment: Experiment) -> Iterator[None]:
    """Show the lines of train.log as well, unless silent; beside a table those alone that warn."""
    logger = logging.getLogger("hpo.train")
    handler = TerminalHandler()
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or not experiment.shown.has_table)
    if config.verbose != Verbose.silent:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
