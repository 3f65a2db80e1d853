"""With replicates: whether the best configuration beats the configured values over their seeds."""

from __future__ import annotations

import math

import numpy as np

from hpo.analysis.ablation import seeds_of
from hpo.analysis.effects import effect
from hpo.analysis.loading import EXPERIMENT
from hpo.analysis.subject import Subject, is_min
from hpo.frames import PARAMS


def best_against_configured(subject: Subject) -> str | None:
    """The comparison in words; None without replicates, or where the configured values were not tried.

    The best is chosen by the values that it is judged by: the words say so.
    """
    best = subject.best()
    if best is None or subject.loaded.replicates.empty:
        return None
    source = next(each for each in subject.loaded.sources if each.paths.experiment_id == best[EXPERIMENT])
    own = subject.complete[subject.complete[EXPERIMENT] == best[EXPERIMENT]]
    is_configured = np.ones(len(own), dtype=bool)
    for each in source.parameters:
        default = _configured(source.config, each.key)
        is_configured &= (own[f"{PARAMS}{each.key}"].map(repr) == repr(default)).to_numpy()
    configured = own[is_configured]
    if configured.empty:
        return None
    reference = configured.iloc[[0]]
    if int(reference["number"].iloc[0]) == int(best["number"]):
        return "The configured values are the best."
    ours = seeds_of(subject, own[own["number"] == best["number"]], subject.first)
    theirs = seeds_of(subject, reference, subject.first)
    found = effect(ours, theirs)
    if math.isnan(found.p):
        return None
    is_better = (found.difference < 0) == is_min(subject.first)
    return (
        f"Over its {len(ours)} seeds it is {'better' if is_better else 'worse'} than the configured values over "
        f"theirs ({len(theirs)}) by {abs(found.difference):.4g}: g = {found.g:+.2f} [{found.low:+.2f}, "
        f"{found.high:+.2f}], p = {found.p:.2g} (Welch). It was chosen as the best of {len(own)} by these values, "
        "which makes the difference look larger than it is: run both again with new seeds to be sure."
    )


def _configured(config: object, key: str) -> object:
    node = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node
