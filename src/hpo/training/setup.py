"""Puts together what a run configuration describes: data, model, loss, optimizer, schedule, metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from hpo.data.protocol import Splits
from hpo.records import DataSource
from hpo.training.batches import Batches, make_batches
from hpo.training.device import choose_device
from hpo.training.nodes import build, build_metrics, build_partial
from hpo.training.plan import Plan, check_train_config
from hpo.training.running import Running
from hpo.training.schedule import Schedule
from hpo.training.seeding import seed_everything

logger = logging.getLogger("hpo.train")

LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Setup:
    """Everything that the loop works with, on one device."""

    device: torch.device
    model: nn.Module
    loss_function: LossFunction
    optimizer: Optimizer
    schedule: Schedule
    train: Batches
    val: Batches | None
    running: Running
    evaluation: Running
    plan: Plan


def set_up(config: DictConfig) -> Setup:
    """Seed, then build. Raises HpoError for what cannot be trained."""
    check_train_config(config.train_config)
    seed_everything(config.random_seed)
    device = choose_device(config.device)
    splits = load(config)
    train_config = config.train_config
    train = make_batches(
        splits.train,
        device,
        batch_size=train_config.batch_size,
        shuffle_seed=config.random_seed if train_config.shuffle else None,
        drop_last=train_config.drop_last,
        num_workers=train_config.num_workers,
    )
    val = eval_batches(splits.val, config, device) if splits.val is not None else None
    plan = Plan.of(config, train.num_batches)
    model = build(config, "model_config").to(device)
    loss_function = build_loss(config, device)
    optimizer = build_partial(config, "optimizer_config")(model.parameters())
    schedule = Schedule(config.scheduler_config, optimizer, plan.steps_per_epoch)
    setup = Setup(
        device=device,
        model=model,
        loss_function=loss_function,
        optimizer=optimizer,
        schedule=schedule,
        train=train,
        val=val,
        running=Running(build_metrics(config, device)),
        evaluation=Running(build_metrics(config, device)),
        plan=plan,
    )
    _log_head(config, setup)
    return setup


def load(config: DictConfig) -> Splits:
    """The data, from the source that was fixed before the first trial."""
    source = DataSource(config.data_source, config.data_digest) if config.data_source is not None else None
    splits: Splits = build(config, "data_config").load(source)
    return splits


def eval_batches(dataset: Dataset[object], config: DictConfig, device: torch.device) -> Batches:
    train_config = config.train_config
    return make_batches(
        dataset, device, batch_size=train_config.eval_batch_size, num_workers=train_config.num_workers
    )


def build_loss(config: DictConfig, device: torch.device) -> LossFunction:
    loss_function: LossFunction = build(config, "loss_config")
    # a module may hold tensors, such as the weights of classes
    return loss_function.to(device) if isinstance(loss_function, nn.Module) else loss_function


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
        config.train_config.batch_size,
        setup.plan.epochs,
    )
