"""Whole analyses: the files, what is said of experiments that are unusual, the report, and the command."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution

import hpo.analysis
from hpo.analysis import __main__ as command
from hpo.analysis import canvas
from hpo.analysis import figures as all_figures
from hpo.errors import ExperimentError, HpoError
from hpo.records import State
from tests.analysis.planted import Trial, plant

Quadratic = Callable[..., DictConfig]
ATTACK = "<script>alert('x')</script>"


class _Page(HTMLParser):
    """The texts of a page, its scripts, and whatever it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.fetched: list[str] = []
        self.data: dict[str, Any] = {}
        self._script: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.fetched += [str(values[name]) for name in ("src", "href") if name in values]
        assert not any(name.startswith("on") for name in values)
        if tag == "script":
            self._script = values
            self.scripts.append(values)

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.texts.append(data)
        elif self._script.get("type") == "application/json":
            self.data[str(self._script["id"])] = json.loads(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def page_of(analysis: hpo.analysis.run.Analysis) -> _Page:  # type: ignore[name-defined] # imported when it is used
    return _Page((analysis.directory / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the report: drawing takes seconds."""
    import hpo.analysis.run

    monkeypatch.setattr(hpo.analysis.run, "figures", lambda *_: iter(()))


@pytest.fixture(scope="module")
def synthetic_analysis(synthetic: Path) -> Any:
    return hpo.analysis.analyse(synthetic)


def test_each_figure_is_a_png_and_an_svg_beside_the_report(synthetic_analysis: Any, synthetic: Path) -> None:
    names = {path.name for path in synthetic_analysis.files}
    figures = [
        *(
            "history",
            "learning_curves",
            "importance",
            "interactions",
            "contour",
            "parallel_coordinates",
            "timeline",
        ),
        *("parameter_optimizer_config.lr", "parameter_model_config.activation"),
    ]

    assert synthetic_analysis.directory == synthetic / "analysis"
    assert {f"{name}.{kind}" for name in figures for kind in ("png", "svg")} | {"report.html"} <= names
    assert {path.name for path in synthetic_analysis.directory.iterdir()} == names
    for path in synthetic_analysis.files:
        begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".html": b"<!doctype html>"}[path.suffix]
        assert path.read_bytes().startswith(begins)
    assert not [note for note in synthetic_analysis.notes if "could not be drawn" in note]


def test_the_report_needs_no_network_and_holds_every_figure_and_trial(synthetic_analysis: Any) -> None:
    page = page_of(synthetic_analysis)

    assert all(each.startswith("#") for each in page.fetched)
    assert "default-src 'none'" in (synthetic_analysis.directory / "report.html").read_text()
    table = page.data.pop("trial-data")
    assert len(table["rows"]) == 240
    assert table["columns"][table["sorted"]] == "val_loss"
    assert len(page.data) == 12
    assert all({"data", "layout"} <= set(figure) for figure in page.data.values())
    assert "No figure" not in page.text
    assert "trials were pruned for their results" in page.text


def test_the_best_configuration_is_a_diff_against_the_defaults(synthetic_analysis: Any) -> None:
    text = page_of(synthetic_analysis).text
    best = text.partition("Best configuration")[2].partition("Best configuration")[2].partition("Ablation")[0]

    assert "optimizer_config.lr\n0.001\n" in best
    assert "model_config.hidden_size\n128\n" in best
    assert "train_config.epochs" not in best


def test_a_second_analysis_replaces_its_files_and_leaves_those_of_the_user(
    quadratic: Quadratic, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = plant(quadratic(), [Trial({"task.x": float(i)}, {"loss": float(i)}) for i in range(4)])
    folder = paths.analysis.root
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    (folder / "history.png").write_text("old")
    chosen = {"history": all_figures.draw_history}
    monkeypatch.setattr(
        "hpo.analysis.run.figures", lambda subject, _: ((name, draw(subject)) for name, draw in chosen.items())
    )
    first = hpo.analysis.analyse(paths.root)
    hpo.analysis.analyse(str(paths.root))

    assert (folder / "mine.txt").read_text() == "mine"
    assert (folder / "history.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["mine.txt", *(path.name for path in first.files)]
    )


UNUSUAL: dict[str, tuple[Sequence[Trial], str]] = {
    "no trial": ([], "there is nothing to compare"),
    "one trial": (
        [Trial({"task.x": 1.0}, {"loss": 1.0}, losses=[2.0, 1.0])],
        "task.x is 1.0 in all compared trials",
    ),
    "two trials": ([Trial({"task.x": float(i)}, {"loss": float(i)}) for i in range(2)], "too few"),
    "all failed": ([Trial({"task.x": 1.0}, {}, State.FAIL, reason="no")] * 3, "3 trials FAIL: not compared"),
    "all pruned": (
        [Trial({"task.x": float(i)}, {"loss": 1.0}, State.PRUNED_POOR_PERFORMANCE, [2.0, 1.0]) for i in range(3)],
        "3 trials PRUNED_POOR_PERFORMANCE: not compared",
    ),
    "duplicates": (
        [Trial({"task.x": 1.0}, {"loss": 1.0}), Trial({"task.x": 1.0}, state=State.PRUNED_DUPLICATE)],
        "1 trial PRUNED_DUPLICATE: not compared",
    ),
    "not finite": (
        [Trial({"task.x": float(i)}, {"loss": loss}) for i, loss in enumerate([math.nan, math.inf, 1.0, 2.0])],
        "2 complete trials without a finite loss",
    ),
    "a constant": (
        [Trial({"task.x": float(i), "task.y": 3.0}, {"loss": float(i)}) for i in range(12)],
        "task.y is 3.0 in all compared trials",
    ),
    "a constant metric": ([Trial({"task.x": float(i)}, {"loss": 1.0}) for i in range(12)], "the same value"),
    "missing": (
        [
            Trial({"task.x": float(i)} | ({"task.deep": i / 2} if i % 2 else {}), {"loss": float(i)})
            for i in range(12)
        ],
        "task.deep is not there in 6 of 12",
    ),
    "missing choices": (
        [
            Trial({"task.x": "ab"[i % 2]} | ({"task.flag": i % 4 == 0} if i % 2 == 0 else {}), {"loss": float(i)})
            for i in range(16)
        ],
        "",
    ),
    "two branches": (
        [
            Trial(
                {"task.kind": "ab"[i % 2], f"task.{'ab'[i % 2]}": i / 10, "task.lr": 0.1 * (i % 4)},
                {"loss": i % 5},
            )
            for i in range(20)
        ],
        "task.a is not there in 10 of 20",
    ),
    "many choices": ([Trial({"task.x": f"c{i:02}"}, {"loss": float(i)}) for i in range(40)], ""),
    "mixed choices": (
        [Trial({"task.x": [None, True, 1, "1", 0.5][i % 5]}, {"loss": float(i)}) for i in range(15)],
        "",
    ),
    "infeasible": (
        [Trial({"task.x": float(i)}, {"loss": float(i)}, is_feasible=False) for i in range(4)],
        "soft constraints broken by 4 trials",
    ),
    "other metrics": (
        [Trial({"task.x": float(i)}, {"loss": float(i), "val_a": math.nan, "b": i % 3}) for i in range(12)],
        "",
    ),
    "huge": ([Trial({"task.x": 10.0**i}, {"loss": 10.0 ** (20 * i)}) for i in range(12)], ""),
    "still running": (
        [Trial({"task.x": 1.0}, state=None, losses=[3.0, 2.0])] * 2,
        "2 trials RUNNING: not compared",
    ),
}


def _drawn(figure: Figure, *_: object) -> list[str]:
    canvas.spell_logarithms(figure)
    figure.draw_without_rendering()
    return []


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_is_said_and_never_an_error(
    name: str, quadratic: Quadratic, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials, said = UNUSUAL[name]
    kinds = {"task.x": CategoricalDistribution([None, True, "1", 0.5])} if name == "mixed choices" else None
    paths = plant(quadratic(), trials, distributions=kinds, samplers=("RandomSampler",))
    # drawn, and not written as files: that takes most of the time
    monkeypatch.setattr(canvas, "write", _drawn)
    done = hpo.analysis.analyse(paths.root)
    told = "\n".join(done.notes)

    assert said in told
    assert "could not be" not in told
    page = page_of(done)
    assert "could not be" not in page.text
    assert len(page.data["trial-data"]["rows"]) == len(trials)


@pytest.mark.usefixtures("without_figures")
def test_texts_of_trials_are_no_markup_in_the_report(quadratic: Quadratic) -> None:
    trials = [
        Trial(
            {"task.x": ATTACK if i % 2 else "<b>b</b>", f"task.{ATTACK}": i}, {"loss": float(i), ATTACK: i * 1.5}
        )
        for i in range(9)
    ]
    trials.append(Trial({"task.x": "a"}, {}, State.FAIL, reason=f"{ATTACK}</script><img src=x onerror=alert(1)>"))
    config = quadratic(name=ATTACK, **{"task.y": ATTACK})
    done = hpo.analysis.analyse(plant(config, trials).root, metric_name_remap={"loss": f"loss{ATTACK}"})
    text = (done.directory / "report.html").read_text(encoding="utf-8")
    page = page_of(done)

    own = [each for each in page.scripts if each.get("type") != "application/json"]
    assert len(own) == 2  # plotly's and the report's
    assert "<img src=x" not in text
    assert ATTACK in page.text
    assert any(ATTACK in str(cell) for row in page.data["trial-data"]["rows"] for cell in row)
    # plotly reads tags in texts
    figures = json.dumps([figure for key, figure in page.data.items() if key != "trial-data"])
    assert "<script" not in figures
    assert "&lt;script" in figures


@pytest.mark.usefixtures("without_figures")
def test_several_experiments_are_analysed_together_beside_the_first(quadratic: Quadratic) -> None:
    def trials(shift: float, key: str) -> list[Trial]:
        return [Trial({"task.x": i / 10, key: i}, {"loss": shift + i % 3}) for i in range(10)]

    one = plant(quadratic(experiment_id="one"), trials(0, "task.y"))
    two = plant(quadratic(experiment_id="two"), trials(5, "task.only"))
    done = hpo.analysis.analyse([one.root, two.root])
    page = page_of(done)

    assert done.directory == one.analysis.root / "with_two"
    assert "task.only is not there in 10 of 20 compared trials" in done.notes
    assert re.search(r"experiment_id\none\n10\n", page.text)
    other = plant(
        quadratic(experiment_id="max", optim_metrics={"score": "max"}), [Trial({"task.x": 1.0}, {"score": 1})]
    )
    with pytest.raises(ExperimentError, match="share no objective"):
        hpo.analysis.analyse([one.root, other.root])


@pytest.mark.usefixtures("without_figures")
def test_the_design_decides_whether_a_verdict_is_given(quadratic: Quadratic) -> None:
    trials = [Trial({"task.x": float(i % 2)}, {"loss": i % 2 + i / 100}) for i in range(12)]
    free = page_of(hpo.analysis.analyse(plant(quadratic(experiment_id="free"), trials).root))
    follows = page_of(
        hpo.analysis.analyse(plant(quadratic(experiment_id="tpe"), trials, samplers=["TPESampler"]).root)
    )

    assert "corrected for 1 comparisons (Holm)" in free.text
    assert "\nbetter" in free.text
    assert "descriptive only" not in free.text
    assert "Descriptive only: the sampler (tpe) follows results" in follows.text
    assert "\nbetter" not in follows.text


@pytest.mark.usefixtures("without_figures")
def test_the_command_prints_its_files_and_renames(
    quadratic: Quadratic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = plant(quadratic(), [Trial({"task.x": float(i)}, {"loss": float(i)}) for i in range(9)])
    names = tmp_path / "names.yaml"
    names.write_text("loss: cost\nnothing: n\n")
    output = tmp_path / "out"
    command.main([str(paths.root), "--rename", "task.x=the x", "--rename", str(names), "--output", str(output)])
    shown = capsys.readouterr()
    page = _Page((output / "report.html").read_text())

    assert shown.out.splitlines()[-1] == str(output / "report.html")
    assert "note: nothing is renamed, and there is no such parameter or metric" in shown.out
    assert ("the x" in page.text, "cost" in page.data["trial-data"]["columns"]) == (True, True)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        command.main(list(arguments))
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return shown.err


def test_a_mistake_is_one_message(
    quadratic: Quadratic, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = plant(quadratic(), [])
    capsys.readouterr()

    assert "DIR" in fails(capsys)
    assert fails(capsys, str(tmp_path / "experiment_x")).startswith("hpo: ")
    assert "neither KEY=LABEL nor a YAML file" in fails(capsys, str(paths.root), "--rename", "lr")
    taken = tmp_path / "file"
    taken.touch()
    assert "cannot be written" in fails(capsys, str(paths.root), "--output", str(taken))
    monkeypatch.setitem(sys.modules, "seaborn", None)
    assert "pip install 'hpo[analysis]'" in fails(capsys, str(paths.root))
    with pytest.raises(HpoError, match=r"needs seaborn, which is not installed"):
        hpo.analysis.load(paths.root)


def test_what_a_library_cannot_draw_is_said_and_costs_no_other_figure(
    quadratic: Quadratic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    paths = plant(quadratic(), [Trial({"task.x": float(i)}, {"loss": float(i)}) for i in range(3)])
    monkeypatch.setattr(all_figures, "draw_history", broken)
    done = hpo.analysis.analyse(paths.root)

    assert "No figure history: could not be drawn: ZeroDivisionError: planted" in done.notes
    assert (done.directory / "timeline.png").is_file()
