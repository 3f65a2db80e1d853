"""The cluster: joined or started, and what its nodes have."""

from __future__ import annotations

import logging
import os
import signal
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray._private import services
from ray._private import worker as ray_worker

from hpo.errors import ConfigError
from hpo.resources import KEY, Need
from hpo_launchers.ray._lifeline import Lifeline

log = logging.getLogger(__name__)

# as ray.init spells it
_HERE = "local"
_CONNECT_S = 10.0
# Ray keeps in it what trials never put there
_STORE_BYTES = 100_000_000
_MIB = 2**20
_AUTH_MODE = "RAY_AUTH_MODE"
_SAY_SO = f"Say `export {_AUTH_MODE}=token`, and have"
_WHERE_TOKENS_ARE = "its token in RAY_AUTH_TOKEN or ~/.ray/auth_token (`ray get-auth-token` on its head prints it)"
_BREAKPOINT = "PYTHONBREAKPOINT"
_CLUSTER_ID = "/ray.rpc.NodeInfoGcsService/GetClusterId"
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}


class Cluster:
    """`is_own` says that it was started for this search, `head` where its head is, and slots end with `lifeline`.

    It is left as it was found: see `close`.
    """

    def __init__(self, options: Mapping[str, Any], *, num_cpus: int) -> None:
        """Raises ConfigError where there is no cluster at the address, or Ray does not take an option."""
        self._autoscales = bool(options["autoscales"])
        self._custom: dict[str, float] = dict(options["resources"])
        address = options["address"] or os.environ.get("RAY_ADDRESS") or _HERE
        self.is_own = address == _HERE and not ray.is_initialized()
        self._has_joined = not ray.is_initialized()
        if self._has_joined:
            try:
                self._connect(address, options["init"] | _of_env(options["runtime_env"]), num_cpus)
            except ConfigError as error:
                if options["address"] or address == _HERE:
                    raise
                raise ConfigError(f"{error} (hydra.launcher.address is null, and RAY_ADDRESS says so)") from error
        elif options["runtime_env"]:
            raise ConfigError(
                "hydra.launcher.runtime_env: Ray runs in this process already; give it to your ray.init"
            )
        self.head: str = ray.get_runtime_context().gcs_address
        host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call] # Ray's annotations have gaps
        self.lifeline = Lifeline(host)

    def _connect(self, address: str, init: dict[str, Any], num_cpus: int) -> None:
        if address != _HERE:
            _check_address(address, init.get("_temp_dir"))
            given: dict[str, Any] = {"address": address}
        else:
            given = {
                "address": _HERE,
                "num_cpus": num_cpus,
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
            }
        given |= {"log_to_driver": False, "logging_level": logging.ERROR, **init}
        try:
            with _undisturbed():
                ray.init(**given)
        except Exception as error:
            with _undisturbed():
                ray.shutdown()  # what has started of it
            where = "Ray does not start" if self.is_own else "Ray cannot be joined"
            told = "".join(f", {name}={value}" for name, value in init.items())
            raise ConfigError(f"{where} (hydra.launcher.address={address}{told}): {first_line(error)}") from error

    def options(self, need: Need) -> dict[str, Any]:
        """What an actor asks of Ray to run trials of that need."""
        asked: dict[str, Any] = {"num_cpus": need.cpus or 1, "num_gpus": float(need.gpus or 0)}
        if need.memory_mb:
            asked["memory"] = int(need.memory_mb * _MIB)
        if self._custom:
            asked["resources"] = self._custom
        return asked

    def misfit(self, need: Need) -> str | None:
        """Why no node could ever run a trial of that need."""
        if need.gpu_memory_mb and need.gpus is None:
            return (
                f"{KEY}.gpu_memory_mb={need.gpu_memory_mb:g}: Ray gives out GPUs, or parts of one, by count; "
                f"give {KEY}.gpus too"
            )
        asked = self._asked(need)
        nodes = _nodes()
        if self._autoscales or any(_count(asked, has) for has in nodes):
            return None
        told = ", ".join(_amount(name, value) for name, value in asked.items())
        there = "; ".join(", ".join(_amount(name, has.get(name, 0.0)) for name in asked) for has in nodes)
        return (
            f"no node of the Ray cluster has what a trial needs ({told}). Its nodes have: {there}. Lower {KEY} or "
            "hydra.launcher.resources, or say hydra.launcher.autoscales=true of a cluster that grows"
        )

    def places(self, need: Need) -> int:
        """How many trials of that need fit the nodes as they are."""
        return sum(_count(self._asked(need), has) for has in _nodes())

    def _asked(self, need: Need) -> dict[str, float]:
        """By the names that nodes have for it."""
        asked = {"CPU": float(need.cpus or 1), "GPU": float(need.gpus or 0), "memory": need.memory_mb * _MIB}
        return {name: value for name, value in (asked | self._custom).items() if value}

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        self.lifeline.close()
        if self._has_joined and ray.is_initialized():
            with _undisturbed():
                ray.shutdown()
        self._has_joined = False


def _of_env(runtime_env: dict[str, Any]) -> dict[str, Any]:
    return {"runtime_env": runtime_env} if runtime_env else {}


def _check_address(address: str, temp_dir: str | None) -> None:
    """Ray itself tries for minutes."""
    if "://" in address:
        raise ConfigError(
            f"hydra.launcher.address={address}: Ray's client is not used; start the search on a node of the "
            "cluster, with auto or the host:port of its head"
        )
    if address == "auto":
        found = _found(temp_dir)
        if found is not None:
            _check_head(address, found)
        return
    _, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ConfigError(
            f"hydra.launcher.address={address} is no address: local starts Ray here, auto joins the cluster of "
            "this machine, host:port the one with that head"
        )
    _check_head(address, address)


def _found(temp_dir: str | None) -> str | None:
    """What auto means here, as Ray finds it out, which is not public; None leaves it to Ray to say that."""
    with suppress(Exception):
        return services.canonicalize_bootstrap_address("auto", temp_dir)
    return None


def _check_head(address: str, head: str) -> None:
    """Raises ConfigError where no head answers at host:port `head`, which is what `address` means."""
    host, _, port = head.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise _silent(address, head, str(error.strerror or error)) from error
    if os.environ.get("RAY_USE_TLS", "0") == "0":
        _ask_head(address, head)


def _ask_head(address: str, head: str) -> None:
    """Ask the head for the cluster's id, as Ray does before anything else. Raises ConfigError where it refuses."""
    import grpc

    with grpc.insecure_channel(head) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_CONNECT_S)
        except grpc.FutureTimeoutError as error:
            raise _silent(address, head, "what listens there is no Ray") from error

        def answer(*headers: tuple[str, str]) -> grpc.StatusCode:
            try:
                channel.unary_unary(_CLUSTER_ID)(b"", timeout=_CONNECT_S, metadata=headers)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        has_tokens = os.environ.get(_AUTH_MODE, "").lower() == "token"
        told, without = None, answer()
        if without not in (grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED):
            raise _silent(address, head, f"what listens there is no Ray, and says {without.name}")
        if address == "auto":
            # Ray looks for the token itself
            return
        if without is grpc.StatusCode.OK and has_tokens:
            told = f"asks for no token: say `unset {_AUTH_MODE}`"
        elif without is grpc.StatusCode.UNAUTHENTICATED:
            token = _token() if has_tokens else None
            given = "none is given"
            if token is not None:
                with_it = answer(("authorization", f"Bearer {token}"))
                given = "the one that is given is another's" if with_it is without else ""
            advice = f"{'Have' if has_tokens else _SAY_SO} {_WHERE_TOKENS_ARE}"
            told = f"asks for a token, and {given}. {advice}" if given else None
    if told is not None:
        raise ConfigError(f"hydra.launcher.address={address}: the cluster there {told}")


def _token() -> str | None:
    """What Ray shows a cluster that asks for one."""
    if text := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return text
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    with suppress(OSError):
        return file.read_text().strip() or None
    return None


def _silent(address: str, head: str, reason: str) -> ConfigError:
    where = "there" if head == address else f"at {head}, which is the head of this machine's cluster"
    return ConfigError(
        f"hydra.launcher.address={address}: nobody answers {where} ({reason}); `ray status` on a node tells "
        "whether the cluster runs, and `ray stop` ends what is left of one"
    )


def _nodes() -> list[dict[str, float]]:
    """What each node has in all."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call] # Ray's annotations have gaps
    return [node["Resources"] for node in nodes if node["Alive"]]


def _amount(name: str, value: float) -> str:
    """As `resources_per_trial` has it: Ray counts memory in bytes."""
    return f"memory_mb {value / _MIB:.0f}" if name == "memory" else f"{name} {value:g}"


def _count(asked: Mapping[str, float], has: Mapping[str, float]) -> int:
    """How often what is asked fits in what a node has."""
    return int(min(has.get(name, 0.0) / value for name, value in asked.items()))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ray sets handlers of signals, which are the search's, and prints what it hears of workers."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    debugger = os.environ.get(_BREAKPOINT)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        # nor are the user's breakpoints Ray's
        if debugger is None:
            os.environ.pop(_BREAKPOINT, None)
        else:
            os.environ[_BREAKPOINT] = debugger
        for number, handler in handlers.items():
            with suppress(ValueError):  # not the main thread
                signal.signal(number, handler)
        # a public way there is none
        ray_worker.print_to_stdstream = _note


def first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _note(data: Mapping[str, Any], *_: Any, **__: Any) -> None:
    for line in data.get("lines", ()):
        log.debug("Ray: %s", line)
