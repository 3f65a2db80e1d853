"""One sweep from its arguments to its summary."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, flag_override
from omegaconf.errors import OmegaConfBaseException
from sqlalchemy.exc import OperationalError

from hpo import garbage
from hpo.disk import disk_error, is_of_a_disk
from hpo.ending import NoneCompleted
from hpo.errors import ClusterError, DeviceError, DiskError, HpoError, MisfitError, StoreError
from hpo.experiment.checks import check_budgets, check_config
from hpo.experiment.data_source import find_data_source
from hpo.experiment.databases import lost_store
from hpo.experiment.directory import check_new
from hpo.experiment.earlier import (
    Earlier,
    check_places,
    check_same_training,
    check_study,
    find_earlier,
    spelled_change,
)
from hpo.experiment.experiment import Experiment
from hpo.experiment.retrain import paused, waiting
from hpo.experiment.summary import summary
from hpo.interrupts import heeding_signals
from hpo.objectives import objectives
from hpo.records import DataSource, State
from hpo.resources import is_constant, need_of
from hpo.search.batches import BatchStream
from hpo.search.budget import Budget, Limits
from hpo.search.check import read_checked_space
from hpo.search.constraint_check import read_constraints
from hpo.search.dry_run import describe
from hpo.search.held_out import test_best
from hpo.search.loop import Search
from hpo.search.method import Method
from hpo.search.plan import plan
from hpo.search.preflight import preflight
from hpo.search.pruner import build_pruner
from hpo.search.reconcile import reconcile
from hpo.search.retries import Retries
from hpo.search.sampler import build_sampler
from hpo.search.stream import Following, Placing, Stream
from hpo.search.warm_start import read_warm_start
from hpo.search.wider import check_wider
from hpo.shell import resume_command
from hpo.terminal import show


def sweep(
    config: DictConfig,
    context: HydraContext,
    launcher: Launcher,
    sampler_config: DictConfig,
    arguments: Sequence[str],
) -> None:
    """Search until the budget ends, and show the best trial. Exits with status 1 when no trial completed.

    Raises HpoError for bad input, before anything is on disk.
    """
    space = read_checked_space(config, arguments, context.config_loader)
    check_config(config)
    check_budgets(config)
    choice = build_sampler(sampler_config, space, config.random_seed)
    planned = plan(config, space, choice, context.config_loader)
    constraints = read_constraints(config, space, planned)
    warm = read_warm_start(config.warm_start, space, objectives(config))
    method = Method(
        space,
        choice,
        planned,
        constraints,
        warm,
        build_pruner(config.pruner, objectives(config), config.num_replicates),
    )
    with flag_override(config, ["struct", "readonly"], False):
        config.search_space = space.sweeps
    earlier = find_earlier(config) if config.resume else None
    if config.dry_run:
        show(describe(config, method, earlier))
        return
    if earlier is None:
        check_new(config)
    with _closing(launcher):
        source = find_data_source(config)
        if earlier is not None:
            check_places(earlier, config)
            check_study(earlier)
            check_same_training(earlier, config, source)
            check_wider(earlier.paths, space)
            if isinstance(launcher, Following):
                launcher.check_left(earlier.paths.root)
        preflight(config, context.config_loader, launcher, space, source)
        # before the experiment writes down how it is started now
        changes = earlier.changes_of_launcher(config.hydra.overrides.hydra) if earlier is not None else {}
        garbage.collect()
        with opened(config, source, earlier, _capacity_of(launcher)) as experiment:
            stream = (
                launcher
                if isinstance(launcher, Stream)
                else BatchStream(launcher, config.concurrent_trials, experiment)
            )
            for key, change in changes.items():
                experiment.say(f"changed: {spelled_change(key, *change)}")
            # before the experiment is: trials that still run are part of it
            with _closing(stream):
                _run(config, method, stream, experiment)
    finish(experiment, None if method.planned.is_all else method.planned.total_trials)


def _run(config: DictConfig, method: Method, stream: Stream, experiment: Experiment) -> None:
    if method.pruner is not None and isinstance(stream, BatchStream):
        experiment.warn(
            "pruner: without effect here, since this launcher tells nothing before a trial has ended; "
            "hydra/launcher=local, ray, slurm and in_process do"
        )
    if not isinstance(stream, Placing) and not (is_constant(config) and need_of(config).is_nothing):
        experiment.warn("resources_per_trial: without effect here, it needs hydra/launcher=local, ray or slurm")
    experiment.shown.expect(method.planned.total_trials)
    for said in method.said(config.total_trials, config.num_replicates):
        experiment.say(said)
    fixed = (*method.space.fixed, *experiment.fixed_overrides())
    study = method.study(
        experiment.objectives, experiment.study_place, experiment.paths.experiment_id, config.db_timeout_s
    )
    if study.earlier_sampler is not None:
        experiment.say(f"changed: {spelled_change('sampler', study.earlier_sampler, method.choice.name)}")
    try:
        left = reconcile(study, experiment, fixed, stream, config.num_replicates)
        search = Search(
            study,
            stream,
            experiment,
            method.proposals(study, config),
            Budget(Limits.of(config), experiment.objectives),
            fixed=fixed,
            total_trials=method.planned.total_trials,
            concurrent_trials=config.concurrent_trials,
            soft=method.constraints.soft,
            left=left,
            retries=Retries.of(config),
        )
        with heeding_signals():
            search.run()
    finally:
        study.close()
    test_best(experiment, stream, fixed)


def _capacity_of(launcher: Launcher | Stream) -> int | None:
    return launcher.capacity if isinstance(launcher, Stream) else None


@contextmanager
def _closing(launcher: Launcher | Stream) -> Iterator[None]:
    try:
        yield
    finally:
        if isinstance(launcher, Stream):
            launcher.close()


@contextmanager
def opened(
    config: DictConfig, source: DataSource | None, earlier: Earlier | None = None, capacity: int | None = None
) -> Iterator[Experiment]:
    """An experiment that is closed as complete, failed or interrupted, as the block ends; or `earlier`, again.

    `capacity` is how many trials the launcher can run at a time, where it has a limit of its own.

    Raises DiskError, which says how to go on, when its directory cannot be written any more.
    """
    experiment: Experiment | None = None
    try:
        experiment = Experiment(config, source, earlier)
        experiment.say_what_starts(config, capacity)
        yield experiment
        experiment.close(State.COMPLETE if experiment.progress.num_complete else State.FAIL)
    except (OSError, OperationalError) as error:
        if experiment is None or (isinstance(error, OSError) and not is_of_a_disk(error)):
            raise
        if isinstance(error, OperationalError) and (lost := lost_store(config, error)) is not None:
            experiment.abandon()
            show(summary(experiment, can_resume=False))  # the error says it
            raise StoreError(
                f"{lost}.\nThe experiment waits: when it answers again, continue it: "
                f"{resume_command(experiment.paths.root)}"
            ) from error
        told = error if isinstance(error, DiskError) else disk_error(_place_of(error, experiment), error)
        with suppress(OSError, OperationalError):
            experiment.close(State.WAITING, str(told))
        experiment.abandon()
        show(summary(experiment, can_resume=False))  # the error says it
        raise paused(told, experiment.paths.root) from error
    except DeviceError as error:
        assert experiment is not None
        experiment.close(State.WAITING, str(error))
        show(summary(experiment, can_resume=False))  # the error says it
        raise waiting(error, experiment.paths.root) from error
    except (HpoError, HydraException, OmegaConfBaseException) as error:
        if experiment is not None:
            state = State.WAITING if isinstance(error, MisfitError | ClusterError) else State.FAIL
            experiment.close(state, str(error).splitlines()[0])
            if isinstance(error, ClusterError):
                raise waiting(error, experiment.paths.root) from error
        raise
    except BaseException as error:
        if experiment is not None:
            experiment.close(State.WAITING, f"interrupted by {str(error) or type(error).__name__}")
            show(summary(experiment, is_interrupted=True))
        raise
    finally:
        if experiment is not None:
            experiment.abandon()


def _place_of(error: OSError | OperationalError, experiment: Experiment) -> Path:
    name = getattr(error, "filename", None)
    return Path(os.fsdecode(name)) if name else experiment.paths.root


def finish(experiment: Experiment, total_trials: int | None = None) -> None:
    """Show the summary; exit with status 1 when no trial completed.

    `total_trials` is how many trials there were to be, where there could be more.
    """
    show(summary(experiment, total_trials=total_trials))
    if not experiment.progress.num_complete:
        raise NoneCompleted
