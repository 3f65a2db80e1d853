"""Hydra's `launch()`, for sweepers that propose in batches: a loop over the stream."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, configure_log, filter_overrides, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig

from hpo import garbage
from hpo.ending import at_end
from hpo.records import Ended, Event, TrialSpec
from hpo.search.stream import Stream
from hpo_launchers import execution

if TYPE_CHECKING:  # it imports the databases, which a foreign application does not need
    from hpo_launchers.foreign_sweep import ForeignSweep

log = logging.getLogger(__name__)


class Driver:
    """Drives a stream batch by batch, and keeps the experiment of hpo's trials when a foreign sweeper rules."""

    def __init__(self, owner: Any, context: HydraContext, config: DictConfig, stream: Stream) -> None:
        self._context = context
        self._config = config
        self._sweep: ForeignSweep | None = None
        self._stream: Stream | None = None
        if execution.is_run_config(config) and not execution.uses_hpo_sweeper(config):
            from hpo_launchers.foreign_sweep import ForeignSweep

            self._sweep = ForeignSweep(config, context.config_loader, stream)
            # Hydra tells a launcher when to begin, and never when its sweep is over
            at_end(self._end)
            weakref.finalize(owner, self._sweep.close)

    def _end(self, error: BaseException | None) -> bool:
        """Evaluate the best trial where data is held back, close the experiment, say what came of it."""
        assert self._sweep is not None
        if error is None and self._stream is not None:
            self._sweep.test_best(self._stream)
        return self._sweep.close(error)

    def launch(
        self, stream: Stream, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        """Run a batch to its end; the returns are in the order of `job_overrides`."""
        self._stream = stream
        garbage.collect()
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

        def hear(event: Event) -> None:
            if self._sweep is not None:
                self._sweep.record(event)
            if isinstance(event, Ended):
                returns[event.number] = event.result

        while len(returns) < len(job_overrides):
            stream.wait(hear)
        return [returns[number] for number in sorted(returns)]

    def _spec(self, number: int, overrides: Sequence[str]) -> TrialSpec:
        if self._sweep is not None:
            return self._sweep.spec(number, overrides)
        return TrialSpec(number, overrides=tuple(overrides))
