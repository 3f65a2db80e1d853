"""A trial with several seeds, in this process, into a real directory."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig

from hpo.config import Center
from hpo.errors import TrialError
from hpo.paths import TrialPaths
from hpo.records import Ended, ReplicateEnded, Report, Started, State, Stop
from hpo.trial.attempt import TEST_TASK, run_attempt
from hpo.trial.replicates import combined, seed_of
from tests.trial.conftest import TASKS
from tests.trial.links import Collecting

Make = Callable[..., DictConfig]
LOSSES = {0: 3.0, 1: 1.0, 2: 8.0}


@pytest.fixture
def replicates_of(config_of: Make) -> Make:
    """`replicates_of(losses)`: a configuration with a replicate for each of them."""

    def make(losses: dict[int, float | None], **values: Any) -> DictConfig:
        values = {"num_replicates": len(losses), "random_seed": 7, **values}
        return config_of("by_seed", values, losses=losses, seed="${random_seed}")

    return make


def seeds(config: DictConfig) -> list[int]:
    return [seed_of(config.random_seed, index) for index in range(config.num_replicates)]


def metadata_of(paths: TrialPaths) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(paths.metadata.read_text())
    return found


@pytest.mark.parametrize(("center", "loss", "f1"), [("mean", 4.0, 1.0), ("median", 3.0, 1.0)])
def test_the_metrics_are_the_mean_or_median_of_the_replicates(
    replicates_of: Make, paths: TrialPaths, center: str, loss: float, f1: float
) -> None:
    ended = run_attempt(replicates_of(LOSSES, combine_replicates=Center(center)), paths, Collecting())

    spread = statistics.stdev(LOSSES.values())
    assert ended.state is State.COMPLETE
    assert ended.metrics == {"loss": loss, "f1": f1, "loss_std": pytest.approx(spread)}


def test_each_replicate_is_a_trial_with_a_seed_of_its_own_in_a_directory_of_its_own(
    replicates_of: Make, paths: TrialPaths
) -> None:
    config = replicates_of(LOSSES)
    run_attempt(config, paths, Collecting())

    assert len(set(seeds(config))) == 3
    assert seeds(config)[0] == config.random_seed
    for index, seed in enumerate(seeds(config)):
        own = paths.replicate(index)
        metadata = metadata_of(own)
        assert (metadata["trial_id"], metadata["replicate"], metadata["random_seed"]) == (
            f"0003_abcd/replicate_{index}",
            index,
            seed,
        )
        assert (metadata["number"], metadata["params"]) == (3, {"task.x": 1.0})
        assert metadata["outcome"]["metrics"] == {"loss": LOSSES[index], "f1": float(index)}
        assert f"random_seed: {seed}\n" in own.config.read_text()
        assert len(json.loads(own.results.read_text())) == 2
        assert "trial 0003_abcd/replicate" in own.log.read_text()
    records = json.loads(paths.results.read_text())
    assert [(record["replicate"], record["loss"]) for record in records] == list(LOSSES.items())
    assert [line for line in paths.log.read_text().splitlines() if "replicate 2 of 3, random_seed" in line]
    assert metadata_of(paths)["outcome"]["metrics"]["loss"] == 4.0


def test_the_scheduler_hears_of_one_trial_and_of_its_replicates(replicates_of: Make, paths: TrialPaths) -> None:
    link = Collecting()
    config = replicates_of(LOSSES)
    run_attempt(config, paths, link)

    kinds = [(type(event), getattr(event, "replicate", None)) for event in link.events]
    of_each = [[(Report, index), (Report, index), (ReplicateEnded, index)] for index in range(3)]
    assert kinds == [(Started, None), *of_each[0], *of_each[1], *of_each[2], (Ended, None)]
    assert [event.random_seed for event in link.events if isinstance(event, ReplicateEnded)] == seeds(config)


def test_the_best_checkpoint_is_that_of_the_best_replicate(replicates_of: Make, paths: TrialPaths) -> None:
    run_attempt(replicates_of(LOSSES), paths, Collecting())

    (best,) = paths.best_checkpoints.iterdir()
    assert best.samefile(paths.replicate(1).best_checkpoint(1))


@pytest.mark.parametrize(
    ("second", "reason"),
    [(None, "replicate 1: ValueError: no luck"), (math.nan, "replicate 1: loss is nan, which is not finite")],
)
def test_a_replicate_that_fails_fails_the_trial_and_is_the_last(
    replicates_of: Make, paths: TrialPaths, second: float | None, reason: str
) -> None:
    link = Collecting()
    with pytest.raises(TrialError):
        run_attempt(replicates_of({0: 1.0, 1: second, 2: 1.0}), paths, link)

    end = link.events[-1]
    assert isinstance(end, Ended)
    assert (end.state, end.reason) == (State.FAIL, reason)
    assert (end.traceback is not None) == (second is None)
    assert metadata_of(paths)["outcome"]["reason"] == reason
    assert not paths.replicate(2).root.exists()
    states = [event.state for event in link.events if isinstance(event, ReplicateEnded)]
    assert states == [State.COMPLETE, State.FAIL]


@pytest.mark.parametrize("why", list(Stop))
def test_a_trial_that_is_told_to_stop_begins_no_other_replicate(
    replicates_of: Make, paths: TrialPaths, why: Stop
) -> None:
    after_the_first = 4
    ended = run_attempt(replicates_of(LOSSES), paths, Collecting(after_the_first, why))

    assert ended.state is why.state
    assert ended.reason is not None
    assert ended.reason.endswith("after replicate 0")
    assert ended.metrics == {"loss": 3.0, "f1": 0.0}
    assert not paths.replicate(1).root.exists()


def test_a_replicate_that_is_stopped_leaves_the_trial_with_the_metrics_of_those_before(
    replicates_of: Make, paths: TrialPaths
) -> None:
    within_the_third = 8
    ended = run_attempt(replicates_of(LOSSES), paths, Collecting(within_the_third))

    assert (ended.state, ended.reason) == (
        State.PRUNED_POOR_PERFORMANCE,
        "replicate 2: stopped by the pruner",
    )
    assert ended.metrics == {"loss": 2.0, "f1": 0.5, "loss_std": pytest.approx(math.sqrt(2))}


def test_the_time_limit_is_that_of_all_replicates_together(config_of: Make, paths: TrialPaths) -> None:
    link = Collecting()
    config = config_of("waits_for_ever", {"num_replicates": 2, "trial_timeout_s": 0.2})
    with pytest.raises(TrialError):
        run_attempt(config, paths, link)

    end = link.events[-1]
    assert isinstance(end, Ended)
    assert end.state is State.FAIL
    assert str(end.reason).startswith("replicate 1: ")
    assert str(end.reason).endswith("trial_timeout_s=0.2 is over")


def test_a_test_is_that_of_every_replicate(replicates_of: Make, paths: TrialPaths) -> None:
    config = replicates_of(LOSSES)
    run_attempt(config, paths, Collecting())
    config.test_task = {
        "_target_": f"{TASKS}.by_seed",
        "losses": {0: 2.0, 1: 4.0, 2: 6.0},
        "seed": "${random_seed}",
    }
    config.run_task = TEST_TASK
    link = Collecting()

    tested = run_attempt(config, paths, link)

    assert (tested.metrics["loss"], tested.metrics["loss_std"], tested.metrics["f1"]) == (4.0, 2.0, 1.0)
    assert metadata_of(paths)["test_outcome"]["metrics"] == dict(tested.metrics)
    assert metadata_of(paths.replicate(2))["test_outcome"]["metrics"]["loss"] == 6.0
    assert metadata_of(paths)["outcome"]["metrics"]["loss"] == 4.0


def test_neighbouring_seeds_share_no_replicate() -> None:
    drawn = [seed_of(random_seed, index) for random_seed in range(20) for index in range(20)]

    assert len(set(drawn)) == len(drawn)
    assert all(0 <= seed < 2**32 for seed in drawn)


def test_what_is_not_finite_stays_so_and_a_metric_that_one_lacks_is_left_out() -> None:
    metrics = combined(
        [{"loss": 1.0, "f1": math.inf, "extra": 1.0}, {"loss": 2.0, "f1": 1.0}],
        Center.median,
        spread_of=["loss", "f1", "none"],
    )

    assert metrics.keys() == {"loss", "f1", "loss_std", "f1_std"}
    assert (metrics["loss"], metrics["f1"]) == (1.5, math.inf)
    assert math.isnan(metrics["f1_std"])
