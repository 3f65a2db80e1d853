"""A training that was interrupted comes to the same end, to the bit, as one that was not."""

from __future__ import annotations

import logging

import pytest
from hydra.utils import execution_whitelist

from hpo.paths import TrialPaths
from hpo.records import State, Stop
from hpo.targets import BUILT_IN
from hpo.training import running as running_module
from hpo.training.loop import train
from hpo.trial.attempt import run_attempt
from hpo.trial.checkpoints import Checkpoints
from hpo.trial.link import NullLink
from hpo.trial.metadata import Metadata
from tests.conftest import REPOSITORY
from tests.training.interrupted_runs import (
    ADAM,
    LINE,
    MOMENTUM,
    PICTURES,
    SMALL,
    TOY,
    InterruptedTrial,
    assert_equal,
    assert_same_end,
    dies,
    leaves,
    newest,
    run,
    scheduler,
    scramble,
)

# in the middle of an epoch and of what is averaged, at an evaluation, twice in a row, before the first checkpoint
INTERRUPTIONS = (dies(2), leaves(3), dies(7), leaves(7), leaves(10), dies(15))

CASES = {
    "tensors-in-order": (("train_config.shuffle=false",), LINE),
    "adam": ((), LINE),
    "momentum": ((), LINE | {"optimizer_config": MOMENTUM}),
    "several-generators": ((), PICTURES),
    "two-workers": (("train_config.num_workers=2",), PICTURES),
    "step-scheduler": ((), LINE | scheduler("StepLR", step_size=2, gamma=0.5)),
    "multi-step-scheduler": ((), LINE | scheduler("MultiStepLR", milestones=[1, 2], gamma=0.5)),
    "cosine-by-epoch": ((), LINE | scheduler("CosineAnnealingLR", T_max="auto")),
    "one-cycle-by-step": (
        (),
        LINE
        | {"optimizer_config": MOMENTUM}
        | scheduler("OneCycleLR", max_lr=0.1, total_steps="auto", interval="step"),
    ),
    "warm-up-by-step": (
        (),
        LINE
        | {
            "scheduler_config": {
                "_target_": "hpo.training.schedulers.warm_up_cosine",
                "total_steps": "auto",
                "interval": "step",
                "warm_up_fraction": 0.4,
            }
        },
    ),
    "exponential-by-evaluation": (
        ("eval_epoch=0.4",),
        LINE | scheduler("ExponentialLR", gamma=0.7, interval="evaluation"),
    ),
    "plateau": (
        ("eval_epoch=0.4",),
        LINE
        | scheduler(
            "ReduceLROnPlateau", interval="evaluation", metric="val_loss", patience=0, threshold=0.5, factor=0.5
        ),
    ),
    "moving-average": (("train_config.ema_decay=0.8",), PICTURES),
    "accumulated-batches": (
        ("train_config.accumulate_batches=2", "train_config.batch_size=2"),
        PICTURES,
    ),
    "accumulated-tensors": (("train_config.accumulate_batches=2", "train_config.batch_size=2"), LINE),
    "last-batch-left-out": (("train_config.drop_last=true", "train_config.batch_size=3"), LINE),
    "bf16": (("amp=bf16",), LINE),
    "bf16-of-pictures": (("amp=bf16", "train_config.channels_last=true"), PICTURES),
    "clipped": (("train_config.clip_grad_norm=0.1",), LINE | {"parameter_config": "no_decay"}),
    "two-optimizers": ((), LINE | {"step_config": {"_target_": f"{TOY}.Alternating"}}),
    "scalars-of-a-step": ((), LINE | {"step_config": {"_target_": f"{TOY}.Penalized", "strength": 0.1}}),
    "step-with-a-memory": ((), LINE | {"step_config": {"_target_": f"{TOY}.Rising"}}),
    "loss-with-a-memory": ((), LINE | {"loss_config": {"_target_": f"{TOY}.Adapting"}}),
    "without-validation-data": (
        ("optim_metrics.train_loss=min",),
        LINE | {"data_config": {"_target_": f"{TOY}.Line", "num_train": 18, "has_val": False}},
    ),
    "part-of-the-validation-data": (("eval_subsample=0.5", "train_config.eval_batch_size=2"), PICTURES),
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_interrupted_again_and_again_ends_as_one_that_was_not(make_config, tmp_path, case):
    options, groups = CASES[case]
    config = make_config((*SMALL, *options), **groups)
    whole = run(config, tmp_path / "whole")
    assert len(whole.records) > 6

    continued = run(config, tmp_path / "continued", *INTERRUPTIONS, checkpoint_every__iterations=3)

    assert_same_end(whole, continued)


@pytest.mark.parametrize("interruption", [dies, leaves])
def test_no_iteration_is_a_bad_one_to_be_interrupted_at(make_config, tmp_path, interruption):
    options = ("train_config.ema_decay=0.8", "eval_epoch=0.8")
    config = make_config((*SMALL, *options), **PICTURES | scheduler("CosineAnnealingLR", T_max="auto"))
    whole = run(config, tmp_path / "whole")

    for iteration in range(1, 15):
        continued = run(config, tmp_path / f"{iteration}", interruption(iteration), checkpoint_every__iterations=2)

        assert_same_end(whole, continued)


def test_the_shipped_mlp_with_dropout_on_digits_ends_the_same(make_config, tmp_path):
    options = ("model_config.dropout=0.5", "train_config.batch_size=256", "log_epoch=0.5", "device=cpu")
    config = make_config(options, optimizer_config="adam", scheduler_config="warm_up_cosine")
    whole = run(config, tmp_path / "whole")

    continued = run(config, tmp_path / "continued", dies(4), leaves(8), checkpoint_every__iterations=2)

    assert_same_end(whole, continued)


def test_two_networks_against_each_other_end_the_same(make_config, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "tests" / "projects" / "signals")
    groups = {
        "data_config": {"_target_": "signals.gan.Cloud", "num_points": 18, "seed": 3},
        "model_config": {"_target_": "signals.gan.Gan", "width": 4},
        "step_config": {"_target_": "signals.gan.Adversarial"},
        "loss_config": {},
        "optimizer_config": ADAM,
        "metrics": {},
    }
    config = make_config((*SMALL, "optim_metrics.val_distance=min"), **groups)
    with execution_whitelist((*BUILT_IN, "signals.*")):
        whole = run(config, tmp_path / "whole")
        continued = run(config, tmp_path / "continued", *INTERRUPTIONS, checkpoint_every__iterations=3)

    assert_same_end(whole, continued)


@pytest.mark.parametrize("groups", [LINE, PICTURES], ids=["float-states", "counts"])
def test_what_metrics_have_taken_in_of_a_full_buffer_is_kept(make_config, tmp_path, monkeypatch, groups):
    monkeypatch.setattr(running_module, "_MAX_BUFFERED_BATCHES", 2)
    config = make_config((*SMALL, "log_epoch=1"), **groups)
    whole = run(config, tmp_path / "whole")

    continued = run(config, tmp_path / "continued", leaves(4), dies(8), leaves(8), checkpoint_every__iterations=3)

    assert_same_end(whole, continued)


def test_a_training_without_interruption_is_not_changed_by_its_checkpoints(make_config, tmp_path):
    config = make_config(SMALL, **PICTURES)
    whole = run(config, tmp_path / "whole")

    often = run(config, tmp_path / "often", checkpoint_every__iterations=1)

    assert [step for step, _ in often.steps_saved] == list(range(1, 16))
    assert_same_end(whole, often)


# --- what ends a training ---


def ends(config, root, *interruptions):
    """What `train` returns in the end."""
    trial = run(config, root, *interruptions) if interruptions else InterruptedTrial(config, root)
    return trial, train(trial)


def test_a_trial_that_died_after_its_last_checkpoint_only_says_how_it_ended(make_config, tmp_path):
    config = make_config(SMALL, **LINE)
    first, result = ends(config, tmp_path)
    records, state = list(first.records), newest(first)

    again = train(first)

    assert again == result
    assert [step for step, _ in first.steps_saved] == [5, 10, 15]
    assert_equal(first.records, records)
    assert_equal(newest(first), state)


@pytest.mark.parametrize(
    ("option", "losses", "reason"),
    [
        ("early_stopping_iter=6", [3.0, 4.0, 4.0], "stopped early: val_loss has not got better since iteration 5"),
        ("divergence_factor=2", [1.0, 4.0], "diverged: val_loss is 4 and was 1 at iteration 5"),
        ("divergence_factor=2", [1.0, float("nan")], "diverged: val_loss is nan"),
    ],
)
def test_a_trial_that_died_when_it_was_to_end_ends_then(make_config, tmp_path, option, losses, reason):
    counting = {"loss_config": {"_target_": f"{TOY}.Counting", "val_losses": losses}, "metrics": {}}
    trial, first = ends(make_config((*SMALL, option), **LINE | counting), tmp_path)

    again = train(trial)

    assert again.reason.startswith(reason)
    assert_equal(again.metrics, first.metrics)
    assert (again.reason, again.state) == (first.reason, first.state)
    assert trial.iteration == 5 * len(losses)


def test_early_stopping_counts_on(make_config, tmp_path):
    losses = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    counting = {"loss_config": {"_target_": f"{TOY}.Counting", "val_losses": losses}, "metrics": {}}
    config = make_config((*SMALL, "early_stopping_iter=6"), **LINE | counting)

    trial = run(config, tmp_path, leaves(8))

    assert trial.iteration == 15
    assert newest(trial)["best_iteration"] == 5


def test_a_trial_that_leaves_keeps_one_checkpoint_and_gives_the_metrics_so_far(make_config, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="hpo.train")
    trial = InterruptedTrial(make_config((*SMALL, "num_worst_images=2"), **PICTURES), tmp_path)
    trial.leaves_after = 7
    assert train(trial)["val_loss"] == trial.records[2]["val_loss"]
    assert trial.steps_saved == [(5, True), (7, False)]
    assert newest(trial)["metrics"] == pytest.approx(trial.records[-1], nan_ok=True)
    assert "leaves at iteration 7 of 15, to be continued" in caplog.messages
    trial.leaves_after = 10
    train(trial)
    assert [step for step, _ in trial.steps_saved] == [5, 7, 10]
    assert trial.images == []


def test_a_trial_that_must_leave_before_its_first_evaluation_has_no_metrics_but_a_checkpoint(
    make_config, tmp_path
):
    trial = InterruptedTrial(make_config((*SMALL, "log_epoch=1"), **LINE), tmp_path)
    trial.leaves_after = 1
    assert set(train(trial)) == {"best_iteration", "best_loss"}
    assert newest(trial)["metrics"] == {}


class LeavingLink(NullLink):
    """A scheduler that has told the trial to leave by the time it looks for the so-manieth time."""

    def __init__(self, num_looks: float) -> None:
        self.num_looks = num_looks

    def stop_requested(self):
        self.num_looks -= 1
        return Stop.LEAVE if self.num_looks < 0 else None


@pytest.mark.parametrize("num_looks", [1, 6, 10, 19])
def test_a_trial_of_a_scheduler_that_ends_waits_and_is_continued_to_the_same_end(make_config, tmp_path, num_looks):
    config = make_config(SMALL, **LINE, task={"_target_": "hpo.training.loop.train"})
    ended = []
    for name, links in (("whole", [NullLink()]), ("continued", [LeavingLink(num_looks), NullLink()])):
        paths = TrialPaths(tmp_path / name)
        for folder in paths.folders:
            folder.mkdir(parents=True, exist_ok=True)
        Metadata(paths.metadata, {}).update(number=0, trial_id=name, params={}, log_iteration=0)
        for link in links:
            scramble()
            ended.append(run_attempt(config, paths, link))

    whole, left, continued = ended
    assert (left.state, left.reason) == (State.WAITING, "interrupted, to be continued")
    assert (continued.state, continued.metrics) == (State.COMPLETE, whole.metrics)
    states = [Checkpoints(TrialPaths(tmp_path / name), 1).restore() for name in ("whole", "continued")]
    assert_equal(*states)
