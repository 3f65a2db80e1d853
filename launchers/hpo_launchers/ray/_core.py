"""Opens the stream of Ray's actors for a launcher that Hydra has set up."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.resources import NOTHING, Need, is_constant, need_of
from hpo.search.stream import Stream
from hpo_launchers import execution
from hpo_launchers.jobs import Composer
from hpo_launchers.local._core import bare_stream, check_trials_per_process
from hpo_launchers.local._machine import own_cores
from hpo_launchers.local._preload import modules_for
from hpo_launchers.worker.composing import Needless
from hpo_launchers.worker.options import plain
from hpo_launchers.worker.surroundings import surroundings_of
from hpo_launchers.worker.versions import versions

if TYPE_CHECKING:
    from hpo_launchers.ray._stream import RayStream

_NOT_OF_INIT = {"address", "runtime_env"}
# which Ray counts by itself
_OF_RAY = {"CPU", "GPU", "memory", "object_store_memory"}


def open_stream(
    owner: Any,
    context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    given: Mapping[str, Any],
) -> RayStream:
    """The stream, which is closed when `owner` or this process comes to its end.

    Raises ConfigError for what cannot be, and for trials that no node of the cluster could run.
    """
    try:
        importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"hydra/launcher=ray needs {error.name}, which is not installed: pip install 'hpo[ray]'"
        ) from error
    import ray

    from hpo_launchers.ray._cluster import Cluster
    from hpo_launchers.ray._slot import Slot
    from hpo_launchers.ray._storage import TrialStorage, check_storage
    from hpo_launchers.ray._stream import RayStream

    options = _plain(given)
    _check_runtime_env(options["runtime_env"])
    runtime_env = options["runtime_env"]
    need = _need(config)
    storage = None
    if options["storage"] is not None:
        check_storage(options["storage"])
        storage = TrialStorage(options["storage"])
    cluster = Cluster(options, num_cpus=_num_cpus(need, options["concurrency"]))
    problem = None if need is None else cluster.misfit(need)
    if problem is not None:
        cluster.close()
        raise ConfigError(problem)
    composer = Composer(context.config_loader, config)
    modules = modules_for(config)

    def surroundings(wants_result: bool) -> bytes:
        return surroundings_of(context, task_function, config, wants_result=wants_result)

    def open_actor(of: Need, wants_results: bool) -> tuple[Any, Any]:
        actor: Any = ray.remote(Slot).options(max_restarts=0, **cluster.options(of)).remote()
        setup = {
            "versions": versions(),
            "surroundings": surroundings(wants_results),
            "modules": modules,
            **{key: options[key] for key in ("stop_timeout_s", "trials_per_process", "storage", "storage_sync_s")},
            "is_own": cluster.is_own,
            "lifeline": cluster.lifeline.address,
            "env_vars": list(runtime_env.get("env_vars", ())),
            "brings_code": bool({"working_dir", "py_modules"} & set(runtime_env)),
            "brings_directory": "working_dir" in runtime_env,
        }
        return actor, actor.greet.remote(setup)

    def nearby() -> Stream:
        return bare_stream(Needless(composer), modules, surroundings, stop_timeout_s=options["stop_timeout_s"])

    stream = RayStream(
        composer,
        cluster,
        open_actor,
        nearby,
        capacity=options["concurrency"] or max(1, cluster.places(need or NOTHING)),
        stop_timeout_s=options["stop_timeout_s"],
        head_timeout_s=options["head_timeout_s"],
        storage=storage,
    )
    # Hydra tells a launcher when to begin, and never when its sweep is over
    weakref.finalize(owner, stream.close)
    return stream


def _need(config: DictConfig) -> Need | None:
    """What every trial needs; None where they differ."""
    if not execution.is_run_config(config):
        return NOTHING
    return need_of(config) if is_constant(config) else None


def _num_cpus(need: Need | None, concurrency: int | None) -> int:
    """The CPUs of a Ray that is started here: trials that name none take turns on what there is."""
    cores = len(own_cores())
    return cores if need is None or need.cpus else max(cores, concurrency or 1)


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as plain values. Raises ConfigError for what cannot be."""
    options = plain(given, ("resources", "runtime_env", "init"))
    concurrency = options["concurrency"]
    if concurrency is not None and concurrency < 1:
        raise ConfigError(
            f"hydra.launcher.concurrency (concurrent_trials) must be at least 1 but got {concurrency}"
        )
    check_trials_per_process(options["trials_per_process"])
    for key in ("storage_sync_s", "head_timeout_s"):
        if options[key] <= 0:
            raise ConfigError(f"hydra.launcher.{key}={options[key]} must be above 0")
    _check_names("resources", set(options["resources"]) & _OF_RAY, "resources_per_trial has a key for it")
    for name, amount in options["resources"].items():
        if not isinstance(amount, int | float) or amount <= 0:
            raise ConfigError(f"hydra.launcher.resources.{name}={amount} must be a number above 0")
    _check_names("init", set(options["init"]) & _NOT_OF_INIT, "hydra.launcher has a key of its own for it")
    return options


def _check_runtime_env(given: Mapping[str, Any]) -> None:
    from ray.runtime_env import RuntimeEnv

    known = {name for name in RuntimeEnv.known_fields if not name.startswith("_")}
    _check_names("runtime_env", set(given) - known, f"Ray knows {', '.join(sorted(known))}")


def _check_names(node: str, wrong: set[str], why: str) -> None:
    """Raise ConfigError for names that a node of the launcher must not have: Ray takes no notice of some."""
    for name in sorted(wrong):
        raise ConfigError(f"hydra.launcher.{node}.{name} cannot be: {why}")
