"""Going on: an experiment of 1,000 finished trials and one that was killed, and what durable checkpoints cost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import truediv
from pathlib import Path

import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import execution_whitelist
from omegaconf import DictConfig
from optuna.samplers import RandomSampler

import hpo.app  # noqa: F401 - registers the schema, as the command does
from hpo.experiment.data_source import find_data_source
from hpo.experiment.experiment import Experiment
from hpo.records import Ended, Started, State
from hpo.search.reconcile import spec_of
from hpo.search.space import read_space
from hpo.search.study import Study
from hpo.search.tree import SearchSpace
from hpo.targets import BUILT_IN
from hpo.trial.handle import TrialHandle
from tests.benchmarks import loop
from tests.benchmarks.measure import NUM_RUNS, command, median, scratch, show, verdict

NUM_FINISHED = 1000
GOAL_S, GOAL_OVERHEAD = 3.0, 1.03
# 784 x 1250 and 1250 x 10: a million parameters, and as many momenta
_HIDDEN_SIZE, _EPOCHS = 1250, 6
_LIMIT_S = 60.0
# of the training without checkpoints and with them: a few hundredths are to be told from a busy machine
_NUM_PAIRS = 7
_TRAINING = (
    *("+experiment=mnist", "data_config=digits", "train_config.epochs=100000", "log_epoch=0.01", "eval_epoch=0.5"),
    *("concurrent_trials=1", "search_algo=random", "experiment_id=recovery"),
)


def main() -> None:
    with scratch() as folder:
        _fabricate(folder)
        # the trial that is going to be continued
        with _at_work(folder):
            _wait_for(lambda: any(_trial(folder).glob("checkpoints/*.pt")))
        starts = []
        for _ in range(NUM_RUNS):
            size = _log(folder).stat().st_size
            begun = time.perf_counter()
            with _at_work(folder):
                _wait_for(lambda size=size: _has_stepped(folder, size))
                starts.append(time.perf_counter() - begun)
                _wait_for(lambda: any(_trial(folder).glob("checkpoints/*.pt")))
    plain, saved = _with_checkpoints()
    show(
        f"recovery: {NUM_FINISHED} finished trials, and one that SIGKILL hit with its scheduler",
        [
            (
                "from the command to the first continued step, s, each run",
                ", ".join(f"{s:.2f}" for s in starts),
            ),
            ("median", verdict(median(starts), GOAL_S, " s")),
            (f"{_EPOCHS} epochs of a million parameters, no checkpoint between, s", f"{median(plain):.2f}"),
            ("the same with a durable checkpoint each second, s", f"{median(saved):.2f}"),
            ("ratio", verdict(median([*map(truediv, saved, plain)]), GOAL_OVERHEAD)),
        ],
    )


def _fabricate(folder: Path) -> None:
    """An experiment as the command leaves it, but for the training: its trials say that they are complete."""
    with execution_whitelist(BUILT_IN):
        _add_finished_trials(*_composed(folder))


def _add_finished_trials(config: DictConfig, space: SearchSpace) -> None:
    experiment = Experiment(config, find_data_source(config))
    study = Study(
        lambda number: RandomSampler(seed=number),
        space,
        experiment.objectives,
        experiment.paths.study_db,
        experiment.paths.experiment_id,
    )
    for _ in range(NUM_FINISHED):
        proposal = study.ask()
        spec = experiment.prepare(spec_of(proposal, experiment.fixed_overrides()))
        value = float(proposal.number)
        experiment.record(Started(spec.number, 1, "here", "cpu", "{}"))
        experiment.record(Ended(spec.number, State.COMPLETE, {"val_loss": value}))
        study.tell(spec.number, State.COMPLETE, [value])
    study.close()
    experiment.close(State.WAITING)


def _composed(folder: Path) -> tuple[DictConfig, SearchSpace]:
    overrides = [*_TRAINING, f"experiment_dir={folder / 'experiments'}", "verbose=silent"]
    with initialize_config_module("hpo.conf"):
        config = compose("default_config", overrides, return_hydra_config=True)
        space, problems = read_space(config, (), GlobalHydra.instance().config_loader())
    assert not problems
    return config, space


@contextmanager
def _at_work(folder: Path) -> Iterator[None]:
    """The command goes on with the experiment; it is killed with the block, and its trials with it."""
    arguments = command(folder, *_TRAINING, f"total_trials={NUM_FINISHED + 1}", "resume=true")
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def _trial(folder: Path) -> Path:
    return next(iter(folder.glob(f"experiments/experiment_recovery/{NUM_FINISHED:04d}_*")), folder / "none")


def _log(folder: Path) -> Path:
    return _trial(folder) / "train.log"


def _has_stepped(folder: Path, size: int) -> bool:
    """Whether the log has, beyond that size, a line of training after the one that says where it goes on."""
    _, found, after = _log(folder).read_text()[size:].partition("continues at iteration")
    return bool(found) and "train_loss" in after


def _wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError("the trial did not come so far")
        time.sleep(0.005)


def _with_checkpoints() -> tuple[list[float], list[float]]:
    """Seconds of the same training, without checkpoints before its end and with one each second."""
    torch.set_num_threads(1)
    loop.Data.splits = loop.splits()
    plain: list[float] = []
    saved: list[float] = []
    with scratch() as folder, execution_whitelist((*BUILT_IN, "tests.benchmarks.*")):
        for run in range(_NUM_PAIRS + 1):
            for times, seconds in ((plain, None), (saved, 1.0)):
                config = loop.config_of(_EPOCHS if run else 1, hidden_size=_HIDDEN_SIZE)
                config.optimizer_config.momentum = 0.9
                config.eval_epoch = config.log_epoch = float(_EPOCHS)
                config.checkpoint_every.seconds = seconds
                begun = time.perf_counter()
                loop.run_ours(folder, TrialHandle, config)
                times.append(time.perf_counter() - begun)
    return plain[1:], saved[1:]


if __name__ == "__main__":
    main()
