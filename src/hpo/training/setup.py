"""Puts together what a run configuration describes: data, model, loss, step, optimizers, schedule, metrics."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from hpo.config import Amp
from hpo.data.protocol import Splits
from hpo.devices import num_processes
from hpo.errors import ConfigError
from hpo.nodes import describe_failure, is_node
from hpo.records import DataSource
from hpo.training.batches import Batches, make_batches, subsample
from hpo.training.device import choose_device
from hpo.training.nodes import build, build_metrics, build_partial
from hpo.training.plan import Plan, check_train_config
from hpo.training.ranks import check_batches, draw_otherwise, share, together
from hpo.training.running import Running
from hpo.training.schedule import Schedule
from hpo.training.seeding import seed_everything
from hpo.training.step import LossFunction, TrainingStep
from hpo.training.weights import load_weights, moving_average

logger = logging.getLogger("hpo.train")

_PRECISION = {Amp.none: None, Amp.fp16: torch.float16, Amp.bf16: torch.bfloat16}


@dataclass(frozen=True)
class Setup:
    """Everything that the loop works with, on one device; `average` is what is evaluated, where there is one."""

    device: torch.device
    model: nn.Module
    average: AveragedModel | None
    step: TrainingStep
    schedule: Schedule
    train: Batches
    val: Batches | None
    running: Running
    evaluation: Running
    plan: Plan

    @property
    def evaluated(self) -> nn.Module:
        """The model that evaluations are of."""
        return self.model if self.average is None else self.average.module


def set_up(config: DictConfig, *, is_continued: bool = False) -> Setup:
    """Seed, then build; what is continued has its own weights already, and init_chkpt is not read.

    Raises HpoError for what cannot be trained.
    """
    check_train_config(config.train_config)
    check_batches(config.train_config, num_processes(config))
    device = prepare_torch(config)
    splits = load(config)
    train_config = config.train_config
    train = make_batches(
        splits.train,
        device,
        batch_size=train_config.batch_size,
        shuffle_seed=config.random_seed if train_config.shuffle else None,
        drop_last=train_config.drop_last,
        num_workers=train_config.num_workers,
        share=share(is_even=True),
    )
    val = val_batches(splits, config, device)
    plan = Plan.of(config, train.num_batches)
    model = build_model(config, device)
    if config.init_chkpt is not None and not is_continued:
        load_weights(model, Path(config.init_chkpt).expanduser(), strict=config.init_chkpt_strict)
    model_of_all = together(model, find_unused_parameters=train_config.find_unused_parameters)
    average = moving_average(model, train_config.ema_decay)
    if train_config.compile:
        # in place, so that the parameters keep their names
        model.compile()
    step = build_step(config, model, device)
    step.add_optimizers(_optimizer_maker(config))
    step.model = model_of_all
    setup = Setup(
        device=device,
        model=model,
        average=average,
        step=step,
        schedule=Schedule(
            config.scheduler_config,
            step.optimizers,
            steps_per_epoch=plan.steps_per_epoch,
            total_steps=plan.total_steps,
        ),
        train=train,
        val=val,
        running=Running(build_metrics(config, device)),
        evaluation=Running(build_metrics(config, device)),
        plan=plan,
    )
    _log_head(config, setup)
    draw_otherwise(config.random_seed)
    return setup


def prepare_torch(config: DictConfig) -> torch.device:
    """Seed every generator, and choose the device."""
    seed_everything(config.random_seed)
    return choose_device(config.device)


@contextmanager
def deterministic_algorithms(is_wanted: bool) -> Iterator[None]:
    """Ask torch for them where that is wanted; other trials of this process find what was asked for before."""
    before = torch.get_deterministic_debug_mode()
    if is_wanted:
        # what cuBLAS needs for it, and reads when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def load(config: DictConfig) -> Splits:
    """The data, from the source that was fixed before the first trial."""
    source = DataSource(config.data_source, config.data_digest) if config.data_source is not None else None
    module = build(config, "data_config")
    with describe_failure("data_config", config.data_config, "cannot load its data"):
        splits = module.load(source)
    if not isinstance(splits, Splits):
        raise ConfigError(
            f"data_config ({config.data_config._target_}): load() must return hpo.data.protocol.Splits, "
            f"not a {type(splits).__name__}"
        )
    return splits


def val_batches(splits: Splits, config: DictConfig, device: torch.device) -> Batches | None:
    """The validation data, or the part of it that eval_subsample asks for."""
    if splits.val is None:
        return None
    dataset = subsample(splits.val, config.eval_subsample, config.train_config.eval_batch_size, config.random_seed)
    return eval_batches(dataset, config, device)


def eval_batches(dataset: Dataset[object], config: DictConfig, device: torch.device) -> Batches:
    train_config = config.train_config
    return make_batches(
        dataset,
        device,
        batch_size=train_config.eval_batch_size,
        num_workers=train_config.num_workers,
        share=share(is_even=False),
    )


def build_model(config: DictConfig, device: torch.device) -> nn.Module:
    model = build(config, "model_config")
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model_config must give a torch.nn.Module, but gives a {type(model).__name__}")
    if config.train_config.channels_last:
        # torch's declared overloads have no memory_format together with a device
        return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    return model.to(device)


def build_step(config: DictConfig, model: nn.Module, device: torch.device) -> TrainingStep:
    """The step, bound to all but its optimizers. Raises ConfigError for a precision that the device lacks."""
    if config.amp is Amp.fp16 and device.type != "cuda":
        raise ConfigError("amp=fp16 needs a CUDA device; on a CPU there is amp=bf16")
    step = build(config, "step_config")
    if not isinstance(step, TrainingStep):
        raise ConfigError(
            f"step_config must give a hpo.training.step.TrainingStep, but gives a {type(step).__name__}"
        )
    step.bind(
        model,
        build_loss(config, device),
        device,
        precision=_PRECISION[config.amp],
        clip_grad_norm=config.train_config.clip_grad_norm,
        channels_last=config.train_config.channels_last,
    )
    return step


def build_loss(config: DictConfig, device: torch.device) -> LossFunction:
    """The loss; without one, a step of the user's may do without."""
    if not is_node(config.loss_config):
        return _no_loss
    loss_function: LossFunction = build(config, "loss_config")
    # a module may hold tensors, such as the weights of classes
    return loss_function.to(device) if isinstance(loss_function, nn.Module) else loss_function


def _no_loss(*_: Any) -> Tensor:
    raise ConfigError("loss_config has no _target_, and the step uses it; choose an option: loss_config=...")


def _optimizer_maker(config: DictConfig) -> Callable[[nn.Module], Optimizer]:
    make = build_partial(config, "optimizer_config")
    parameters_of = build_partial(config, "parameter_config")

    def make_optimizer(module: nn.Module) -> Optimizer:
        optimizer: Any = make(parameters_of(module))
        if not isinstance(optimizer, Optimizer):
            raise ConfigError(
                f"optimizer_config must give a torch.optim.Optimizer, but gives a {type(optimizer).__name__}"
            )
        return optimizer

    return make_optimizer


def _log_head(config: DictConfig, setup: Setup) -> None:
    parameters = list(setup.model.parameters())
    num_trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    logger.info(
        "model %s with %d parameters, %d of them trained",
        type(setup.model).__name__,
        sum(parameter.numel() for parameter in parameters),
        num_trained,
    )
    where = torch.cuda.get_device_name() if setup.device.type == "cuda" else f"threads: {torch.get_num_threads()}"
    logger.info("device %s (%s), random_seed %d", setup.device, where, config.random_seed)
    logger.info(
        "data %s: %d training samples, %s validation samples; %d steps of %d samples in each of %d epochs",
        config.data_source or config.data_config["_target_"],
        setup.train.num_samples,
        setup.val.num_samples if setup.val else "no",
        setup.plan.steps_per_epoch,
        config.train_config.batch_size * config.train_config.accumulate_batches,
        setup.plan.epochs,
    )
