"""Hydra's `launch()`, for sweepers that propose in batches: a loop over the stream."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, configure_log, filter_overrides, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig

from hpo.experiment.experiment import Experiment
from hpo.overrides import encode
from hpo.records import Ended, Event, State, TrialSpec, Value
from hpo.search.stream import Stream
from hpo_launchers import execution

log = logging.getLogger(__name__)


class Driver:
    """Drives a stream batch by batch, and keeps the experiment of hpo's trials when a foreign sweeper rules."""

    def __init__(self, owner: Any, context: HydraContext, config: DictConfig) -> None:
        self._context = context
        self._config = config
        self._sweep: ForeignSweep | None = None
        if execution.is_run_config(config) and not execution.uses_hpo_sweeper(config):
            self._sweep = ForeignSweep(config)
            # Hydra tells a launcher when to begin, and never when its sweep is over
            weakref.finalize(owner, self._sweep.close)

    def launch(
        self, stream: Stream, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        """Run a batch to its end; the returns are in the order of `job_overrides`."""
        setup_globals()
        configure_log(
            self._config.hydra.hydra_logging,
            self._config.hydra.verbose,
            execution_whitelist=self._context.execution_whitelist,
        )
        Path(str(self._config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        log.info("Launching %d jobs, %d at a time", len(job_overrides), stream.capacity)
        returns: dict[int, JobReturn] = {}
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
            stream.submit(self._spec(number, overrides))
        while len(returns) < len(job_overrides):
            for event in stream.wait():
                if self._sweep is not None:
                    self._sweep.record(event)
                if isinstance(event, Ended):
                    returns[event.number] = event.result
        return [returns[number] for number in sorted(returns)]

    def _spec(self, number: int, overrides: Sequence[str]) -> TrialSpec:
        if self._sweep is not None:
            return self._sweep.spec(number, overrides)
        return TrialSpec(number, overrides=tuple(overrides))


class ForeignSweep:
    """The experiment of hpo's trials under a sweeper that knows nothing of it.

    It is opened when the launcher is set up, since the stock sweeper creates its study in the experiment's
    directory before it launches anything.
    """

    def __init__(self, config: DictConfig) -> None:
        from hpo.experiment import sqlite

        given = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        self._given = {
            override.get_key_element(): str(override.input_line)
            for override in given
            if not override.is_sweep_override()
        }
        self._searched = {override.key_or_group for override in given if override.is_sweep_override()}
        self._searched |= {str(key) for key in config.search_space or {}}
        self._experiment: Experiment | None = Experiment(config)
        sqlite.prepare(self._experiment.paths.study_db)

    def spec(self, number: int, overrides: Sequence[str]) -> TrialSpec:
        """A trial with its directory, from the overrides that the sweeper wrote.

        What the command line fixed is taken from there: the stock sweeper drops the quotes of values.
        """
        assert self._experiment is not None
        fixed: list[str] = []
        params: dict[str, Value] = {}
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            key = override.get_key_element()
            if key in self._given:
                fixed.append(self._given[key])
            elif override.key_or_group in self._searched and _is_value(override):
                params[override.key_or_group] = override.value()  # type: ignore[assignment]
            else:
                fixed.append(str(override.input_line))
        fixed += self._experiment.fixed_overrides()
        return self._experiment.prepare(
            TrialSpec(number, tuple(fixed), params, (*fixed, *encode(params)))
        )

    def record(self, event: Event) -> None:
        assert self._experiment is not None
        self._experiment.record(event)
        if isinstance(event, Ended):
            self._experiment.flush()

    def close(self) -> None:
        """Close the experiment and say what came of it."""
        experiment, self._experiment = self._experiment, None
        if experiment is None:
            return
        progress = experiment.progress
        if progress.unfinished():
            state = State.WAITING
        else:
            state = State.COMPLETE if progress.num_complete else State.FAIL
        experiment.close(state)
        print(progress.summary())


def _is_value(override: Override) -> bool:
    """Whether `override` is `key=scalar`."""
    is_plain = override.get_key_element() == override.key_or_group
    return is_plain and not isinstance(override.value(), list | dict)
