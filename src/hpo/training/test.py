"""Evaluates a trial's best model once, on the data held back."""

from __future__ import annotations

import logging

import torch

from hpo.errors import TrialError
from hpo.training.evaluate import evaluate
from hpo.training.nodes import build_metrics
from hpo.training.running import Running
from hpo.training.setup import build_model, build_step, deterministic_algorithms, eval_batches, load, prepare_torch
from hpo.trial.protocol import Trial

logger = logging.getLogger("hpo.train")


def test(trial: Trial) -> dict[str, float]:
    """`test_loss` and `test_<metric>` of the newest checkpoint in best_checkpoints; nothing without test data.

    Raises TrialError where there is no checkpoint.
    """
    config = trial.config
    checkpoints = sorted(trial.dir.best_checkpoints.glob("*.pt"), key=lambda path: path.stat().st_mtime_ns)
    if not checkpoints:
        raise TrialError(f"there is no checkpoint to test in {trial.dir.best_checkpoints}")
    device = prepare_torch(config)
    splits = load(config)
    if splits.test is None:
        logger.info("data_config holds no test data back")
        return {}
    model = build_model(config, device)
    state = torch.load(checkpoints[-1], map_location=device)
    model.load_state_dict(state.get("ema") or state["model"])
    batches = eval_batches(splits.test, config, device)
    with deterministic_algorithms(config.deterministic):
        metrics = evaluate(
            build_step(config, model, device), model, batches, Running(build_metrics(config, device))
        )
    logger.info("tested %s on %d samples held back", checkpoints[-1].name, batches.num_samples)
    return {f"test_{name}": value for name, value in metrics.items()}
