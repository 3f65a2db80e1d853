"""What can be switched on in the loop, each against what it should come to."""

from __future__ import annotations

import math

import pytest
import torch

from hpo.errors import ConfigError, DataError
from hpo.training.preflight import check
from tests.training.toy_problem import Linear, Pictures
from tests.training.toy_runs import LINE, PICTURES, TOY, data, trained, weights

# --- batches ---


def test_a_batch_may_be_a_mapping_with_a_target_of_any_name(make_trial):
    step = {"_target_": "hpo.training.step.TrainingStep", "target_key": "answer"}
    _, mapped = trained(make_trial, **LINE | data("mapped", num_train=8) | {"step_config": step})
    _, tuples = trained(make_trial, **LINE | data("loaded", num_train=8))
    assert torch.equal(weights(mapped), weights(tuples))


def test_a_mapping_without_the_target_names_what_it_has(make_trial):
    with pytest.raises(ConfigError, match="target_key=target is not in a batch, which has: inputs, answer"):
        trained(make_trial, **LINE | data("mapped"))


def test_a_batch_that_is_one_tensor_is_its_own_target(make_trial):
    trial, _ = trained(make_trial, "train_config.epochs=20", **LINE | data("alone", num_train=8))
    assert trial.records[-1]["val_loss"] < 0.1 * trial.records[0]["val_loss"]


def test_a_dataset_without_samples_is_named(make_trial):
    with pytest.raises(DataError, match=r"data_config: the dataset \(TensorDataset\) has no samples"):
        trained(make_trial, **LINE | data("tuples", num_train=0))


# --- steps ---


def test_a_step_can_add_a_regularizer_and_record_it(make_trial):
    step = {"_target_": f"{TOY}.Penalized", "strength": 0.1}
    trial, state = trained(make_trial, "train_config.epochs=30", **LINE | {"step_config": step})
    _, bare = trained(make_trial, "train_config.epochs=30", **LINE)
    assert weights(state).abs().sum() < weights(bare).abs().sum()
    assert {"train_penalty", "val_penalty"} <= set(trial.records[-1])


def test_a_step_can_have_two_optimizers_with_a_schedule_each(make_trial):
    schedule = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.5}
    groups = LINE | {"step_config": {"_target_": f"{TOY}.Alternating"}, "scheduler_config": schedule}
    trial, state = trained(make_trial, "train_config.epochs=2", **groups)
    rates = [optimizer["param_groups"][0]["lr"] for optimizer in state["optimizer"]]
    assert rates == pytest.approx([0.025, 0.0025])
    assert [scheduler["last_epoch"] for scheduler in state["scheduler"]] == [2, 2]
    assert trial.records[-1]["learning_rate"] == 0.05


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"step_config": {"_target_": "torch.nn.Identity"}}, "step_config must give a hpo.training.step.Train"),
        (
            {"model_config": {"_target_": "torch.nn.MSELoss", "size": 1}},
            r"model_config \(torch.nn.MSELoss: size=1\)",
        ),
        ({"optimizer_config": {"_target_": "torch.nn.Identity"}}, "optimizer_config must give a torch.optim"),
        (
            {"optimizer_config": {"_target_": "torch.optim.SGD", "lr": "fast"}},
            r"optimizer_config \(torch.optim.SGD: lr=.fast.\)",
        ),
    ],
)
def test_a_node_that_cannot_be_built_is_named_with_its_target(make_trial, groups, message):
    with pytest.raises(ConfigError, match=message):
        trained(make_trial, **LINE | groups)


def test_a_step_that_has_a_loss_of_its_own_needs_none(make_trial):
    groups = LINE | {"loss_config": {}, "step_config": {"_target_": f"{TOY}.Squared"}}
    trial, _ = trained(make_trial, **groups)
    assert math.isfinite(trial.records[-1]["val_loss"])
    with pytest.raises(ConfigError, match="loss_config has no _target_, and the step uses it"):
        trained(make_trial, **LINE | {"loss_config": {}})


def test_an_output_that_does_not_fit_the_loss_is_told_with_its_shape(make_trial):
    groups = {"model_config": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 3}}
    loss = {"loss_config": {"_target_": "torch.nn.NLLLoss"}}
    message = r"NLLLoss cannot compare the model's output \(float32 \(4, 3\)\) with the target \(float32"
    with pytest.raises(ConfigError, match=message):
        trained(make_trial, **LINE | groups | loss)


# --- the update ---


def test_batches_that_are_accumulated_make_the_step_of_a_larger_one(make_trial):
    whole, halves = (
        trained(make_trial, f"train_config.batch_size={size}", f"train_config.accumulate_batches={count}", **LINE)
        for size, count in ((8, 1), (4, 2))
    )
    assert torch.allclose(weights(whole[1]), weights(halves[1]))
    assert whole[0].records[-1]["total_steps"] == halves[0].records[-1]["total_steps"] == 1
    assert whole[0].records[-1]["train_loss"] == pytest.approx(halves[0].records[-1]["train_loss"])


def test_what_is_left_of_an_epoch_makes_a_step_as_well(make_trial):
    trial, _ = trained(make_trial, "train_config.batch_size=3", "train_config.accumulate_batches=2", **LINE)
    assert trial.records[-1]["current_iteration"] == 2


def test_gradients_are_clipped_to_their_norm(make_trial):
    torch.manual_seed(42)
    before = torch.cat([parameter.detach().flatten() for parameter in Linear().parameters()])
    options = ("train_config.batch_size=8", "train_config.clip_grad_norm=0.01")
    _, state = trained(make_trial, *options, **LINE)
    assert (weights(state) - before).norm().item() == pytest.approx(0.1 * 0.01, rel=1e-3)


def test_a_bound_of_nothing_is_refused(make_trial):
    with pytest.raises(ConfigError, match=r"train_config\.clip_grad_norm=0.0 must be above 0, or null"):
        trained(make_trial, "train_config.clip_grad_norm=0", **LINE)


def test_norms_and_biases_are_left_out_of_weight_decay(make_trial):
    optimizer = {"_target_": "torch.optim.SGD", "lr": 0.0, "weight_decay": 0.1}
    groups = PICTURES | {"optimizer_config": optimizer, "parameter_config": "no_decay"}
    _, state = trained(make_trial, **groups)
    decayed, others = state["optimizer"]["param_groups"]
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert (len(decayed["params"]), len(others["params"])) == (2, 4)


# --- precision and layout ---


def test_bf16_runs_on_a_cpu_and_comes_close(make_trial):
    half, _ = trained(make_trial, "amp=bf16", "train_config.epochs=5", **LINE)
    full, _ = trained(make_trial, "train_config.epochs=5", **LINE)
    assert half.records[-1]["val_loss"] != full.records[-1]["val_loss"]
    assert half.records[-1]["val_loss"] == pytest.approx(full.records[-1]["val_loss"], rel=0.1)


def test_fp16_is_for_cuda(make_trial):
    with pytest.raises(ConfigError, match="amp=fp16 needs a CUDA device; on a CPU there is amp=bf16"):
        trained(make_trial, "amp=fp16", **LINE)


def test_channels_last_changes_no_result_but_the_layout(make_trial):
    _, plain = trained(make_trial, **PICTURES)
    _, last = trained(make_trial, "train_config.channels_last=true", **PICTURES)
    assert last["model"]["convolution.weight"].is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(weights(plain), weights(last), atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_compiled_model_trains_to_the_same_and_keeps_its_names(make_trial):
    _, plain = trained(make_trial, **PICTURES)
    _, compiled = trained(make_trial, "train_config.compile=true", **PICTURES)
    assert list(compiled["model"]) == list(plain["model"])
    assert torch.allclose(weights(plain), weights(compiled), atol=1e-5)


def test_deterministic_algorithms_are_asked_for_and_no_more_after_the_training(make_trial, monkeypatch):
    asked = []
    forward = Linear.forward

    def note(model, inputs):
        asked.append(torch.are_deterministic_algorithms_enabled())
        return forward(model, inputs)

    monkeypatch.setattr(Linear, "forward", note)
    for wanted in ("true", "false"):
        trained(make_trial, f"deterministic={wanted}", **LINE)
        assert {*asked} == {wanted == "true"}
        asked.clear()
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(make_trial, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    for asked in ("resources_per_trial.gpus=0.5", "resources_per_trial.gpu_memory_mb=100"):
        said = r"asks for a GPU, and torch .* finds none here \(CUDA_VISIBLE_DEVICES=7\); device=cpu"
        with pytest.raises(ConfigError, match=said):
            trained(make_trial, asked, "device=auto", **LINE)
        trained(make_trial, asked, "device=cpu", **LINE)
        # where the scheduler checks what is built there may be none
        check(make_trial(asked, "device=auto", **LINE).config)


# --- evaluation ---


def test_a_part_of_the_validation_batches_is_drawn_once_by_the_seed(make_trial):
    options = ("eval_subsample=0.5", "train_config.eval_batch_size=1", "train_config.epochs=2")
    frozen = {"optimizer_config": {"_target_": "torch.optim.SGD", "lr": 0.0}}
    trial, _ = trained(make_trial, *options, **LINE | frozen)
    again, _ = trained(make_trial, *options, **LINE | frozen)
    other, _ = trained(make_trial, *options, "random_seed=1", **LINE | frozen)
    whole, _ = trained(make_trial, *options, "eval_subsample=1.0", **LINE | frozen)
    losses = [record["val_loss"] for record in trial.records]
    assert losses[0] == losses[1] == again.records[0]["val_loss"]
    assert len({losses[0], other.records[0]["val_loss"], whole.records[0]["val_loss"]}) == 3


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_a_part_that_is_none_is_refused(make_trial, fraction):
    with pytest.raises(ConfigError, match=f"eval_subsample={fraction} must be above 0 and at most 1"):
        trained(make_trial, f"eval_subsample={fraction}", **LINE)


def test_histograms_are_of_weights_and_gradients(make_trial):
    trial, _ = trained(make_trial, "histogram_epoch=1", "train_config.epochs=2", **LINE)
    assert [step for step, _ in trial.histograms] == [2, 4]
    assert list(trial.histograms[0][1]) == [
        f"{kind}/layer.{name}" for name in ("weight", "bias") for kind in ("weights", "gradients")
    ]


def test_the_worst_validation_images_are_shown_worst_first(make_trial):
    groups = {
        "model_config": {"_target_": f"{TOY}.Brightness"},
        "loss_config": {"_target_": f"{TOY}.mean_output", "_partial_": True},
    }
    trial, _ = trained(make_trial, "num_worst_images=2", **PICTURES | groups)
    ((step, images),) = trial.images
    assert (step, images.shape, str(images.dtype)) == (2, (2, 4, 4, 3), "uint8")
    brightest = Pictures().load(None).val.tensors[0][3]
    expected = (brightest - brightest.min()) / (brightest.max() - brightest.min()) * 255
    assert torch.equal(torch.from_numpy(images[0]), expected.round().to(torch.uint8).permute(1, 2, 0))


def test_nothing_is_shown_unless_it_is_asked_for(make_trial):
    trial, _ = trained(make_trial, **PICTURES)
    assert not trial.images
    assert not trial.histograms
    assert math.isfinite(trial.records[-1]["val_loss"])
