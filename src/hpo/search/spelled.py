"""Distributions as people read them."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.overrides import encode_value


def spelled_values(kind: BaseDistribution) -> str:
    """The values of a distribution in words: `0.0001 to 0.1 (log)`, `32 to 512, whole numbers`, `sgd, adam`."""
    if isinstance(kind, CategoricalDistribution):
        return ", ".join(encode_value(choice) for choice in kind.choices)
    if not isinstance(kind, FloatDistribution | IntDistribution):
        return str(kind)
    words = f"{kind.low} to {kind.high}"
    if isinstance(kind, IntDistribution) and kind.step == 1:
        words += ", whole numbers"
    elif kind.step is not None:
        words += f" in steps of {kind.step}"
    return f"{words} (log)" if kind.log else words
