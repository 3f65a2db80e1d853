"""From which checkpoint a training goes on, and from which it does not."""

from __future__ import annotations

import logging

import pytest
import torch

from hpo.errors import TrialError
from hpo.training.loop import train
from tests.training.interrupted_runs import (
    LINE,
    PICTURES,
    SMALL,
    TOY,
    InterruptedTrial,
    assert_same_end,
    dies,
    leaves,
    run,
    scheduler,
    scramble,
)

# --- which checkpoint ---


def test_the_log_says_where_training_continues(make_config, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="hpo.train")
    run(make_config(SMALL, **LINE), tmp_path, leaves(7))
    assert "continues at iteration 7 of 15 (epoch 2) from checkpoint_7.pt" in caplog.messages


def test_where_only_the_best_is_kept_training_continues_from_that(make_config, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="hpo.train")
    config = make_config((*SMALL, "keep_n_checkpoints=0"), **LINE)
    whole = run(config, tmp_path / "whole")

    continued = run(config, tmp_path / "continued", dies(8))

    assert "continues at iteration 5 of 15 (epoch 1) from best_checkpoint_5.pt" in caplog.messages
    assert_same_end(whole, continued)


def test_a_checkpoint_that_was_cut_off_is_passed_over_for_the_one_before(make_config, tmp_path, caplog):
    config = make_config((*SMALL, "keep_n_checkpoints=2"), **PICTURES)
    whole = run(config, tmp_path / "whole")
    trial = InterruptedTrial(config.copy(), tmp_path / "continued")
    trial.config.checkpoint_every.iterations = 3
    trial.leaves_after = 9
    train(trial)
    path = trial.dir.checkpoint(9)
    path.write_bytes(path.read_bytes()[:-1000])
    trial.leaves_after = None
    caplog.set_level(logging.INFO, logger="hpo.train")
    scramble()

    train(trial)

    assert "checkpoint_9.pt cannot be read and is passed over" in caplog.text
    assert "continues at iteration 8 of 15 (epoch 2) from checkpoint_8.pt" in caplog.messages
    assert_same_end(whole, trial)


def test_weights_to_begin_with_are_not_taken_again(make_config, tmp_path):
    weights = tmp_path / "weights.pt"
    torch.save({"layer.weight": torch.zeros(1, 1), "layer.bias": torch.zeros(1)}, weights)
    config = make_config((*SMALL, f"init_chkpt={weights}"), **LINE)
    whole = run(config, tmp_path / "whole")
    trial = InterruptedTrial(config, tmp_path / "continued")
    trial.leaves_after = 7
    train(trial)
    weights.unlink()
    trial.leaves_after = None

    train(trial)

    assert_same_end(whole, trial)


# --- checkpoints that do not fit ---


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            "train_config.epochs=4",
            "checkpoint_7.pt was trained with train_config.epochs=3: it cannot be continued",
        ),
        ("train_config.batch_size=8", "with train_config.batch_size=4: .* with train_config.batch_size=8"),
        ("random_seed=1", "with random_seed=42: it cannot be continued with random_seed=1"),
        ("data_config.num_train=30", "with 5 steps in each epoch, and the data gives 8 now"),
        ("amp=bf16", "with amp=none"),
        ("optimizer_config._target_=torch.optim.AdamW", "with optimizer_config._target_=torch.optim.Adam: "),
        (scheduler("StepLR", step_size=2), "with scheduler_config._target_=None"),
        ({"model_config": {"_target_": f"{TOY}.DroppingConvolution"}}, "with model_config._target_="),
        ({"model_config": {"_target_": f"{TOY}.Widening", "width": 2}}, "does not fit .* size mismatch for layer"),
        ("metrics.mae={_target_: torchmetrics.MeanAbsoluteError}", "does not fit .* KeyError: 'mae'"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_by_name(make_config, tmp_path, change, complaint):
    options, groups = ((change,), {}) if isinstance(change, str) else ((), change)
    model = (
        LINE["model_config"] if "does not fit" not in complaint else {"_target_": f"{TOY}.Widening", "width": 3}
    )
    line = LINE | {"model_config": model}
    trial = InterruptedTrial(make_config(SMALL, **line), tmp_path)
    trial.leaves_after = 7
    train(trial)

    with pytest.raises(TrialError, match=complaint):
        train(InterruptedTrial(make_config((*SMALL, *options), **line | groups), tmp_path))


def test_a_checkpoint_of_several_processes_is_refused_by_one(make_config, tmp_path):
    trial = InterruptedTrial(make_config(SMALL, **LINE), tmp_path)
    trial.leaves_after = 7
    train(trial)
    state = torch.load(trial.dir.checkpoint(7))
    torch.save(state | {"ranks": [{}]}, trial.dir.checkpoint(7))

    said = "checkpoint_7.pt was trained with processes_per_trial=2: .* with processes_per_trial=1"
    with pytest.raises(TrialError, match=said):
        train(InterruptedTrial(make_config(SMALL, **LINE), tmp_path))


def test_a_checkpoint_that_something_else_wrote_is_refused(make_config, tmp_path):
    trial = InterruptedTrial(make_config(SMALL, **LINE), tmp_path)
    trial.dir.checkpoint(3).parent.mkdir(exist_ok=True)
    torch.save({"current_iteration": 3, "model": {}}, trial.dir.checkpoint(3))
    with pytest.raises(TrialError, match=r"checkpoint_3\.pt does not fit .* KeyError: 'run_config'"):
        train(trial)
