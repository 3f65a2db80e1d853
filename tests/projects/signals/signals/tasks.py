"""Tasks that are no torch loop: a model in NumPy that can be resumed, and a program of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np

from hpo.trial.protocol import Trial


def fit_ridge(trial: Trial, scale: float, penalty: float, num_rounds: int, features_per_round: int) -> None:
    """Ridge regression on random cosines, more of them in each round; goes on from its newest checkpoint."""
    rng = np.random.default_rng(trial.config.random_seed)
    x, val_x = rng.uniform(-3, 3, (2, 200))
    y, val_y = np.sin(2 * x) + rng.normal(0, 0.1, 200), np.sin(2 * val_x)

    state: dict[str, Any] = trial.restore() or {"round": 0, "frequencies": [], "phases": []}
    for round_ in range(state["round"] + 1, num_rounds + 1):
        drawn = np.random.default_rng((trial.config.random_seed, round_))
        frequencies = state["frequencies"] + (scale * drawn.normal(size=features_per_round)).tolist()
        phases = state["phases"] + drawn.uniform(0, 2 * np.pi, features_per_round).tolist()
        features, val_features = (np.cos(np.outer(values, frequencies) + phases) for values in (x, val_x))
        gram = features.T @ features + penalty * np.eye(len(phases))
        predicted = val_features @ np.linalg.solve(gram, features.T @ y)

        trial.report({"val_error": np.sqrt(np.mean((predicted - val_y) ** 2))}, step=round_)
        state = {"round": round_, "frequencies": frequencies, "phases": phases}
        trial.save(state, step=round_)
        if trial.should_stop():
            break


def simulate(trial: Trial, angle: float) -> float:
    """How far a ball flies that is thrown at `angle` (degrees), as a program of its own says."""
    program = [sys.executable, "-m", "signals.ball", str(angle)]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    return json.loads(told)["distance"]
