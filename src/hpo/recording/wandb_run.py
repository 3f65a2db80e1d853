"""Weights & Biases: a run for each trial, kept in its directory until it is synchronized, or sent at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo.recording.extras import import_extra
from hpo.recording.points import measured
from hpo.records import TrialInfo
from hpo.results_file import step_of

DEFAULT_PROJECT = "hpo"
"""Where trials of experiments without a name go."""

_OFFLINE = "offline"


class WandbRun:
    """Logs records as they come, the run configuration, and the searched values as its `params`.

    `project` is the run configuration's `name` unless given, the group is the experiment. With `mode: offline`
    nothing leaves the machine: `wandb sync` sends what lies in the trial's directory. The trial's final metrics
    are called `final/<name>`. wandb writes every 15 s by itself: of a trial that is killed, the records since
    then are in results.json alone. Raises ConfigError when the extra is not installed.
    """

    def __init__(
        self, info: TrialInfo, mode: str = _OFFLINE, project: str | None = None, entity: str | None = None
    ) -> None:
        if mode == _OFFLINE:
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        wandb = self.check_needs()
        # it has a log of its own, down to what it debugs
        logging.getLogger("wandb").propagate = False
        experiment_id = info.config.get("experiment_id")
        self._num_logged = info.num_recorded
        self._run: Any = wandb.init(
            mode=mode,
            project=project or info.config.get("name") or DEFAULT_PROJECT,
            entity=entity,
            dir=Path(info.directory),
            # a replicate's has a slash, which wandb does not take
            id=f"{experiment_id}-{info.trial_id}".replace("/", "-"),
            name=info.trial_id,
            group=experiment_id,
            tags=tuple(info.config.get("tags") or ()),
            notes=info.config.get("notes"),
            config={**info.config, "params": dict(info.params)},
            # a trial that is run again continues its run; offline there is nothing to ask whether there was one
            resume=None if mode == _OFFLINE else "allow",
            settings=wandb.Settings(
                # train.log has what is logged, and default_config.yaml the state of the code
                console="off",
                silent=True,
                disable_git=True,
                save_code=False,
                # trials of the in-process launcher follow one another in one process
                reinit="create_new",
            ),
        )

    @staticmethod
    def check_needs() -> Any:
        """wandb itself. Raises ConfigError when the extra is not installed."""
        return import_extra("wandb", "wandb", "wandb")

    def log(self, record: Mapping[str, float | int]) -> None:
        self._num_logged += 1
        self._run.log(measured(record), step=step_of(record, self._num_logged), commit=True)

    def close(self, metrics: Mapping[str, float]) -> None:
        self._run.summary.update({f"final/{name}": value for name, value in metrics.items()})
        self._run.finish(exit_code=0 if metrics else 1)
