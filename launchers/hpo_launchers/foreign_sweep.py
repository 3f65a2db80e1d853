"""The experiment of hpo's trials when a sweeper rules that knows nothing of experiments."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from sqlalchemy.exc import OperationalError

from hpo.errors import ConfigError, HpoError, StoreError
from hpo.experiment import sqlite
from hpo.experiment.checks import check_config
from hpo.experiment.data_source import find_data_source
from hpo.experiment.databases import lost_store
from hpo.experiment.experiment import Experiment
from hpo.experiment.summary import summary
from hpo.overrides import encode
from hpo.records import Ended, Event, Requeued, State, TrialSpec, Value
from hpo.search.check import read_checked_space
from hpo.search.held_out import test_best
from hpo.search.preflight import preflight
from hpo.search.stream import Stream
from hpo.terminal import show

_OF_OUR_SWEEPER = (
    *("constraints", "soft_constraints", "pruner", "grid_bins", "enqueue", "warm_start"),
    *("timeout_s", "target_value", "max_stale_trials", "max_failure_rate"),
)


class ForeignSweep:
    """Opens the experiment, gives each job of the sweeper a directory, and keeps what becomes of it.

    It is opened when the launcher is set up, since the stock sweeper creates its study in the experiment's
    directory before it launches anything.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader, stream: Stream) -> None:
        """Check what hpo's sweeper would check, and open. Raises HpoError for bad input."""
        if config.dry_run:
            raise ConfigError("dry_run shows what hpo's own sweeper would do: leave out hydra/sweeper=...")
        if config.resume:
            raise ConfigError(
                "resume=true goes on with what hpo's own sweeper has searched: another one keeps no trial that "
                "could go on. Leave out hydra/sweeper=..., or resume=true to start anew"
            )
        for key, sweep in (config.search_space or {}).items():
            if OmegaConf.is_list(sweep) and None in sweep:
                raise ConfigError(
                    f"search_space: {key}: {sweep}\nholds null, which hydra/sweeper=hpo alone can search"
                )
            if OmegaConf.is_dict(sweep):
                raise ConfigError(
                    f"search_space: {key}: options that open subspaces are for hydra/sweeper=hpo alone"
                )
        space = read_checked_space(config, config.hydra.overrides.task, loader)
        check_config(config)
        given = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        self._config = config
        self._given = {
            override.get_key_element(): str(override.input_line)
            for override in given
            if not override.is_sweep_override()
        }
        self._searched = {override.key_or_group for override in given if override.is_sweep_override()}
        self._searched |= {str(key) for key in config.search_space or {}}
        source = find_data_source(config)
        preflight(config, loader, stream, replace(space, fixed=tuple(self._given.values())), source)
        self._experiment: Experiment | None = Experiment(config, source)
        self._experiment.say_what_starts(config)
        self._experiment.shown.expect(config.hydra.sweeper.get("n_trials"))
        if space.parameters and str(config.hydra.sweeper._target_).endswith("BasicSweeper"):
            self._experiment.say(
                "hydra/sweeper=basic runs what the command line lists, and nothing of search_space"
            )
        ignored = [key for key in _OF_OUR_SWEEPER if config[key]]
        if ignored:
            self._experiment.warn(f"{', '.join(ignored)}: without effect here, they need hydra/sweeper=hpo")
        if isinstance(self._experiment.study_place, Path):
            sqlite.prepare(self._experiment.study_place)
        _let_optuna_log_into_ours()

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
                # _is_value has seen that it is one, which mypy does not know
                params[override.key_or_group] = override.value()  # type: ignore[assignment]
            else:
                fixed.append(str(override.input_line))
        fixed += self._experiment.fixed_overrides()
        with self._telling_of_a_lost_server():
            return self._experiment.prepare(TrialSpec(number, tuple(fixed), params, (*fixed, *encode(params))))

    def record(self, event: Event) -> None:
        assert self._experiment is not None
        if isinstance(event, Ended) and event.state is State.FAIL_RECOVERABLE:
            event = replace(event, state=State.FAIL)  # its sweeper tries nothing again
        with self._telling_of_a_lost_server():
            self._experiment.record(event.as_noted() if isinstance(event, Requeued) else event)
            if isinstance(event, Ended):
                self._experiment.flush()

    def test_best(self, stream: Stream) -> None:
        assert self._experiment is not None
        test_best(self._experiment, stream, (*self._given.values(), *self._experiment.fixed_overrides()))

    @contextmanager
    def _telling_of_a_lost_server(self) -> Iterator[None]:
        """Raises StoreError in the block's place where a database's server does not answer any more."""
        try:
            yield
        except OperationalError as error:
            lost = lost_store(self._config, error)
            if lost is None:
                raise
            raise StoreError(f"{lost}.\nWhat had ended before is kept there; what ran is ended") from error

    def close(self, error: BaseException | None = None) -> bool:
        """Close the experiment and say what came of it; whether a trial completed."""
        experiment, self._experiment = self._experiment, None
        if experiment is None:
            return True
        progress = experiment.progress
        if isinstance(error, StoreError):
            experiment.abandon()
        elif isinstance(error, HpoError):
            experiment.close(State.FAIL, str(error).splitlines()[0])
        elif progress.unfinished():
            experiment.close(State.WAITING, f"interrupted by {type(error).__name__}" if error else None)
        else:
            experiment.close(State.COMPLETE if progress.num_complete else State.FAIL)
        show(summary(experiment, can_resume=False))
        return progress.num_complete > 0


def _is_value(override: Override) -> bool:
    """Whether `override` is `key=scalar`."""
    is_plain = override.get_key_element() == override.key_or_group
    return is_plain and not isinstance(override.value(), list | dict)


def _let_optuna_log_into_ours() -> None:
    """Optuna logs through a handler of its own; what it says belongs into mp.log."""
    if "optuna" in sys.modules:
        import optuna

        optuna.logging.disable_default_handler()
        optuna.logging.enable_propagation()
