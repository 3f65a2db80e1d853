"""A configuration as plain values, with the secrets of the environment left where they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from omegaconf import Container, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@", re.IGNORECASE)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Verbatim(str):
    """Text that YAML holds as it stands, unfolded and unquoted, so that it can be copied from the file."""


_Dumper.add_representer(
    Verbatim, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)


def plain(config: Container) -> Any:
    """`config` as dicts, lists and scalars: interpolations resolved, `${oc.env:...}` kept as it is written.

    URLs lose their passwords. Enums become their names.
    """
    with _environment_left_unresolved():
        try:
            values = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
        except OmegaConfBaseException:
            # one value does not resolve (a typed key that holds a variable): keep that one as written
            values = _walk(config)
    return without_passwords(values)


def without_hydra(config: DictConfig) -> DictConfig:
    """The run configuration: all but Hydra's own node."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def without_passwords(value: Any) -> Any:
    """`value` with `user:password@` in every URL cut down to `user@`."""
    if isinstance(value, str):
        return _PASSWORD.sub(r"\g<scheme>@", value) if "://" in value else value
    if isinstance(value, dict):
        return {key: without_passwords(child) for key, child in value.items()}
    if isinstance(value, list):
        return [without_passwords(child) for child in value]
    return value


def to_yaml(values: Any) -> str:
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def to_json(values: Any) -> str:
    """JSON that every database reads: non-finite numbers become strings."""
    return json.dumps(_finite(values), default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {str(key): _finite(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(child) for child in value]
    return value


def _walk(config: Container) -> Any:
    if isinstance(config, DictConfig):
        return None if config._is_none() else {key: _leaf(config, key) for key in config}
    assert isinstance(config, ListConfig)
    return None if config._is_none() else [_leaf(config, index) for index in range(len(config))]


def _leaf(config: Any, key: Any) -> Any:
    raw = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
    assert isinstance(raw, dict | list)
    try:
        value = config[key]
    except OmegaConfBaseException:
        return raw[key]
    if isinstance(value, Container):
        return _walk(value)
    return raw[key] if not OmegaConf.is_interpolation(config, key) else value


@contextmanager
def _environment_left_unresolved() -> Iterator[None]:
    from omegaconf.resolvers import oc

    OmegaConf.register_resolver(
        "oc.env", lambda *arguments: f"${{oc.env:{','.join(map(str, arguments))}}}", replace=True
    )
    try:
        yield
    finally:
        OmegaConf.register_resolver("oc.env", oc.env, replace=True)
