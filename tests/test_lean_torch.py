"""torch and torchmetrics in the server: lighter, and no different in what they compute."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpo.lean_torch import import_torchmetrics

_STEPS = """
import json, sys, torch
torch.set_num_threads(1)

def parameters(cls, compiled):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2, bias=False)
    optimizer = cls(model.parameters(), lr=0.1)
    forward = torch.compile(model, backend="eager") if compiled else model
    for _ in range(3):
        optimizer.zero_grad()
        forward(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2, 2))]})
    return model.weight.tolist()

names = [
    "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adadelta", "Adamax", "ASGD", "Rprop",
    "Adafactor",
]
"""
_SHOW = """
print(json.dumps([
    {name: parameters(getattr(torch.optim, name), False) for name in names},
    "torch._dynamo" in sys.modules,
    parameters(torch.optim.SGD, True),
    "torch._dynamo" in sys.modules,
    {name: parameters(getattr(torch.optim, name), False) for name in names},
]))
"""
_LEAN = "from hpo import lean_torch; lean_torch.import_torch()\n"


def output(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_GRADIENTS = """
class Probe(torch.optim.SGD):
    pass

for differentiable in (False, True):
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = Probe([weight], lr=0.1, differentiable=differentiable)
    seen = []
    def loss():
        seen.append(torch.is_grad_enabled())
        return weight.sum()
    _init_group = optimizer._init_group
    optimizer._init_group = lambda *a: (seen.append(torch.is_grad_enabled()), _init_group(*a))[1]
    optimizer.step(loss)
    print(json.dumps([*seen, torch.is_grad_enabled()]))
"""
_COMPILED_STEP = """
weight = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.SGD([weight], lr=0.1)
weight.square().sum().backward()
torch.compile(optimizer.step, backend="eager")()
print(json.dumps(weight.tolist()))
"""

_DATA_PARALLEL = """
import os, tempfile
import torch.distributed as dist

meeting = os.path.join(tempfile.mkdtemp(), "meeting")
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=0, world_size=1)
has_dynamo = []

def trained(compiled):
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    forward = torch.compile(model, backend="eager") if compiled else model
    for _ in range(3):
        optimizer.zero_grad()
        forward(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
    has_dynamo.append("torch._dynamo" in sys.modules)
    return model.module.weight.tolist()

print(json.dumps([[trained(False), trained(True), trained(False)], has_dynamo]))
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def lean() -> list[Any]:
    """What is printed where torch was imported in our way."""
    return [json.loads(line) for line in output(_LEAN + _STEPS + _GRADIENTS + _SHOW + _COMPILED_STEP).splitlines()]


@pytest.fixture(scope="module")
def as_ever() -> list[Any]:
    """The same where torch is somebody else's."""
    somebody_elses = (
        "from hpo import lean_torch\nwith lean_torch.leaving_torch_alone(): lean_torch.spare_dynamo()\n"
    )
    code = _STEPS + somebody_elses + _GRADIENTS + _SHOW + _COMPILED_STEP
    return [json.loads(line) for line in output(code).splitlines()]


@pytest.mark.slow
def test_optimizers_step_as_ever_and_import_no_compiler_before_something_is_compiled(
    lean: list[Any], as_ever: list[Any]
) -> None:
    steps, has_dynamo, compiled, has_dynamo_then, steps_then = lean[2]
    steps_as_ever, _, compiled_as_ever, _, _ = as_ever[2]

    assert steps == steps_then == steps_as_ever
    assert compiled == compiled_as_ever
    assert (has_dynamo, has_dynamo_then) == (False, True)


def test_a_torch_that_is_somebody_elses_is_left_alone(as_ever: list[Any]) -> None:
    _, has_dynamo, _, _, _ = as_ever[2]
    assert has_dynamo


@pytest.mark.slow
def test_a_step_that_is_compiled_itself_works(lean: list[Any], as_ever: list[Any]) -> None:
    assert lean[3] == as_ever[3]


def test_gradients_are_off_in_a_step_and_on_for_one_that_is_differentiable(lean: list[Any]) -> None:
    assert lean[:2] == [[True, False, True], [True, True, True]]


@pytest.mark.slow
def test_what_trains_in_the_commands_process_imports_neither_compiler_nor_signal_processing(
    tmp_path: Path,
) -> None:
    arguments = (
        *("+experiment=mnist", "data_config=digits", "model_config.hidden_size=4", "train_config.epochs=1"),
        *("tensorboard=false", f"experiment_dir={tmp_path}"),
    )
    code = (
        "import sys\n"
        "from hpo.command import execute\n"
        f"assert execute({arguments!r})\n"
        "print([it for it in ('torch', 'torch._dynamo', 'torchmetrics', 'scipy.signal') if it in sys.modules])"
    )
    assert output(code).splitlines()[-1] == "['torch', 'torchmetrics']"


@pytest.mark.slow
def test_data_parallel_models_train_as_ever_and_import_no_compiler_before_something_is_compiled() -> None:
    weights, has_dynamo = json.loads(output(_LEAN + _STEPS + _DATA_PARALLEL))
    weights_as_ever, has_dynamo_as_ever = json.loads(output(_STEPS + _DATA_PARALLEL))

    assert weights == weights_as_ever
    assert has_dynamo == [False, True, True]
    assert has_dynamo_as_ever[0]


@pytest.mark.skipif(importlib.util.find_spec("scipy") is None, reason="needs scipy")
def test_torchmetrics_comes_without_scipy_signal_which_is_whole_when_it_is_wanted() -> None:
    code = (
        "import sys\n"
        "from hpo import lean_torch\n"
        "lean_torch.import_torchmetrics()\n"
        "import scipy, torchmetrics.classification\n"
        "print('scipy.signal' in sys.modules)\n"
        "print(scipy.signal.firwin.__name__)\n"
        "import scipy.signal\n"
        "print(scipy.signal.firwin.__name__)\n"
    )
    assert output(code) == "False\nfirwin\nfirwin\n"


def test_a_scipy_signal_that_is_there_already_stays() -> None:
    signal = pytest.importorskip("scipy.signal")

    import_torchmetrics()

    assert sys.modules["scipy.signal"] is signal
    assert signal.firwin.__name__ == "firwin"
