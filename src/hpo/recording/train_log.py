"""train.log: one readable line per record, through the logger that the trial sends to that file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from hpo.records import TrialInfo

logger = logging.getLogger("hpo.train")

# what describes where training stands; everything else in a record is a moving average since the last one
_STATIC_KEYS = frozenset(
    {"current_epoch", "epochs", "current_iteration", "total_steps", "learning_rate", "best_iteration"}
)


class TrainLog:
    """Logs each record as `epoch 2/10  iteration 3750/18750  ...  |  train_loss 1.588  val_loss 1.48`."""

    def __init__(self, info: TrialInfo) -> None:
        self._trial_id = info.trial_id

    def log(self, record: Mapping[str, float | int]) -> None:
        static = [*_progress(record), *_named((k, record[k]) for k in record if k.startswith("best_"))]
        averages = _named((k, v) for k, v in record.items() if k not in _STATIC_KEYS and k[:5] != "best_")
        logger.info("  |  ".join("  ".join(part) for part in (static, averages) if part))

    def close(self, metrics: Mapping[str, float]) -> None:
        if metrics:
            logger.info("trial %s ended  |  %s", self._trial_id, "  ".join(_named(metrics.items())))


def _progress(record: Mapping[str, float | int]) -> list[str]:
    parts = []
    if "current_epoch" in record:
        parts.append(f"epoch {record['current_epoch']}/{record.get('epochs', '?')}")
    if "current_iteration" in record:
        parts.append(f"iteration {record['current_iteration']}/{record.get('total_steps', '?')}")
    if "learning_rate" in record:
        parts.append(f"learning_rate {_number(record['learning_rate'])}")
    return parts


def _named(items: Iterable[tuple[str, float | int]]) -> list[str]:
    return [f"{name} {_number(value)}" for name, value in items]


def _number(value: float | int) -> str:
    return str(value) if isinstance(value, int) else f"{value:.5g}"
