"""Mistakes of the user, as the command tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli

SEARCH = (
    "+experiment=quadratic",
    "tensorboard=false",
    "experiment_dir=experiments",
    "--multirun",
    "total_trials=2",
)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["+search_space.task.z=1"], "search_space"),
        (["+task.x=choice(1,2)"], "An item is already at 'task.x'"),
        (["task.xx=interval(0,1)"], "task.x"),
        (["model_config=mlp,vit"], "model_config has no option 'vit'; there are: lenet5, mlp, none, resnet"),
        (["task.x=interval(5,1)"], "`low <= high` must hold"),
        (["+experiment=cifar"], "experiment/cifar"),
        (
            ["search_algo=nan"],
            "search_algo=nan: search_algo takes the name of one of its options, and nan is none",
        ),
        (["search_space=3"], "and 3 is none; there are: mnist, mnist_optimizers, none, quadratic"),
        (["model_config=null"], "and null is none; there are: lenet5"),
        (["+pruner@other=true"], "and True is none; there are: asha"),
        (["metrics=[accuracy,1]"], "and [accuracy,1] is none; there are: accuracy"),
        (["~model_config=3"], "and 3 is none; there are: lenet5"),
        (["nogroup=x"], "nogroup"),
        (["total_trials=many"], "total_trials"),
        (["total_trials=0"], "total_trials=0 must be at least 1"),
        (["task._target_=os.getcwd"], 'allow_targets = ["os.*"]'),
        (["experiment_dir=in_the_way"], "cannot write the experiment into"),
        (["experiment_id=taken"], "experiment_id=taken is taken"),
        (["task.x=interval(0"], "no viable alternative at input 'interval(0'"),
        (
            ["+experment=quadratic"],
            "+experment: there is no such key and no such group; the nearest are: experiment",
        ),
        (["+total_trial=3"], "the nearest are: total_trials"),
        (["+resources_per_trial.cpu=1"], "the nearest are: resources_per_trial.cpus"),
        (["+checkpoint_every.epoch=1"], "+checkpoint_every.epoch: there is no such key"),
        (["random_seed=5000000000"], "random_seed=5000000000 must be at most 4294967295"),
        (["total_trials=2,3"], "total_trials is of the whole experiment, not of a trial"),
        (["task.x=tag(lgo,interval(1,2))"], "has the tag lgo, which is not known; there is: log"),
        (["experiment_dir="], "experiment_dir is empty"),
        (["hydra.sweeper.sampler.n_startup_trials=abc"], "n_startup_trials='abc'"),
        (["task._target_=hpo.no_such_task"], "task: "),
        (["+task.z=1"], "task (hpo.tasks.quadratic) cannot be called with a trial and (x, y, z)"),
        (["hydra/sweeper=optuna", "hydra/launcher=basic"], "hpo's trials need hydra/sweeper=hpo, or one of hpo's"),
        (["hydra/sweeper=basic", "hydra/launcher=basic"], "hpo's trials need hydra/sweeper=hpo, or one of hpo's"),
        (["data_config=mnist", "data_config.root=gone", "data_config.download=false"], "gone"),
    ],
    ids=lambda value: value[-1][:30] if isinstance(value, list) else "",
)
def test_bad_input_is_one_message_exit_status_2_and_nothing_on_disk(
    cli_in_process: Cli, tmp_path: Path, arguments: list[str], said: str
) -> None:
    _check(cli_in_process, tmp_path, arguments, said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["+experiment=cifar"], "experiment/cifar"),
        (["task.x=interval(0"], "no viable alternative at input 'interval(0'"),
        (["experiment_id=taken"], "experiment_id=taken is taken"),
        (["task._target_=hpo.no_such_task"], "task: "),
    ],
    ids=["composition", "search space", "directory", "task"],
)
def test_bad_input_is_told_in_the_same_way_by_a_process_that_starts_with_it(
    cli: Cli, tmp_path: Path, arguments: list[str], said: str
) -> None:
    _check(cli, tmp_path, arguments, said)


def _check(cli: Cli, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "in_the_way").touch()
    taken = tmp_path / "experiments" / "experiment_taken"
    taken.mkdir(parents=True)

    done = cli(*SEARCH, *arguments)

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("hpo: ")
    assert done.stderr.count("hpo: ") == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert list((tmp_path / "experiments").iterdir()) == [taken]
    assert list(taken.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"in_the_way", "experiments"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"width: [1,\n", 'net.yaml", line 2'),
        (b"a: 1\na: 2\n", "found duplicate key a"),
        (b"a: \xff\n", "net.yaml is not UTF-8"),
    ],
    ids=["syntax", "duplicate", "encoding"],
)
def test_yaml_that_cannot_be_read_is_one_message_with_its_file(
    cli_in_process: Cli, tmp_path: Path, text: bytes, said: str
) -> None:
    (tmp_path / "conf" / "search_space").mkdir(parents=True)
    (tmp_path / "conf" / "search_space" / "net.yaml").write_bytes(text)

    done = cli_in_process(*SEARCH, "search_space=net")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hpo: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 5
