from __future__ import annotations

import io

import pytest
import torch
from torchmetrics import CosineSimilarity, MeanSquaredError, Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from hpo.errors import ConfigError
from hpo.training import running as module
from hpo.training.running import Running
from hpo.training.step import Result

SCORES = torch.eye(3)


def test_a_smaller_batch_weighs_less():
    running = Running({})
    running.add(Result(torch.tensor(1.0), SCORES, torch.tensor([0, 1, 2])))
    running.add(Result(torch.tensor(5.0), SCORES[:1], torch.tensor([0])))
    assert running.compute() == {"loss": 2.0}


def test_metrics_see_all_samples_and_start_again():
    running = Running({"accuracy": MulticlassAccuracy(3, average="micro")})
    running.add(Result(torch.tensor(1.0), SCORES, torch.tensor([0, 1, 0])))
    running.add(Result(torch.tensor(1.0), SCORES[:1], torch.tensor([0])))
    assert running.compute()["accuracy"] == 0.75
    running.add(Result(torch.tensor(1.0), SCORES[:1], torch.tensor([1])))
    assert running.compute() == {"loss": 1.0, "accuracy": 0.0}


@pytest.mark.parametrize("limit", ["_MAX_BUFFERED_BATCHES", "_MAX_BUFFERED_BYTES"])
def test_a_full_buffer_is_taken_in_without_changing_the_result(monkeypatch, limit):
    torch.manual_seed(0)
    batches = [
        (torch.rand(()), torch.rand(size, 3), torch.randint(3, (size,))) for size in torch.randint(1, 9, (50,))
    ]
    results = []
    for size in (None, 3):
        if size is not None:
            monkeypatch.setattr(module, limit, size)
        running = Running({"accuracy": MulticlassAccuracy(3, average="macro")})
        for batch in batches:
            running.add(Result(*batch))
        assert len(running._losses) < (3 if size else 51)
        results.append(running.compute())
    assert results[0] == pytest.approx(results[1])


def test_nothing_is_kept_of_the_graph():
    running = Running({"error": MeanSquaredError()})
    outputs = torch.ones(2, 1, requires_grad=True) * 2
    running.add(Result(outputs.mean(), outputs, torch.ones(2, 1)))
    assert not running._losses[0].requires_grad
    assert not running._outputs[0].requires_grad
    assert running.compute() == {"loss": 2.0, "error": 1.0}


def test_a_metric_that_is_no_number_is_named():
    running = Running({"confusion": MulticlassConfusionMatrix(3)})
    running.add(Result(torch.tensor(1.0), SCORES, torch.tensor([0, 1, 2])))
    with pytest.raises(ConfigError, match=r"metrics\.confusion must compute one number, .* shape \(3, 3\)"):
        running.compute()


def test_what_a_step_records_besides_is_averaged_by_samples():
    running = Running({})
    running.add(Result(torch.tensor(1.0), SCORES, SCORES, {"penalty": torch.tensor(2.0)}))
    running.add(Result(torch.tensor(1.0), SCORES[:1], SCORES[:1], {"penalty": torch.tensor(6.0)}))
    assert running.compute() == {"loss": 1.0, "penalty": 3.0}


def test_batches_without_outputs_weigh_the_same():
    running = Running({})
    for loss in (1.0, 2.0):
        running.add(Result(torch.tensor(loss)))
    assert running.compute() == {"loss": 1.5}


def test_metrics_need_what_they_compare():
    running = Running({"error": MeanSquaredError()})
    with pytest.raises(ConfigError, match=r"metrics: error compare tensors, but the step gives outputs \(dict\)"):
        running.add(Result(torch.tensor(1.0), {}, SCORES))


def test_a_metric_that_cannot_take_its_arguments_is_named_with_their_shapes():
    running = Running({"accuracy": MulticlassAccuracy(3, average="micro")})
    running.add(Result(torch.tensor(1.0), torch.rand(2, 5), torch.tensor([0, 1])))
    message = r"metrics\.accuracy cannot be computed of outputs float32 \(2, 5\) and targets int64 \(2,\)"
    with pytest.raises(ConfigError, match=message):
        running.compute()


def test_half_precision_is_widened_before_it_is_compared():
    running = Running({"error": MeanSquaredError()})
    running.add(Result(torch.tensor(1.0), torch.ones(2, 1, dtype=torch.bfloat16), torch.ones(2, 1)))
    assert running.compute()["error"] == 0.0


# --- what is kept of it in a checkpoint ---


class SquareRoot(Metric):
    """Of another metric, which it holds."""

    full_state_update = False

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def update(self, outputs, targets):
        self.inner.update(outputs, targets)

    def compute(self):
        return self.inner.compute().sqrt()

    def reset(self):
        super().reset()
        self.inner.reset()


def some_metrics():
    """One of sums, and one whose states are lists."""
    return {"error": MeanSquaredError(), "similarity": CosineSimilarity(reduction="mean")}


def through_a_file(running):
    buffer = io.BytesIO()
    torch.save(running.state_dict(), buffer)
    buffer.seek(0)
    return torch.load(buffer)


def results(num):
    torch.manual_seed(0)
    return [
        Result(torch.rand(()), torch.rand(3, 2), torch.rand(3, 2), {"penalty": torch.rand(())}) for _ in range(num)
    ]


@pytest.mark.parametrize("max_batches", [2, 3, 100])
@pytest.mark.parametrize("num_before", range(8))
def test_what_was_added_can_be_kept_and_put_back_to_the_bit(monkeypatch, max_batches, num_before):
    monkeypatch.setattr(module, "_MAX_BUFFERED_BATCHES", max_batches)
    whole, before, after = (Running(some_metrics()) for _ in range(3))
    given = results(7)
    for result in given:
        whole.add(result)
    for result in given[:num_before]:
        before.add(result)

    after.load_state_dict(through_a_file(before), torch.device("cpu"))

    for result in given[num_before:]:
        after.add(result)
    assert after.compute() == whole.compute()
    for running in (after, whole):
        running.add(given[0])
    assert after.compute() == whole.compute()


def test_keeping_it_changes_nothing():
    one, other = Running(some_metrics()), Running(some_metrics())
    for result in results(4):
        one.add(result)
        other.add(result)
        other.state_dict()
    assert other.compute() == one.compute()


def test_the_states_of_a_metric_within_another_one_are_kept(monkeypatch):
    monkeypatch.setattr(module, "_MAX_BUFFERED_BATCHES", 2)
    inner = MeanSquaredError()
    running = Running({"error": SquareRoot(inner)})
    for result in results(3):
        running.add(result)
    assert inner.update_count == 1
    other = Running({"error": SquareRoot(MeanSquaredError())})
    other.load_state_dict(through_a_file(running), torch.device("cpu"))
    assert other.compute() == running.compute()


def test_nothing_is_kept_of_metrics_that_have_taken_in_nothing():
    running = Running(some_metrics())
    running.add(results(1)[0])
    assert running.state_dict()["metrics"] == {"error": [None], "similarity": [None]}


def test_targets_are_kept_without_the_data_that_they_are_a_part_of():
    data = torch.zeros(100_000, 1)
    running = Running({"error": MeanSquaredError()})
    running.add(Result(torch.tensor(1.0), torch.ones(2, 1), data[:2]))
    assert running.state_dict()["targets"].untyped_storage().nbytes() == 8
