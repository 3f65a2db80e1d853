"""Functions that constraints name by `_target_`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def at_most(params: Mapping[str, Any], key: str, limit: float) -> bool:
    return bool(params[key] <= limit)


def numpy_truth(params: Mapping[str, Any]) -> Any:
    return np.float64(params["x"]) < 1


def forgotten(params: Mapping[str, Any]) -> None:
    del params


def takes_nothing() -> bool:
    return True


def spoils(params: dict[str, Any]) -> bool:
    params.clear()
    return True
