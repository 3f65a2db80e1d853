"""torch and torchmetrics in the server: lighter, and no different in what they compute."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

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


@pytest.mark.slow
def test_optimizers_step_as_ever_and_import_no_compiler_before_something_is_compiled() -> None:
    steps, has_dynamo, compiled, has_dynamo_then, steps_then = json.loads(output(_LEAN + _STEPS + _SHOW))
    as_ever, _, compiled_as_ever, _, _ = json.loads(output(_STEPS + _SHOW))

    assert steps == steps_then == as_ever
    assert compiled == compiled_as_ever
    assert (has_dynamo, has_dynamo_then) == (False, True)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["", "with lean_torch.leaving_torch_alone(): "])
def test_what_trains_in_a_process_of_ours_imports_no_compiler_either(where: str) -> None:
    code = (
        "from hpo import lean_torch\n"
        f"{where}lean_torch.spare_dynamo()\n"
        "parameters(torch.optim.SGD, False)\n"
        'print("torch._dynamo" in sys.modules)'
    )
    assert output(_STEPS + code).strip() == str(bool(where))


@pytest.mark.slow
def test_a_step_that_is_compiled_itself_works() -> None:
    code = (
        "weight = torch.nn.Parameter(torch.ones(3))\n"
        "optimizer = torch.optim.SGD([weight], lr=0.1)\n"
        "weight.square().sum().backward()\n"
        'torch.compile(optimizer.step, backend="eager")()\n'
        "print(weight.tolist())"
    )
    assert output(_LEAN + _STEPS + code) == output(_STEPS + code)


def test_gradients_are_off_in_a_step_and_on_for_one_that_is_differentiable() -> None:
    code = (
        "class Probe(torch.optim.SGD):\n"
        "    pass\n"
        "weight = torch.nn.Parameter(torch.ones(1))\n"
        "for differentiable in (False, True):\n"
        "    optimizer = Probe([weight], lr=0.1, differentiable=differentiable)\n"
        "    seen = []\n"
        "    def loss():\n"
        "        seen.append(torch.is_grad_enabled())\n"
        "        return weight.sum()\n"
        "    _init_group = optimizer._init_group\n"
        "    optimizer._init_group = lambda *a: (seen.append(torch.is_grad_enabled()), _init_group(*a))[1]\n"
        "    optimizer.step(loss)\n"
        "    print(*seen, torch.is_grad_enabled())"
    )
    assert output(_LEAN + _STEPS + code) == "True False True\nTrue True True\n"


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


@pytest.mark.skipif(importlib.util.find_spec("scipy") is None, reason="needs scipy")
def test_a_scipy_signal_that_is_there_already_stays() -> None:
    code = (
        "import scipy.signal\n"
        "from hpo import lean_torch\n"
        "lean_torch.import_torchmetrics()\n"
        "print(scipy.signal.firwin.__name__)\n"
    )
    assert output(code) == "firwin\n"
