"""The run configuration: every key of hpo's own, with its type and default, declared once."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore


class Direction(Enum):
    """Which way an optim_metric is better."""

    min = "min"
    max = "max"


class Amp(Enum):
    """The precision that forward passes run in, where torch holds it safe: automatic mixed precision."""

    none = "none"
    fp16 = "fp16"
    bf16 = "bf16"


class Duplicates(Enum):
    """What becomes of a proposal that equals a trial which is complete or runs."""

    skip = "skip"
    run = "run"
    reuse = "reuse"


class Center(Enum):
    """What stands for the values of several replicates."""

    mean = "mean"
    median = "median"


class Verbose(Enum):
    """What the terminal shows: a table that is kept up to date, a line per trial event, or the summary alone.

    `auto` is the table on a terminal, and lines elsewhere.
    """

    auto = "auto"
    progress = "progress"
    console = "console"
    silent = "silent"


@dataclass
class TrainConfig:
    """How the training loop goes through the data."""

    # samples in one batch
    batch_size: int = 32
    # batches in one optimizer step: their gradients are averaged
    accumulate_batches: int = 1
    # samples in one step of an evaluation; has no influence on results
    eval_batch_size: int = 1024
    # passes over the training data
    epochs: int = 10
    # draw a new order of the training data each epoch
    shuffle: bool = True
    # leave out the last batch of an epoch when it is smaller
    drop_last: bool = False
    # worker processes that load a dataset which is not held as tensors; 0 loads in the trial's own process
    num_workers: int = 0
    # the largest norm of all gradients together; null does not clip them
    clip_grad_norm: float | None = None
    # evaluate, and test, an exponential moving average of the weights with this decay, for example 0.999
    ema_decay: float | None = None
    # let torch.compile compile the model
    compile: bool = False
    # keep images and convolutions' weights in the channels-last memory format
    channels_last: bool = False
    # with processes_per_trial: look in each step for parameters that have no part in the loss
    find_unused_parameters: bool = False


@dataclass
class CheckpointEvery:
    """How long after the one before there is a checkpoint besides those of evaluations; whichever comes first."""

    # passes over the training data; fractions count
    epochs: float | None = None
    # optimizer steps
    iterations: int | None = None
    seconds: float | None = None


@dataclass
class ResourcesPerTrial:
    """What a trial holds while it runs; it starts when that is free. null: it takes turns with the others.

    A value may be an interpolation (`gpus: ${model_config.num_gpus}`): each trial then has its own.
    """

    # CPU cores, which no other trial runs on
    cpus: int | None = None
    # GPUs: a whole number, or a part of one (0.25: up to four trials on one); 0: none
    gpus: float | None = None
    # memory on each of its GPUs in MB, as nvidia-smi counts it; without `gpus` on one, which trials share
    gpu_memory_mb: float | None = None
    # memory of the host in MB: trials that run reserve no more than there is; nobody is kept from using more
    memory_mb: float | None = None


@dataclass
class RunConfig:
    """Everything that an experiment is made of; `search_space` holds what its trials vary."""

    # --- a trial: nodes with a `_target_` that Hydra instantiates ---
    # the function `task(trial) -> metrics` that a trial runs
    task: Any = None
    # the function that evaluates the best trial once on data held back, when there is some
    test_task: Any = None
    # the function that tries everything out once, before the first trial
    check_task: Any = None
    # which of the three nodes above a process runs; set by hpo
    run_task: str = "task"
    # the torch.nn.Module
    model_config: Any = None
    # the data module: finds, digests and loads the data
    data_config: Any = None
    # the loss: a callable (output, target) -> scalar tensor
    loss_config: Any = None
    # the step: what a batch does to the model; a hpo.training.step.TrainingStep
    step_config: Any = None
    # the optimizer; called with the parameters
    optimizer_config: Any = None
    # the function `(model) -> parameters or groups of them` that the optimizer is called with
    parameter_config: Any = None
    # the learning-rate scheduler; called with the optimizer; null for none
    scheduler_config: Any = None
    # how the loop goes through the data
    train_config: TrainConfig = field(default_factory=TrainConfig)
    # the metrics that each evaluation computes: name -> torchmetrics node
    metrics: dict[str, Any] = field(default_factory=dict)
    # sinks of what a trial logs: name -> node
    recorder: dict[str, Any] = field(default_factory=dict)

    # --- training ---
    # seeds Python, NumPy, torch, the data order and the sampler
    random_seed: int = 42
    # auto (CUDA where there is one), cpu, cuda
    device: str = "auto"
    # evaluate every so many epochs, and at the end; fractions count
    eval_epoch: float = 1.0
    # log every so many epochs, and at the end; fractions count
    log_epoch: float = 1.0
    # mixed precision: none, fp16 (with a scaler; CUDA alone) or bf16
    amp: Amp = Amp.none
    # ask torch for deterministic algorithms
    deterministic: bool = False
    # end a trial when the best evaluation lies more than so many iterations back; null never does
    early_stopping_iter: int | None = None
    # end a trial as diverged when the first objective is worse than its best by more than this factor of it
    divergence_factor: float | None = None
    # epochs before which no trial counts as diverged for that
    warm_up_epochs: float = 0.0
    # the part of the validation batches that is used, drawn once by the seed
    eval_subsample: float = 1.0
    # a checkpoint to take the model's weights from, before training
    init_chkpt: str | None = None
    # refuse a checkpoint that does not match the model in every parameter
    init_chkpt_strict: bool = True
    # show TensorBoard histograms of weights and gradients every so many epochs; null for none
    histogram_epoch: float | None = None
    # show TensorBoard so many of the worst validation samples at the end, when they are images
    num_worst_images: int = 0
    # newest checkpoints kept in checkpoints/
    keep_n_checkpoints: int = 1
    # checkpoints between evaluations, which bound what is repeated after a death
    checkpoint_every: CheckpointEvery = field(default_factory=CheckpointEvery)
    # write TensorBoard event files into dashboard/
    tensorboard: bool = True

    # --- search ---
    # how many seeds each configuration is run with, one after the other, as one trial
    num_replicates: int = 1
    # what their metrics, the objectives among them, are combined to: mean or median
    combine_replicates: Center = Center.mean
    # what is optimized: metric -> min or max (null leaves one out); the first one chooses the best iteration;
    # with none at all it is val_loss
    optim_metrics: dict[str, Direction | None] = field(default_factory=dict)
    # dotted key -> sweep, for example `interval(0.0, 0.9)` or a list of choices
    search_space: Any = field(default_factory=dict)
    # what every trial must keep: expressions over dotted keys, for example `model_config.width <= 64`, or nodes of
    # functions `(params) -> bool`; a proposal that breaks one is never run
    constraints: list[Any] = field(default_factory=list)
    # what a good trial keeps: comparisons over metrics and keys, for example `val_latency <= 10`; one that breaks
    # one is never the best, and the sampler is told by how much
    soft_constraints: list[str] = field(default_factory=list)
    # values that a range has in a grid or an ablation: a number for all ranges, or key -> number
    grid_bins: Any = None
    # configurations that are tried first: a list of `key: value` mappings, or a YAML or CSV file of them
    enqueue: Any = None
    # an earlier experiment's directory, or the URL of a study: its finished trials are known to the sampler
    warm_start: str | None = None
    # gives up trials that will lose; a node of an Optuna pruner, null for none
    pruner: Any = None
    # the configured values are tried first, where they are in the search space
    try_defaults_first: bool = True
    # a proposal that equals another trial: skip it, run it, or reuse (tell the sampler the values that are known)
    duplicates: Duplicates = Duplicates.skip
    # trials that are run to an end
    total_trials: int = 20
    # seconds after which the search ends: trials that run stop at their next evaluation, to be continued
    timeout_s: float | None = None
    # seconds after which a trial is ended by force, as failed
    trial_timeout_s: float | None = None
    # seconds without a report after which a trial is ended by force, to be tried again
    stall_timeout_s: float | None = None
    # how often a trial is tried again whose process died, or that raised one of `recoverable_errors`
    max_retries: int = 3
    # seconds before the first retry; each later one waits twice as long
    retry_delay_s: float = 1.0
    # exceptions, by the name of their class or of one that it is derived from, which may be gone the next time
    recoverable_errors: list[str] = field(
        default_factory=lambda: ["torch.OutOfMemoryError", "MemoryError", "ConnectionError", "TimeoutError"]
    )
    # the search ends when the first objective is as good as this
    target_value: float | None = None
    # the search ends when so many trials in a row have not improved on the best
    max_stale_trials: int | None = None
    # the search ends when more than this part of the newest `failure_window` trials failed; null never does
    max_failure_rate: float | None = None
    # trials that max_failure_rate looks back at
    failure_window: int = 20
    # the search ends when its first so many trials all fail in the same way; null never does
    fail_fast_trials: int | None = 3
    # trials that run at the same time, at most
    concurrent_trials: int = 2
    # what each of them holds: fewer run where that is not there for all
    resources_per_trial: ResourcesPerTrial = field(default_factory=ResourcesPerTrial)
    # processes that train one trial together (torchrun, DistributedDataParallel): a number, or auto: one, and in
    # the training loop one for each of resources_per_trial.gpus
    processes_per_trial: Any = "auto"
    # CPU threads of a trial, all its processes together: auto (resources_per_trial.cpus, or
    # cores / concurrent_trials) or a number
    threads_per_trial: Any = "auto"

    # --- the experiment ---
    # where experiments lie
    experiment_dir: str = "experiments"
    # continue the newest experiment of this configuration, or the one of experiment_id; where there is none, start
    resume: bool = False
    # the experiment's name on disk; null draws a new one
    experiment_id: str | None = None
    # where the state database and the study are, by a URL of SQLAlchemy without a password; null for files of
    # SQLite in the experiment's directory
    state_db: str | None = None
    study_db: str | None = None
    # for how long a database server may be away until the search ends, to be continued
    db_timeout_s: float = 60.0
    # for people: a name, tags and notes kept with the experiment
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    notes: str | None = None
    # what the terminal shows: progress (a live table), console (lines), silent (the summary alone), or auto: the
    # table on a terminal, and lines elsewhere
    verbose: Verbose = Verbose.auto
    # show the space, the first proposals and the directory; start nothing
    dry_run: bool = False

    # --- filled in by hpo and kept in the files ---
    # SHA-256 of model, data, training and objectives
    config_hash: str | None = None
    # where the data came from, fixed before the first trial, and the SHA-256 of its files
    data_source: str | None = None
    data_digest: str | None = None


SCHEMA_NAME = "run_config"


def register() -> None:
    """Put the schema and the sweeper's and launchers' defaults where Hydra finds them."""
    ConfigStore.instance().store(name=SCHEMA_NAME, node=RunConfig, provider="hpo")
