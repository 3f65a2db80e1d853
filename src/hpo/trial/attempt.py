"""One execution of a trial, in the trial's own process: sets it up, runs its task, notes how it ended."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hpo import lean_torch
from hpo.devices import num_processes
from hpo.errors import DiskError, HpoError, NoExperimentError, TrialError
from hpo.faults import reach
from hpo.objectives import objective_values, objectives
from hpo.paths import TrialPaths
from hpo.recording.protocol import Recorder
from hpo.records import BEFORE_ITS_START, Ended, Obstacle, Started, State, TrialInfo
from hpo.resolved import plain, to_json, to_yaml
from hpo.trial import outcome
from hpo.trial.handle import TrialHandle
from hpo.trial.link import Link, current_link
from hpo.trial.metadata import Metadata, replace_text, timestamp
from hpo.trial.protocol import Trial
from hpo.trial.replicates import test_replicates, train_replicates
from hpo.trial.resumption import FIRST_ATTEMPT, Resumption, close, has_begun, is_further_attempt
from hpo.trial.shared import SharedTrial, is_rank, join_group
from hpo.trial.time_limit import time_limit
from hpo.trial.train_log import train_log

logger = logging.getLogger("hpo.train")

TEST_TASK = "test_task"
"""The value of `run_task` with which a finished trial is evaluated on the data held back."""

RUN_TEST = f"++run_task={TEST_TASK}"
"""The override that selects it."""

CHECK_TASK = "check_task"
"""The value of `run_task` with which nothing is trained, and what trials are built from is built once."""

RUN_CHECK = f"++run_task={CHECK_TASK}"
"""The override that selects it."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_trial(config: DictConfig) -> float | list[float] | None:
    """The job of a multirun: runs the trial whose directory Hydra chose, and returns its objectives.

    Raises what the task raised, after it has been noted.
    """
    if config.run_task == CHECK_TASK:
        from hpo.trial.check import run_check

        run_check(config, current_link.get())
        return None
    if config.experiment_id is None:
        raise NoExperimentError
    ended = run_attempt(config, TrialPaths(Path(HydraConfig.get().runtime.output_dir)), current_link.get())
    if config.run_task == TEST_TASK or not ended.metrics:
        return None
    values = objective_values(objectives(config), ended.metrics)
    return values[0] if len(values) == 1 else list(values)


def run_attempt(config: DictConfig, paths: TrialPaths, link: Link) -> Ended:
    """Run the task that `config.run_task` names; its end goes into metadata.json and through the link.

    Raises what the task raised, and TrialError for a trial that failed otherwise.
    """
    values = plain(config)
    if config.run_task != TEST_TASK:
        why = link.stop_requested()
        if why is not None:  # the search ended while this process was on its way
            ended = Ended(int(Metadata.of(paths)["number"]), why.state, reason=BEFORE_ITS_START)
            link.send(ended)
            return ended
        if _has_ranks(config):
            from hpo.trial.distributed import run_distributed

            return run_distributed(config, paths, link)
        try:
            link.send(start(config, values, paths))
        except DiskError as error:
            link.send(outcome.failed(int(Metadata.of(paths)["number"]), error, paths))
            raise
    return finish(config, values, paths, link)


def _has_ranks(config: DictConfig) -> bool:
    """Whether several processes are to run this trial, of which this is none; of replicates each has its own."""
    return (
        num_processes(config) > 1
        and not is_rank.get()
        and config.run_task != TEST_TASK
        and config.num_replicates == 1
    )


def start(config: DictConfig, values: Mapping[str, Any], paths: TrialPaths) -> Started:
    """Write the trial's config.yaml (`values`: the plain `config`), and who runs it in which attempt."""
    metadata = Metadata.of(paths)
    attempt = int(metadata.get("attempt", FIRST_ATTEMPT)) + 1 if has_begun(metadata) else FIRST_ATTEMPT
    replace_text(paths.config, to_yaml(values))
    started = Started(
        number=int(metadata["number"]),
        pid=os.getpid(),
        host=socket.gethostname(),
        device=_device(config),
        config=to_json(values),
        attempt=attempt,
    )
    metadata.forget(*outcome.OUTCOMES)
    metadata.update(
        attempt=attempt,
        pid=started.pid,
        host=started.host,
        device=started.device,
        started_at=timestamp(started.time),
    )
    return started


def finish(config: DictConfig, values: Mapping[str, Any], paths: TrialPaths, link: Link) -> Ended:
    """Run the task of a trial that has been started; see `run_attempt`."""
    metadata = Metadata.of(paths)
    trial = TrialHandle(config, paths, metadata, link)
    is_test = config.run_task == TEST_TASK
    error: BaseException | None = None
    with ExitStack() as stack:
        try:
            stack.enter_context(train_log(paths))
            with time_limit(None if is_test else config.trial_timeout_s):
                ended = _test(trial, link) if is_test else _train(trial, values, metadata, link)
        except (Exception, SystemExit) as raised:
            error, ended = raised, outcome.failed(trial.number, raised, paths, config.recoverable_errors)
            is_mistake = isinstance(raised, HpoError)
            with suppress(DiskError):
                logger.error("trial failed\n%s", ended.reason if is_mistake else ended.traceback or ended.reason)
        try:
            outcome.write(metadata, ended, key=outcome.TEST_OUTCOME if is_test else outcome.OUTCOME)
        except DiskError as raised:
            if ended.obstacle is not Obstacle.DISK:
                error, ended = raised, outcome.failed(trial.number, raised, paths)
    reach("at_exit")
    link.send(ended)
    if isinstance(error, Exception):
        raise error
    if ended.state in (State.FAIL, State.FAIL_RECOVERABLE):
        raise TrialError(ended.reason) from error
    return ended


def _train(trial: TrialHandle, values: Mapping[str, Any], metadata: Metadata, link: Link) -> Ended:
    def build(resumed_from: int | None, num_recorded: int) -> list[Recorder]:
        info = TrialInfo(
            number=trial.number,
            trial_id=metadata["trial_id"],
            directory=str(trial.dir.root),
            config=values,
            params=metadata["params"],
            objectives=tuple(objective.name for objective in trial.objectives),
            resumed_from=resumed_from,
            num_recorded=num_recorded,
        )
        return _build_recorders(trial.config, info)

    has_replicates = trial.config.num_replicates > 1
    metrics: Mapping[str, float] = {}
    try:
        if not is_further_attempt(metadata):
            trial.recorders = build(None, 0)
        elif has_replicates:
            Resumption(trial, metadata, link, build).resume_replicates()
        else:
            Resumption(trial, metadata, link, build).resume()
        if has_replicates:
            ended = train_replicates(trial, metadata, link, run_attempt)
        else:
            ended = _returned(trial)
        metrics = ended.metrics
        if ended.reason is not None:
            logger.info(ended.reason)
        return ended
    finally:
        close(trial.recorders, metrics)


def _returned(trial: TrialHandle) -> Ended:
    value = _call(trial)
    ended = outcome.returned(trial.number, value, trial.best, trial.objectives, trial.obeyed)
    # one that waits to be continued gives its metrics when it has come to its end
    if ended.metrics and not trial.has_reported and ended.state is not State.WAITING:
        trial.log(ended.metrics)
    return ended


def _test(trial: TrialHandle, link: Link) -> Ended:
    if trial.config.num_replicates > 1:
        return test_replicates(trial, link, run_attempt)
    return Ended(trial.number, State.COMPLETE, outcome.as_metrics(_call(trial), None, trial.objectives))


def _call(trial: TrialHandle) -> Any:
    if is_rank.get():
        return call_task(trial.config, SharedTrial(trial.number, trial.config, trial.dir, trial))
    return call_task(trial.config, trial)


def call_task(config: DictConfig, trial: Trial) -> Any:
    """Import the task, limit its threads, run it; in one of several processes when it has found the others."""
    limit_threads(config)
    task = _build(config[config.run_task])
    limit_threads(config)  # of what the task has imported
    lean_torch.spare_dynamo()
    if is_rank.get():
        join_group(config)
    return task(trial)


def limit_threads(config: DictConfig) -> None:
    """Let this process use as many CPU threads as it may: torch, where it is imported, and what starts later."""
    num_threads = config.threads_per_trial
    if not isinstance(num_threads, int):
        return
    if is_rank.get():
        num_threads = max(1, num_threads // num_processes(config))
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(num_threads)))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(num_threads)


def _build_recorders(config: DictConfig, info: TrialInfo) -> list[Recorder]:
    """What `config.recorder` describes, writing into the trial's directory."""
    return [partial(info) for partial in recorder_partials(config).values()]


def recorder_partials(config: DictConfig) -> dict[str, Callable[[TrialInfo], Recorder]]:
    """The recorders by name, waiting for their trial."""
    nodes: Any = OmegaConf.to_container(config.recorder, resolve=True)
    if not config.tensorboard:
        nodes.pop("tensorboard", None)
    # all in one call: each costs a millisecond
    return dict(instantiate({name: node | {"_partial_": True} for name, node in nodes.items() if node}))


def _build(node: Any) -> Callable[..., Any]:
    """What a node describes, waiting for the trial.

    Its values go in as plain containers: from a node within a configuration, `instantiate` copies all of that.
    """
    values = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    built: Callable[..., Any] = instantiate(values, _partial_=True)
    return built


def _device(config: DictConfig) -> str:
    """What the trial was given: the launcher lets it see one CUDA device, or none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"cuda:{visible}" if config.device != "cpu" and visible not in ("", "-1") else "cpu"
