"""What tests of more than one folder need: hpo's own composition, and the command as a process."""

from __future__ import annotations

import compileall
import gc
import importlib
import os
import secrets
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, flag_override

from hpo.app import main  # registers the schema and the resolvers, as the command does
from hpo.command import TERMINATING
from hpo.experiment.data_source import find_data_source
from hpo.experiment.experiment import Experiment
from hpo.experiment.identity import forget_drawn_ids
from hpo.targets import allowed_targets
from tests.postgresql import PASSWORD, Server, missing, running_server

REPOSITORY = Path(__file__).parents[1]
_LIMIT_S = 120
_PACKAGE = "mypkg"
_MAX_WORKERS = 8  # each holds torch: up to 1 GB, beside the processes that its tests start

Compose = Callable[..., DictConfig]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def new_experiment(config: DictConfig) -> Experiment:
    """The experiment of a configuration, with its data found, as the search opens it."""
    experiment = Experiment(config, find_data_source(config))
    experiment.say_what_starts(config)
    return experiment


def pytest_configure(config: pytest.Config) -> None:
    """Compile hpo once: each process of the tests would, where the environment wants no byte code kept.

    Thousands of tests are collected, of which nothing is garbage: looking for it takes a quarter of that time.
    """
    gc.disable()
    if not hasattr(config, "workerinput"):
        for folder in ("src", "launchers"):
            compileall.compile_dir(REPOSITORY / folder, quiet=1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: the cores that this process may use, and one more, since tests wait for processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores + 1, _MAX_WORKERS)


def pytest_collection_finish() -> None:
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every worker begin with files of slow tests, so that none of those is left to the end.

    `--dist worksteal` gives each worker one stretch of the list; one that is done takes over the end of another's.
    """
    num_workers = getattr(config, "workerinput", {}).get("workercount", 1)
    slow, quick = [], []
    for _, tests in groupby(items, lambda item: item.path):
        of_file = list(tests)
        if any(item.get_closest_marker("slow") for item in of_file):
            slow.append(of_file)
        else:
            quick += of_file
    if num_workers == 1 or not slow:
        return
    stretches = [list(chain.from_iterable(slow[worker::num_workers])) for worker in range(num_workers)]
    left = len(items)
    for worker, stretch in enumerate(stretches):
        size = left // (num_workers - worker)
        left -= size
        num_quick = max(0, size - len(stretch))
        stretch += quick[:num_quick]
        del quick[:num_quick]
    items[:] = [*chain.from_iterable(stretches), *quick]


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded data goes to a folder of these tests, and what they start inherits it."""
    with pytest.MonkeyPatch.context() as patch:
        # and threads that wait for each other do not spin meanwhile
        patch.setenv("OMP_WAIT_POLICY", "passive")
        patch.setenv("HPO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Trainings of this process take one core: threads that have to share one wait for each other in a loop."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def compose_run() -> Compose:
    """`compose_run(*overrides)`: the run configuration as the command composes it, `hydra=True` with that node."""

    def composed(*overrides: str, hydra: bool = False) -> DictConfig:
        with initialize_config_module("hpo.conf"):
            return compose("default_config", list(overrides), return_hydra_config=hydra)

    return composed


@pytest.fixture(scope="session")
def loader() -> ConfigLoader:
    """Hydra's loader of hpo's own conf/."""
    with initialize_config_module("hpo.conf"):
        return GlobalHydra.instance().config_loader()


@pytest.fixture(scope="session")
def _quadratic(compose_run: Compose) -> DictConfig:
    return compose_run("+experiment=quadratic", "threads_per_trial=1", "device=cpu", "tensorboard=false")


@pytest.fixture
def quadratic(_quadratic: DictConfig, tmp_path: Path) -> Iterator[Callable[..., DictConfig]]:
    """`quadratic(**{"task.x": 1.0})`: experiment=quadratic in tmp_path, with some values replaced."""

    def make(**values: Any) -> DictConfig:
        config = _quadratic.copy()
        with flag_override(config, ["struct", "readonly"], False):
            for key, value in {"experiment_dir": str(tmp_path / "experiments"), **values}.items():
                OmegaConf.update(config, key, value, merge=False)
        return config

    yield make
    forget_drawn_ids()


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """`cli("+experiment=quadratic", "-m")` runs `python -m hpo` in tmp_path, without its servers of processes."""

    def run(*arguments: str, launcher: str | None = "basic", **environment: str) -> Any:
        chosen = [f"hydra/launcher={launcher}"] if launcher else []
        return subprocess.run(
            [sys.executable, "-m", "hpo", *arguments, *chosen],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )

    return run


def run_in_process(
    folder: Path,
    arguments: Sequence[str],
    capfd: pytest.CaptureFixture[str],
    entry_point: Callable[[Sequence[str]], None] = main,
) -> Any:
    """`python -m hpo` (or another entry point) with these arguments, in this process, which has torch already.

    What a command may change, since its process ends with it, is as it was afterwards.
    """
    handlers = {number: signal.getsignal(number) for number in (*TERMINATING, signal.SIGINT)}
    environment = dict(os.environ)
    allowed_targets.cache_clear()
    importlib.invalidate_caches()
    capfd.readouterr()
    _forget_packages(folder)
    try:
        with chdir(folder), warnings.catch_warnings(action="ignore"), pytest.raises(SystemExit) as ended:
            entry_point(arguments)
    finally:
        os.environ.clear()
        os.environ.update(environment)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        forget_drawn_ids()
        allowed_targets.cache_clear()
        gc.unfreeze()
        torch.set_num_threads(1)
        _forget_packages(folder)
    return subprocess.CompletedProcess(list(arguments), int(ended.value.code or 0), *capfd.readouterr())


def _forget_packages(folder: Path) -> None:
    """Of a project below `folder`, and of any other that has the name which all of them have."""
    for name, module in list(sys.modules.items()):
        # a package without __init__.py has folders and no file
        own = vars(module)
        places = [own.get("__file__") or "", *(own.get("__path__") or ())]
        is_below = any(str(place).startswith(f"{folder}{os.sep}") for place in places)
        if is_below or name.partition(".")[0] == _PACKAGE:
            del sys.modules[name]


@pytest.fixture
def cli_in_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    """As `cli`, in this process."""

    def run(*arguments: str, launcher: str | None = "basic") -> Any:
        chosen = [f"hydra/launcher={launcher}"] if launcher else []
        return run_in_process(tmp_path, [*arguments, *chosen], capfd)

    return run


@pytest.fixture(scope="session")
def _postgresql() -> Iterator[Server]:
    """One for each process that runs tests, started when the first of them asks for it."""
    pytest.importorskip("psycopg")
    problem = missing()
    if problem is not None:
        pytest.skip(f"a PostgreSQL server on this machine {problem}")
    with running_server() as server:
        yield server


@pytest.fixture
def postgresql(_postgresql: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    """A server that this process and those that it starts may use, each test with a cache of its own."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("HPO_CACHE_DIR", str(tmp_path / "cache"))
    return _postgresql


@pytest.fixture
def database(postgresql: Server) -> str:
    """The URL of an empty database."""
    name = f"of_{secrets.token_hex(4)}"
    postgresql.sql(f"CREATE DATABASE {name}")
    return postgresql.url(name)
