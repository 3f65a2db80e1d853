"""Any space that the grammar can build yields only configurations that compose, with values and types intact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from hydra.core.config_loader import ConfigLoader
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, flag_override
from optuna.samplers import RandomSampler

from hpo.overrides import encode
from hpo.records import TrialSpec, Value
from hpo.search.check import read_checked_space
from hpo.search.tree import SearchSpace
from hpo_launchers.jobs import Composer

KEYS = [f"task.many.k{number}" for number in range(8)]
AWKWARD = [
    "c,d",
    "null",
    "1",
    "true",
    "1e-3",
    "",
    " ",
    "it's",
    'a "b"',
    "\\",
    "x=y",
    "[1]",
    "{a:b}",
    "ä",
    "a:b",
    "#",
]

Space = dict[str, Any]


def texts() -> st.SearchStrategy[str]:
    printable = st.text(
        st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc"]), max_size=8
    )
    # what `${` opens is an interpolation to YAML's readers
    return st.one_of(st.sampled_from(AWKWARD), printable.filter(lambda text: "${" not in text))


def values() -> st.SearchStrategy[Value]:
    numbers = st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9, allow_nan=False))
    return st.one_of(st.none(), st.booleans(), numbers, texts())


def choices(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    # 1, 1.0 and True are equal to Optuna
    return st.lists(
        items, min_size=1, max_size=4, unique_by=lambda item: repr(float(item)) if _is_real(item) else repr(item)
    )


def _is_real(item: Any) -> bool:
    return isinstance(item, bool | int | float)


@st.composite
def ranges(draw: st.DrawFn) -> str:
    low, width = draw(st.integers(1, 1000)), draw(st.integers(0, 1000))
    real = draw(st.floats(1e-6, 1e3))
    return draw(
        st.sampled_from(
            [
                f"interval({real}, {real + width})",
                f"tag(log, interval({real}, {real * (1 + width)}))",
                f"int(interval({low}, {low + width}))",
                f"tag(log, int(interval({low}, {low + width})))",
                f"range({low}, {low + width + 1}, 3)",
                f"range({low / 4}, {low / 4 + width + 1}, 0.25)",
            ]
        )
    )


@st.composite
def spaces(draw: st.DrawFn, keys: tuple[str, ...] = tuple(KEYS), depth: int = 3, in_branch: bool = False) -> Space:
    """Each key at most once on any way; branches of one choice may search the same keys."""
    count = draw(st.integers(1, min(3, len(keys))))
    own, left = keys[:count], keys[count:]
    space: Space = {}
    for key in own:
        kinds = (
            ["list", "range"]
            + (["branches"] if depth and len(left) > 1 else [])
            + (["constant"] if in_branch else [])
        )
        kind = draw(st.sampled_from(kinds))
        if kind == "list":
            space[key] = draw(choices(values()))
        elif kind == "range":
            space[key] = draw(ranges())
        elif kind == "constant":
            space[key] = draw(st.one_of(st.none(), st.booleans(), st.integers(-9, 9)))
        else:
            half = len(left) // 2
            mine, left = left[:half], left[half:]
            options = draw(choices(st.one_of(texts(), st.booleans(), st.integers(-9, 9))))
            space[key] = {
                option: draw(st.one_of(st.none(), spaces(mine, depth - 1, in_branch=True)) if mine else st.none())
                for option in options
            }
    return space


@pytest.fixture(scope="module")
def noop(compose_run: Callable[..., DictConfig]) -> DictConfig:
    many = ",".join(f"{key.rpartition('.')[2]}:null" for key in KEYS)
    return compose_run("+experiment=noop", "search_space=none", f"+task.many={{{many}}}", hydra=True)


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(search_space=spaces(), seed=st.integers(0, 1000))
def test_any_space_yields_only_configurations_that_compose_with_values_and_types_intact(
    noop: DictConfig, loader: ConfigLoader, search_space: Space, seed: int
) -> None:
    config = noop.copy()
    with flag_override(config, ["struct", "readonly"], False):
        OmegaConf.update(config, "search_space", search_space, merge=False)
    arguments = list(config.hydra.overrides.task)
    space = read_checked_space(config, arguments, loader)
    composer = Composer(loader, config)
    study = optuna.create_study(sampler=RandomSampler(seed=seed))

    for number in range(2):
        params = space.suggest(study.ask())
        overrides = (*space.fixed, *encode(params))
        in_full = loader.load_sweep_config(config, list(overrides))
        as_run = composer.job(TrialSpec(number, fixed=space.fixed, params=params, overrides=overrides)).config()
        for composed in (in_full, as_run):
            found = {key: OmegaConf.select(composed, key) for key in params}
            assert [(key, type(value), value) for key, value in found.items()] == [
                (key, type(value), value) for key, value in params.items()
            ]
            others = {key: OmegaConf.select(composed, key) for key in set(KEYS) - params.keys()}
            assert set(others.values()) <= {None}, "a key of an option that was not chosen is not set"
        assert _is_of(space, params, search_space)


def _is_of(space: SearchSpace, params: dict[str, Value], written: Space) -> bool:
    """Whether the keys are those on one way through what was written."""
    expected: set[str] = set()

    def walk(level: Space) -> None:
        for key, sweep in level.items():
            expected.add(key)
            if isinstance(sweep, dict):
                chosen = [branch for option, branch in sweep.items() if _same(option, params[key])]
                walk(chosen[0] or {})

    walk(written)
    return expected == params.keys()


def _same(option: Any, value: Any) -> bool:
    return type(option) is type(value) and bool(option == value)
