from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hpo.config import Direction
from hpo.errors import ObjectiveError
from hpo.records import State
from hpo.training.loop import train
from hpo.training.seeding import epoch_generator
from tests.training.toy_problem import Linear, samples

NAN, INF = math.nan, math.inf

LINE = {
    "data_config": {"_target_": "tests.training.toy_problem.Line"},
    "model_config": {"_target_": "tests.training.toy_problem.Linear"},
    "loss_config": {"_target_": "torch.nn.MSELoss"},
    "optimizer_config": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1, "momentum": 0.9},
    "metrics": {"error": {"_target_": "torchmetrics.MeanAbsoluteError"}},
}
BATCHES_OF_4 = ("train_config.batch_size=4", "train_config.epochs=3")


def counting(*val_losses, **groups):
    """LINE with losses that are known beforehand."""
    loss = {"_target_": "tests.training.toy_problem.Counting", "val_losses": list(val_losses)}
    return LINE | {"loss_config": loss, "metrics": {}} | groups


def column(trial, key):
    return [record[key] for record in trial.records]


def by_hand(*, seed=42, epochs=3, batch_size=4, drop_last=False, schedule=None):
    """The same problem in a bare loop; the parameters, and the state of dropout's generator."""
    torch.manual_seed(seed)
    model = Linear(dropout=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = schedule(optimizer) if schedule else None
    inputs, targets = samples(10)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(10, generator=epoch_generator(seed, epoch))
        for indices in order.split(batch_size):
            if drop_last and len(indices) < batch_size:
                continue
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs[indices]), targets[indices]).backward()
            optimizer.step()
        if scheduler:
            scheduler.step()
    return dict(model.state_dict())


# --- the parameters ---


@pytest.mark.parametrize("is_loaded", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_parameters_are_those_of_a_bare_loop_to_the_bit(make_trial, is_loaded, drop_last):
    groups = LINE | {
        "data_config": {"_target_": "tests.training.toy_problem.Line", "is_loaded": is_loaded},
        "model_config": {"_target_": "tests.training.toy_problem.Linear", "dropout": 0.5},
    }
    trial = make_trial(*BATCHES_OF_4, f"train_config.drop_last={drop_last}", "eval_epoch=0.3", **groups)
    train(trial)
    found = trial.saved[-1][2]["model"]
    expected = by_hand(drop_last=drop_last)
    if is_loaded:
        # a DataLoader draws its order in its own way
        assert found.keys() == expected.keys()
        assert not torch.equal(found["layer.weight"], Linear().layer.weight)
    else:
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_scheduler_that_counts_epochs_changes_the_parameters_as_by_hand(make_trial):
    step = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.1}
    groups = LINE | {"model_config": {"_target_": "tests.training.toy_problem.Linear", "dropout": 0.5}}
    trial = make_trial(*BATCHES_OF_4, scheduler_config=step, **groups)
    train(trial)
    expected = by_hand(schedule=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1))
    found = trial.saved[-1][2]["model"]
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert column(trial, "learning_rate") == pytest.approx([0.1, 0.01, 0.001])


def test_equal_seeds_give_equal_records_and_other_seeds_others(make_trial):
    def records(*overrides):
        trial = make_trial("model_config.dropout=0.5", *overrides)
        train(trial)
        return trial.records

    first = records()
    assert records() == first
    assert records("random_seed=43") != first


def test_how_often_is_evaluated_and_logged_has_no_influence_on_the_parameters(make_trial):
    parameters = []
    for overrides in ((), ("eval_epoch=0.1", "log_epoch=0.05"), ("eval_epoch=5", "log_epoch=5")):
        trial = make_trial("model_config.dropout=0.5", "train_config.eval_batch_size=100", *overrides)
        train(trial)
        parameters.append(trial.saved[-1][2]["model"])
    assert all(torch.equal(parameters[0][name], other[name]) for other in parameters for name in other)


# --- the records ---


def test_a_records_keys_have_the_documented_order(make_trial):
    trial = make_trial()
    train(trial)
    assert list(trial.records[0]) == [
        "train_loss",
        "val_loss",
        "train_accuracy",
        "val_accuracy",
        "best_iteration",
        "best_loss",
        "current_epoch",
        "current_iteration",
        "epochs",
        "learning_rate",
        "total_steps",
    ]
    assert all(type(value) in (int, float) for value in trial.records[0].values())


def test_progress_counts_epochs_from_one_and_optimizer_steps(make_trial):
    trial = make_trial(*BATCHES_OF_4, **LINE)
    train(trial)
    assert column(trial, "current_epoch") == [1, 2, 3]
    assert column(trial, "current_iteration") == [3, 6, 9]
    assert [step for step, _ in trial.reports] == [3, 6, 9]
    assert {(record["epochs"], record["total_steps"]) for record in trial.records} == {(3, 9)}


def test_the_training_loss_is_averaged_by_samples_since_the_last_record(make_trial):
    trial = make_trial(*BATCHES_OF_4, **counting(1.0, 1.0, 1.0))
    train(trial)
    # batches of 4, 4 and 2 samples whose losses are 1, 2, 3, then 4, 5, 6, then 7, 8, 9
    assert column(trial, "train_loss") == pytest.approx([1.8, 4.8, 7.8])


def test_the_validation_loss_is_averaged_by_samples(make_trial):
    trial = make_trial(
        *BATCHES_OF_4, "train_config.epochs=1", "train_config.eval_batch_size=5", **counting(1.0, 8.0)
    )
    train(trial)
    # 7 samples: 5 of loss 1, 2 of loss 8
    assert column(trial, "val_loss") == pytest.approx([3.0])


def test_losses_and_metrics_are_those_of_the_model_that_was_saved(make_trial):
    trial = make_trial(*BATCHES_OF_4, "train_config.eval_batch_size=2", **LINE)
    train(trial)
    model = Linear()
    model.load_state_dict(trial.saved[-1][2]["model"])
    inputs, targets = samples(7, seed=1)
    outputs = model(inputs)
    assert trial.records[-1]["val_loss"] == pytest.approx(nn.functional.mse_loss(outputs, targets).item())
    assert trial.records[-1]["val_error"] == pytest.approx((outputs - targets).abs().mean().item())


def test_validation_is_nan_and_the_best_unknown_where_nothing_was_evaluated(make_trial):
    trial = make_trial(*BATCHES_OF_4, "eval_epoch=2", **counting(5.0, 7.0))
    train(trial)
    assert trial.calls == ["log", "report", "save", "report", "save"]
    assert math.isnan(trial.records[0]["val_loss"])
    assert column(trial, "val_loss")[1:] == [5.0, 7.0]
    assert column(trial, "best_iteration") == [0, 6, 6]
    assert column(trial, "best_loss") == [INF, 5.0, 5.0]


def test_fractions_of_an_epoch_are_logged_and_evaluated(make_trial):
    trial = make_trial(
        "train_config.batch_size=1", "log_epoch=0.2", "eval_epoch=0.5", "train_config.epochs=1", **LINE
    )
    train(trial)
    assert column(trial, "current_iteration") == [2, 4, 5, 6, 8, 10]
    assert [step for step, _ in trial.reports] == [5, 10]
    assert set(column(trial, "current_epoch")) == {1}


def test_an_evaluation_that_is_not_logged_by_itself_is_recorded_all_the_same(make_trial):
    trial = make_trial(*BATCHES_OF_4, "log_epoch=3", **LINE)
    train(trial)
    assert column(trial, "current_iteration") == [3, 6, 9]


def test_the_learning_rate_is_the_one_that_the_last_step_used(make_trial):
    schedule = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.5, "interval": "step"}
    trial = make_trial(
        "log_epoch=0.1", "train_config.epochs=1", "train_config.batch_size=4", scheduler_config=schedule, **LINE
    )
    train(trial)
    assert column(trial, "learning_rate") == [0.1, 0.05, 0.025]


# --- what is best ---


def test_the_lowest_loss_is_best_and_its_metrics_are_returned(make_trial):
    trial = make_trial(*BATCHES_OF_4, **counting(3.0, 1.0, 2.0))
    final = train(trial)
    assert column(trial, "best_iteration") == [3, 6, 6]
    assert column(trial, "best_loss") == [3.0, 1.0, 1.0]
    assert [(step, best) for step, best, _ in trial.saved] == [(3, True), (6, True), (9, False)]
    assert final == pytest.approx({"train_loss": 4.8, "val_loss": 1.0, "best_iteration": 6, "best_loss": 1.0})


def test_another_first_objective_chooses_the_best_iteration_and_has_its_own_best_key(make_trial):
    trial = make_trial("train_config.epochs=3")
    trial.config.optim_metrics = {"val_accuracy": Direction.max, "val_loss": Direction.min}
    final = train(trial)
    accuracies = column(trial, "val_accuracy")
    best = max(range(3), key=lambda index: accuracies[index])
    assert list(trial.records[0])[4:7] == ["best_iteration", "best_loss", "best_accuracy"]
    assert trial.records[-1]["best_accuracy"] == accuracies[best] == final["val_accuracy"]
    assert final["best_iteration"] == trial.records[best]["current_iteration"]
    assert trial.records[-1]["best_loss"] == min(column(trial, "val_loss"))


def test_without_validation_data_the_training_loss_is_the_best_loss(make_trial):
    groups = counting(data_config={"_target_": "tests.training.toy_problem.Line", "has_val": False})
    trial = make_trial(*BATCHES_OF_4, **groups)
    trial.config.optim_metrics = {"train_loss": Direction.min}
    final = train(trial)
    assert all(math.isnan(value) for value in column(trial, "val_loss"))
    assert trial.records[-1]["best_loss"] == trial.records[0]["train_loss"]
    assert final["best_iteration"] == 3
    assert "val_loss" not in final


def test_a_validation_objective_without_validation_data_is_an_error(make_trial):
    groups = LINE | {"data_config": {"_target_": "tests.training.toy_problem.Line", "has_val": False}}
    with pytest.raises(ObjectiveError, match="names val_loss, which no evaluation produces; there are: train_"):
        train(make_trial(*BATCHES_OF_4, **groups))


def test_an_objective_that_is_not_measured_is_an_error_after_its_report(make_trial):
    trial = make_trial()
    trial.config.optim_metrics = {"val_f1": Direction.max}
    with pytest.raises(
        ObjectiveError, match=r"names val_f1, .* train_accuracy, train_loss, val_accuracy, val_loss"
    ):
        train(trial)
    assert len(trial.reports) == 1
    assert trial.reports[0][1]["best_f1"] == -INF


def test_a_loss_that_is_not_a_number_is_recorded_never_best_and_fails_a_trial_that_had_none_before(make_trial):
    trial = make_trial(*BATCHES_OF_4, **counting(NAN, NAN, NAN))
    finish = train(trial)
    assert column(trial, "best_iteration") == [0]
    assert not any(best for _, best, _ in trial.saved)
    assert math.isnan(finish.metrics["val_loss"])
    assert finish.metrics["best_loss"] == INF
    assert (finish.state, finish.reason) == (State.FAIL, "diverged: val_loss is nan")


# --- the trial ---


def test_a_stop_is_obeyed_after_the_report_that_it_follows(make_trial):
    trial = make_trial(*BATCHES_OF_4, **counting(1.0, 2.0, 3.0))
    trial.stop_after = 2
    final = train(trial)
    assert column(trial, "current_epoch") == [1, 2]
    assert final["best_iteration"] == 3
