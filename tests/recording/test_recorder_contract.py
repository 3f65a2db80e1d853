"""What every recorder promises, whatever it writes."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import hpo.conf
import pytest
import yaml
from hydra.utils import get_class

from hpo.recording.protocol import NullRecorder, Recorder
from hpo.records import TrialInfo

CONF = Path(str(hpo.conf.__file__)).parent
NODES = [
    node
    for path in sorted((CONF / "recorder").glob("*.yaml"))
    for name, node in yaml.safe_load(path.read_text()).items()
    if name != "defaults"
]
TARGETS = [node["_target_"] for node in NODES]
# the packages of extras, by the recorder that needs them
EXTRAS = {"hpo.recording.mlflow_run.MlflowRun": "mlflow", "hpo.recording.wandb_run.WandbRun": "wandb"}


def needs(target: str) -> Any:
    """The recorder's target as a parameter; without its extra its tests are skipped."""
    extra = EXTRAS.get(target, "sys")
    is_missing = importlib.util.find_spec(extra) is None
    return pytest.param(target, marks=pytest.mark.skipif(is_missing, reason=f"{extra} is not installed"))


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")


@pytest.fixture(params=[*map(needs, TARGETS), "null"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def trial_log(info: TrialInfo):
    """train.log as the trial sets it up."""
    handler = logging.FileHandler(Path(info.directory) / "train.log")
    logger = logging.getLogger("hpo.train")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)
    handler.close()


def options(target: str, info: TrialInfo) -> dict[str, Any]:
    """What the shipped configuration gives the recorder, with the trial's directory as the only place."""
    (node,) = (node for node in NODES if node["_target_"] == target)
    given = {key: value for key, value in node.items() if key != "_target_"}
    return given | ({"tracking_uri": f"sqlite:///{info.directory}/mlflow.db"} if "tracking_uri" in given else {})


def build(target: str, info: TrialInfo) -> Recorder:
    return NullRecorder() if target == "null" else get_class(target)(info, **options(target, info))


def imported_by(target: str) -> list[str]:
    """The modules that a fresh process holds when it has imported the recorder."""
    code = f"import sys; from hydra.utils import get_class; get_class({target!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


def contents(info: TrialInfo) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path(info.directory).rglob("*") if path.is_file()}


def test_a_recorder_takes_records_and_final_metrics(target, info, records):
    recorder = build(target, info)
    for record in records:
        recorder.log(record)
    recorder.close({"val_loss": 1.48, "best_iteration": 3750})


def test_a_recorder_can_be_closed_without_a_record_or_metrics(target, info):
    build(target, info).close({})


def test_a_recorder_takes_records_of_any_keys(target, info):
    recorder = build(target, info)
    recorder.log({"loss": 0.5})
    recorder.log({"loss": float("-inf"), "reward": 3})
    recorder.close({"loss": 0.5})


def test_a_recorder_leaves_a_record_as_it_was(target, info, records):
    before = list(records[1].items())
    recorder = build(target, info)
    recorder.log(records[1])
    recorder.close({})
    assert list(records[1].items()) == before


def test_a_second_attempt_keeps_what_the_first_one_wrote(target, info, records):
    if target in EXTRAS:
        pytest.skip("its files are those of another program")
    first = build(target, info)
    first.log(records[0])
    written = contents(info)
    second = build(target, info)
    second.log(records[1])
    second.close({})
    # all but the last two bytes, which results.json takes back to write on
    assert all(contents(info)[path].startswith(data[:-2]) for path, data in written.items())
    first.close({})


def test_a_record_is_on_disk_when_log_returns_though_the_process_is_killed(target, info, records, tmp_path):
    if target == "null":
        pytest.skip("it records nothing")
    if "wandb" in target:
        pytest.skip("wandb's own process writes every 15 s")
    script = tmp_path / "killed.py"
    script.write_text(
        "import logging, os, signal\n"
        "from hydra.utils import get_class\n"
        "from hpo.records import TrialInfo\n"
        "nan, inf = float('nan'), float('inf')\n"
        f"info = {info!r}\n"
        "logging.basicConfig(level='INFO', filename=info.directory + '/train.log')\n"
        f"get_class({target!r})(info, **{options(target, info)!r}).log({records[1]!r})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    before = contents(info)
    killed = subprocess.run([sys.executable, script], check=False, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    grown = [data for path, data in contents(info).items() if len(data) > len(before.get(path, b""))]
    assert any(b"val_loss" in data and b"best_iteration" in data for data in grown)


def test_a_recorder_imports_neither_torch_nor_the_tensorboard_of_another(target):
    if target == "null":
        target = "hpo.recording.protocol.NullRecorder"
    modules = imported_by(target)
    assert "torch" not in modules
    assert ("tensorboard" in modules) == ("tensorboard" in target)


def test_every_option_of_the_group_keeps_the_default_recorders(compose_run):
    default = compose_run("recorder=default").recorder
    for path in (CONF / "recorder").glob("*.yaml"):
        assert default.items() <= compose_run(f"recorder={path.stem}").recorder.items()


def test_options_of_the_group_are_combined_in_a_list(compose_run):
    combined = compose_run("recorder=[csv,mlflow,wandb]").recorder
    assert list(combined) == ["results", "tensorboard", "train_log", "csv", "mlflow", "wandb"]
