"""The experiment object: opened once, in the scheduler, by whoever drives the trials."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

from hpo.devices import OWN_CORES, cuda_devices, have_own_threads, num_threads
from hpo.experiment.best_trials import BestTrials
from hpo.experiment.checks import check_config
from hpo.experiment.directory import first_metadata, kept_directory, make_trial, new_directory, write_config
from hpo.experiment.earlier import Earlier, find_unborn, spelled_change
from hpo.experiment.identity import config_hash, trial_id
from hpo.experiment.lock import SchedulerLock
from hpo.experiment.mending import mend_results
from hpo.experiment.progress import Progress
from hpo.experiment.provenance import collect_in_background
from hpo.experiment.rebuilding import open_state_db
from hpo.experiment.scheduler_log import LOGGER, TRIALS
from hpo.experiment.shown import Shown
from hpo.faults import reach
from hpo.objectives import objective_values, objectives
from hpo.opened import note_opened
from hpo.overrides import encode
from hpo.paths import TrialPaths
from hpo.records import DataSource, Ended, Noted, ReplicateEnded, Report, Resumed, Started, State, TrialSpec, Value
from hpo.resolved import plain, to_yaml, without_hydra
from hpo.stores import KEYS, STUDY_DB, place
from hpo.trial import outcome

_REPORT_FLUSH_S = 0.5


class Experiment:
    """Writes the experiment's directory: default_config.yaml, the state database, mp.log, trial directories."""

    def __init__(self, config: DictConfig, source: DataSource | None, earlier: Earlier | None = None) -> None:
        """Make the directory and fix, in `config`, what all trials share. Raises HpoError on bad input.

        `source` is where the data comes from, as `find_data_source` found it. With `earlier` that experiment is
        opened again: nothing of it is lost, and nobody else may have it open.
        """
        check_config(config)
        self.objectives = objectives(config)
        self._fixed: dict[str, Value] = {key: None for key in KEYS if config[key] is not None}  # not of trials
        devices = cuda_devices(config.device)
        provenance = collect_in_background([f"cuda:{name}" for name in devices] or ["cpu"])
        self._source = source
        self._digest = config_hash(config)
        self._has_test_task = bool(config.test_task)
        as_they_were = earlier.config if earlier is not None else {}
        differs = have_own_threads(config)
        self._fix(config, "threads_per_trial", num_threads(config, as_they_were.get("threads_per_trial")))
        if differs:
            self._fixed["threads_per_trial"] = OWN_CORES
        directory = new_directory(config) if earlier is None else kept_directory(earlier.paths)
        with directory as paths, ExitStack() as undo:
            self.paths, self.study_place = paths, place(config, STUDY_DB, paths.study_db)
            self._lock = SchedulerLock(paths.lock)
            undo.callback(self._lock.release)
            for path in paths.temporary:
                path.unlink()
            self._fix(config, "experiment_dir", str(paths.experiment_dir))
            self._fix(config, "experiment_id", paths.experiment_id)
            self._fix(config, "config_hash", self._digest)
            self._fix(config, "data_source", self._source.name if self._source else None)
            self._fix(config, "data_digest", self._source.digest if self._source else None)
            self._is_continued = earlier is not None
            self._changes = earlier.changes(config) if earlier is not None else {}
            values = plain(without_hydra(config))
            write_config(paths, to_yaml(values), is_changed=bool(self._changes))
            self._provenance = provenance.result()
            row = self._provenance.row(values, self.objectives)
            self._db, self._said_of_db = open_state_db(paths, config, row, earlier)
            self._known = self._db.trials()
            self.progress = Progress(paths, self.objectives, self._source)
            self.shown = Shown(config, paths, self.objectives, self.progress)
            undo.pop_all()
        note_opened(paths.root)
        self._best = BestTrials(paths, self.objectives, config, self.fixed_overrides(), has_own_threads=differs)
        self._seed = config.random_seed
        self._has_replicates = config.num_replicates > 1
        self._reports: list[Report] = []
        self._last_flush = time.monotonic()

    @property
    def has_test(self) -> bool:
        """Whether data may be held back on which the best trial is evaluated once."""
        return self._has_test_task and self._source is not None and self._source.has_test is not False

    @property
    def retrain_command(self) -> str | None:
        """What trains the best trial by the first objective again; None as long as there is none."""
        best = self.progress.best()
        return self._best.command(best) if best is not None else None

    def fixed_overrides(self) -> tuple[str, ...]:
        """What every trial of this experiment must be composed with, as Hydra overrides."""
        # as it stands: resolving it takes each trial 3 ms
        directory = encode({"hydra.sweep.dir": str(self.paths.root)})
        return (*(f"++{override}" for override in encode(self._fixed)), *directory)

    def prepare(self, spec: TrialSpec) -> TrialSpec:
        """Make the trial's directory and row; the spec that comes back knows its directory."""
        name = trial_id(spec.number, self._digest, spec.params)
        self._make(spec, name, exist_ok=False)
        reach("directory_made")
        self._db.add_trial(spec, name, self._source.name if self._source else None)
        self.progress.waiting(spec, name)
        self._best.prepared(spec)
        return replace(spec, subdir=name)

    def take_up(self, spec: TrialSpec, proposed: float | None = None) -> Ended | None:
        """Know a trial that an earlier search left, and how it ended by the state database, if it did.

        `proposed` is when it was, in seconds since the epoch.
        """
        row = self._known.get(spec.number)
        name = row.trial_id if row is not None else trial_id(spec.number, self._digest, spec.params)
        if row is None:
            self._db.add_trial(spec, name, self._source.name if self._source else None, proposed)
        self.progress.waiting(spec, name)
        self._best.prepared(spec)
        if row is None or not row.ended.state.is_finished:
            return None
        if row.started is not None:
            self.progress.started(row.started)
        self.progress.known(row.ended, row.num_replicates, row.test_metrics)
        self._note_best(row.ended)
        return row.ended

    def make_up(self, events: Iterable[Noted], tested: Ended | None) -> None:
        """Put into the state database what it lacks of a trial that the study knows, without a word."""
        with self.shown.log.silenced():
            for event in events:
                self.record(event)
            if tested is not None:
                self.record_test(tested)

    def continued(self, spec: TrialSpec) -> TrialSpec:
        """A trial that was taken up and has no end yet, in its directory, which may not be whole."""
        name = self.progress.trial_id(spec.number)
        paths = self.paths.trial(name)
        reports = self._db.reports(spec.number)
        if reports and not paths.metadata.exists():
            self.warn(f"the directory of trial {name} is gone: the trial begins anew")
            self._db.forget_reports(spec.number)
        else:
            for said in mend_results(paths, reports, has_replicates=self._has_replicates):
                self.warn(said)
        self._make(spec, name, exist_ok=True)
        return replace(spec, subdir=name)

    def _make(self, spec: TrialSpec, name: str, *, exist_ok: bool) -> None:
        values = first_metadata(spec, name, self.paths.experiment_id, self._seed, self._source)
        make_trial(self.paths.trial(name), values | self._provenance.for_trial(), exist_ok=exist_ok)

    def reject(self, spec: TrialSpec, ended: Ended, *, is_shown: bool = True) -> None:
        """Keep a proposal that is never run: it has a row and a line in mp.log, and no directory."""
        name = trial_id(spec.number, self._digest, spec.params)
        self._db.add_trial(spec, name, self._source.name if self._source else None)
        self._db.end_trial(ended)
        self.progress.waiting(spec, name)
        level, line = self.progress.ended(ended, with_params=True)
        TRIALS.log(level if is_shown else logging.DEBUG, line)

    def trial(self, number: int) -> TrialPaths:
        return self.paths.trial(self.progress.trial_id(number))

    def record(self, event: Noted) -> None:
        """Keep an event. Raises ObjectiveError when a report or a complete trial lacks an objective."""
        if isinstance(event, Started):
            self._db.start_trial(event)
        elif isinstance(event, Resumed):
            self.flush()
            self._db.cut_reports(event, self.reports_on_disk(event.number, event.replicate, event.step))
        elif isinstance(event, Report):
            self._reports.append(event)
            objective_values(self.objectives, event.metrics)
        elif isinstance(event, ReplicateEnded):
            self._db.add_replicate(event)
        else:
            if event.state is State.COMPLETE:
                objective_values(self.objectives, event.metrics)
            if event.state in (State.FAIL, State.FAIL_RECOVERABLE):
                outcome.note_death(event, self.trial(event.number))
            self.flush()
            self._db.end_trial(event)
            if event.state is State.FAIL_RECOVERABLE:
                self._db.end_attempt(event)
        self.shown.event(event)
        if isinstance(event, Ended):
            self._note_best(event)
        self.flush_if_due()

    def reports_on_disk(self, number: int, replicate: int = 0, until: float = math.inf) -> list[Report]:
        """What a trial has kept of its reports in its directory, up to a step: that is the truth."""
        paths = self.trial(number)
        if self._has_replicates:
            paths = paths.replicate(replicate)
        return [
            report
            for report in outcome.read_reports(number, paths, self.objectives, replicate)
            if report.step <= until and all(entry.name in report.metrics for entry in self.objectives)
        ]

    def record_test(self, ended: Ended) -> None:
        """Keep what the best trial reached on the data held back, or say why it could not be told."""
        if ended.state is not State.COMPLETE:
            LOGGER.warning("trial %s on the test data: %s", self.progress.trial_id(ended.number), ended.reason)
            return
        if not ended.metrics:
            return  # the data module holds nothing back
        self._db.set_test_metrics(ended.number, ended.metrics)
        LOGGER.info(self.progress.tested(ended))

    def flush_if_due(self) -> None:
        """Write the reports that have waited long enough to be worth a transaction together."""
        if time.monotonic() - self._last_flush > _REPORT_FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write the reports that wait."""
        self._db.add_reports(self._reports)
        self._reports.clear()
        self._last_flush = time.monotonic()

    def say(self, message: str) -> None:
        """A line in mp.log and on the terminal."""
        LOGGER.info(message)

    def warn(self, message: str) -> None:
        """A line in mp.log and on the terminal, also where that is silent."""
        LOGGER.warning("WARNING: %s", message)

    def close(self, state: State, reason: str | None = None) -> None:
        """Close the files; `state` is COMPLETE, FAIL or WAITING (interrupted), also for trials not at an end."""
        self.flush()
        for number in self.progress.unfinished():
            if self.progress.trial(number).ended is not None:
                continue  # it waits to be continued
            ended = Ended(number, state, reason=reason)
            self._db.end_trial(ended)
            self.progress.ended(ended)
        self._db.close_experiment(state.value)
        said = f" ({reason})" if reason else ""
        LOGGER.info("experiment %s: %s%s. %s", self.paths.experiment_id, state.value, said, self.progress.counts())
        self.abandon()

    def abandon(self) -> None:
        """Let go of what could not be closed, of the lock, and of the terminal; once more does no harm."""
        self.shown.log.close()
        self._lock.release()
        self.shown.close()

    def _note_best(self, ended: Ended) -> None:
        if not ended.state.is_finished:
            return  # it may be among the best yet
        best = self.progress.best_trials()
        if self._best.ended(ended.number, {number: self.progress.trial(number) for number in best}):
            self._db.set_best_trials(best)

    def _fix(self, config: DictConfig, key: str, value: Any) -> None:
        with flag_override(config, ["struct", "readonly"], False):
            OmegaConf.update(config, key, value)
        if value is not None:
            self._fixed[key] = value

    def say_what_starts(self, config: DictConfig, capacity: int | None = None) -> None:
        """The first line of mp.log and of the terminal, and what must be said of the data; the table begins.

        `capacity` is how many trials the launcher can run at a time, where it has a limit of its own.
        """
        self.shown.begin(config.total_trials)
        LOGGER.info(
            "experiment %s %s %s: %s trial%s, %s at a time%s",
            self.paths.experiment_id,
            "continues in" if self._is_continued else "in",
            self.paths.root,
            config.total_trials,
            "s" * (config.total_trials > 1),
            min(config.concurrent_trials, capacity or config.concurrent_trials),
            f", {config.num_replicates} replicates of each" if config.num_replicates > 1 else "",
        )
        if self._said_of_db is not None:
            self.warn(self._said_of_db)
        for root in find_unborn(config) if config.resume and not self._is_continued else ():
            self.say(f"{root} is passed over: its scheduler died before it had written a configuration there")
        for key, (before, now) in self._changes.items():
            LOGGER.info("changed: %s", spelled_change(key, before, now))
        if self._source is not None and self._source.warning is not None:
            LOGGER.warning("WARNING: %s", self._source.warning)
