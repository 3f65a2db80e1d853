"""What the design says of files and of the direction of imports, held against the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ROOTS = (REPOSITORY / "src", REPOSITORY / "launchers")
MODULES = sorted(path for root in ROOTS for path in root.rglob("*.py"))
MAX_LINES = 300

# what each folder may import of hpo's other folders, as a folder or as one module; modules at the top of hpo
# are everybody's
ALLOWED = {
    "hpo": {"hpo.trial.protocol"},
    # files and databases, and who holds the scheduler's lock
    "hpo.analysis": {"hpo.experiment.lock"},
    # and the analysis's statistics, so that both say the same
    "hpo.dashboard": {"hpo.experiment.lock", "hpo.analysis"},
    "hpo.data": set[str](),
    "hpo.init": set[str](),
    "hpo.models": set[str](),
    "hpo.progress": set[str](),
    "hpo.recording": set[str](),
    "hpo.trial": {"hpo.recording.protocol"},
    "hpo.training": {"hpo.trial.protocol", "hpo.recording.protocol", "hpo.data.protocol"},
    "hpo.experiment": {"hpo.trial.metadata", "hpo.trial.outcome", "hpo.progress"},
    "hpo.search": {"hpo.experiment", "hpo.trial"},
    # the stream that they are, the sweeper's class to know whether it drives, and, under another one, the checks
    # that it would have made
    "hpo_launchers": {
        "hpo.experiment",
        *(f"hpo.trial.{name}" for name in ("link", "channel", "lifeline")),
        *(f"hpo.search.{name}" for name in ("stream", "sweeper", "space", "check", "held_out", "preflight")),
    },
}
# modules at the top that reach into the folders, inside their functions
ALLOWED_LATE = {
    "hpo.command": {"hpo.search.single", "hpo.trial.attempt"},
    "hpo.migrate": {"hpo.experiment"},
    "hpo.resolvers": {"hpo.experiment"},
    "hpo.stored": {"hpo.experiment.mirror"},
    "hpo.status": {"hpo.experiment.lock", "hpo.progress"},
}


def name_of(path: Path) -> str:
    root = next(root for root in ROOTS if path.is_relative_to(root))
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


MODULE_NAMES = frozenset(map(name_of, MODULES))


def imports(path: Path, *, at_import: bool = False) -> Iterator[str]:
    """The modules that a file imports: all of them, or those that importing the file imports."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if at_import and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if at_import and isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            yield child
            yield from walk(child)

    for node in walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULE_NAMES else str(node.module)


def folder_of(module: str) -> str:
    """`hpo.search` of `hpo.search.loop`; `hpo` of a module at the top, `hpo_launchers` of any below it."""
    parts = module.split(".")
    is_in_folder = parts[0] == "hpo" and (REPOSITORY / "src" / "hpo" / ".".join(parts[1:2])).is_dir() and parts[1:]
    return ".".join(parts[:2]) if is_in_folder else parts[0]


def within(module: str, allowed: str) -> bool:
    return module == allowed or module.startswith(f"{allowed}.")


def test_every_file_is_under_300_lines() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}

    assert {name: length for name, length in lengths.items() if length >= MAX_LINES} == {}


def test_modules_import_only_in_the_directions_of_the_design() -> None:
    wrong = []
    for path in MODULES:
        module, folder = name_of(path), folder_of(name_of(path))
        assert folder in ALLOWED, f"{folder} is new: say in this test what it may import"
        early = set(imports(path, at_import=True))
        for imported in imports(path):
            target = folder_of(imported)
            if target in ("hpo", folder) or target not in ALLOWED:
                continue
            late = ALLOWED_LATE.get(module, set()) if imported not in early else set()
            if not any(within(imported, allowed) for allowed in ALLOWED[folder] | late):
                wrong.append(f"{module} imports {imported}")

    assert wrong == []


def test_nothing_in_hpo_imports_the_command_but_its_entries() -> None:
    assert [name_of(path) for path in MODULES if "hpo.app" in imports(path)] == ["hpo.__main__", "hpo.resume"]


def test_torch_is_imported_at_the_top_by_training_and_models_alone() -> None:
    users = {
        folder_of(name_of(path))
        for path in MODULES
        if any(name.split(".")[0] in ("torch", "torchmetrics") for name in imports(path, at_import=True))
    }

    assert users == {"hpo.training", "hpo.models"}


def test_optuna_is_imported_at_the_top_by_the_search_alone() -> None:
    users = {
        folder_of(name_of(path))
        for path in MODULES
        if any(name.split(".")[0] == "optuna" for name in imports(path, at_import=True))
    }

    assert users == {"hpo.search"}


def test_private_parts_of_optuna_are_used_in_one_adapter_module() -> None:
    users = [
        name_of(path)
        for path in MODULES
        if any(name.startswith("optuna.") and "._" in name for name in imports(path))
    ]

    assert users == ["hpo.search.study_file"]


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a file that is no docstring, with its line."""
    documentation = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def test_no_module_but_paths_spells_the_name_of_a_file() -> None:
    paths = REPOSITORY / "src" / "hpo" / "paths.py"
    names = {text for _, text in literals(paths)}
    assert {"results.json", "metadata.json", "train.log", "mp.log", "_optuna.db", "experiment_"} <= names
    spelled = [
        f"{path}:{line}: {text!r}"
        for path in MODULES
        if path != paths
        for line, text in literals(path)
        if any(text == name or text.endswith(f"/{name}") for name in names)
    ]

    assert spelled == []


def test_the_packages_that_are_built_are_those_on_disk() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    on_disk = {name_of(path) for path in MODULES if path.name == "__init__.py"} | {"hpo.conf"}

    assert sorted(on_disk) == settings["packages"]
    assert all(name_of(path).rpartition(".")[0] in on_disk or name_of(path) in on_disk for path in MODULES)


def test_every_plugin_that_is_declared_imports_and_none_hides_the_others() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    declared = settings["project"]["entry-points"]["hydra.plugins"].values()

    assert {entry.partition(":")[0] for entry in declared} <= MODULE_NAMES
    assert not [path for root in ROOTS for path in root.rglob("hydra_plugins/__init__.py")]


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        (["hpo"], ["hydra", "omegaconf", "torch", "optuna", "sqlalchemy", "numpy", "pandas"]),
        (["hpo.app"], ["torch", "optuna", "sqlalchemy", "numpy"]),
        (["hpo.api", "hpo.saved"], ["torch", "optuna", "sqlalchemy", "numpy", "pandas"]),
        (["hpo.init.__main__"], ["torch", "optuna", "sqlalchemy", "numpy", "hydra"]),
        # what every Hydra application of the environment imports
        (
            [
                "hpo.search.sweeper",
                "hpo.search_path",
                "hpo_launchers.local.plugin",
                "hpo_launchers.in_process.plugin",
                "hpo_launchers.slurm.plugin",
            ],
            ["torch", "optuna", "sqlalchemy", "numpy", "cloudpickle"],
        ),
        # the scheduler
        (
            [
                "hpo.search.sweep",
                "hpo.search.single",
                "hpo_launchers.driven",
                "hpo_launchers.local._core",
                "hpo_launchers.slurm._core",
                "hpo.data.mnist",
            ],
            ["torch", "torchmetrics", "tensorboard"],
        ),
        # a trial of a task without torch
        (
            ["hpo.trial.attempt", "hpo.tasks", "hpo.recording.results", "hpo.recording.train_log"],
            ["torch", "optuna", "sqlalchemy"],
        ),
        (["hpo.recording.tensorboard"], ["torch", "tensorflow", "optuna"]),
        # what the dashboard takes of the analysis
        (
            [
                "hpo.analysis",
                *(
                    f"hpo.analysis.{name}"
                    for name in ("history", "timeline", "pareto", "importance", "differences")
                ),
            ],
            ["torch", "optuna", "sqlalchemy", "pandas", "matplotlib", "seaborn", "plotly", "scipy"],
        ),
        (["hpo.analysis.__main__"], ["torch", "optuna", "pandas", "matplotlib"]),
    ],
    ids=[
        *("package", "command", "from-python", "init", "plugins", "scheduler", "trial", "tensorboard"),
        *("statistics", "analysis"),
    ],
)
def test_what_must_start_quickly_imports_nothing_heavy(imported: list[str], absent: list[str]) -> None:
    code = f"import sys, {', '.join(imported)}; print(*set({absent!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert (done.stdout.strip(), done.stderr, done.returncode) == ("", "", 0)
