"""What the table shows of a snapshot, at any size, without a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hpo.progress.render import render
from hpo.progress.snapshot import Best, EndedTrial, Snapshot, Standing
from hpo.records import State
from tests.progress.snapshots import NOW, running, snapshot


def drawn(taken: Snapshot, width: int = 80, height: int = 24, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=file, width=width, color_system=None, force_terminal=True, markup=False)
    console.print(render(taken, width=width, height=height))
    file.flush()
    assert isinstance(file.buffer, io.BytesIO)
    return [line.rstrip() for line in file.buffer.getvalue().decode(encoding).splitlines()]


def row(lines: list[str], number: int) -> str:
    (found,) = [line for line in lines if line.split()[:1] == [str(number)]]
    return found


def test_the_whole_table_at_80_columns() -> None:
    lines = drawn(snapshot())

    assert lines[0] == "experiment 1901_aa90  /tmp/experiment_1901_aa90"
    assert lines[1].startswith("━━━")
    assert lines[1].endswith("13/20  3:41  about 2:10 left")
    assert lines[2:6] == [
        "best val_loss 0.23471 in trial 0007_1f3a",
        "2 running, 11 complete, 1 pruned, 1 failed",
        "",
        "trial            epoch  time  it/s  device  memory  metrics",
    ]
    assert row(lines, 20) == "   20  ━━         3/10  1:03   812  cuda:0  312 MB  val_loss 0.25"
    assert row(lines, 12) == "   12  FAIL             0:02        cuda:1          ValueError: no"
    assert row(lines, 11) == "   11  PRUNED           0:01        cuda:0          stopped"
    assert row(lines, 10) == "   10  COMPLETE         1:21        cuda:0          val_loss 0.3"
    assert lines[-1].endswith("trial 0012_ab12 FAIL after 2.0 s: ValueError: no")


def test_more_columns_show_more_metrics_the_objectives_first() -> None:
    assert row(drawn(snapshot(), 120), 20).endswith("val_loss 0.25  val_accuracy 0.9  train_loss 0.5")


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 4, 7, 8, 9, 10, 24])
@pytest.mark.parametrize("num_running", [0, 1, 5, 5000])
def test_it_never_takes_more_room_than_there_is(width: int, height: int, num_running: int) -> None:
    taken = snapshot(num_running, said="running: process 77 on a-host-with-a-very-long-name, since yesterday")

    lines = drawn(taken, width, height)

    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("height", [10, 24, 50])
def test_what_does_not_fit_is_counted(height: int) -> None:
    lines = drawn(snapshot(3000), height=height)

    shown = [line for line in lines if line.split()[:1] and line.split()[0].isdecimal() and "312 MB" in line]
    assert [line.split()[0] for line in shown] == [str(20 + index) for index in range(len(shown))]
    assert [line.strip() for line in lines if "more running" in line] == [f"and {3000 - len(shown)} more running"]
    assert "3000 running" in lines[3]
    assert len(shown) > height - 15


def test_columns_give_way_to_the_metrics_where_it_is_narrow() -> None:
    headings = {width: drawn(snapshot(), width)[5].split() for width in (80, 60, 44, 38)}

    assert headings[80] == ["trial", "epoch", "time", "it/s", "device", "memory", "metrics"]
    assert headings[60] == ["trial", "epoch", "time", "it/s", "device", "metrics"]
    assert headings[44] == ["trial", "epoch", "it/s", "metrics"]
    assert headings[38] == ["trial", "epoch", "metrics"]
    assert "val_loss 0.25" in row(drawn(snapshot(), 38), 20)


def test_a_task_that_does_not_say_how_far_it_is_runs_and_shows_its_step() -> None:
    taken = snapshot(1, running=(running(5, epoch=None, epochs=None, iterations=None),))
    silent = running(6, epoch=None, epochs=None, iteration=None, iterations=None, speed=None, metrics={})

    assert row(drawn(taken), 5).split()[1:3] == ["running", "300"]
    lines = drawn(snapshot(1, running=(silent,), ended=()))
    assert row(lines, 6).split() == ["6", "running", "1:03", "cuda:0", "312", "MB"]


def test_a_trial_of_several_seeds_says_which_one_runs() -> None:
    taken = snapshot(1, running=(running(5, replicate=1),), num_replicates=3)

    assert "seed 2/3 3/10" in row(drawn(taken), 5)


def test_before_the_first_trial_has_ended() -> None:
    lines = drawn(snapshot(1, standing=Standing({State.RUNNING: 1}), left_s=None, ended=(), warning=None))

    assert lines[1].endswith("  0/20  3:41")
    assert lines[2:4] == ["no trial is complete yet", "1 running, 0 failed"]


def test_an_experiment_whose_end_nobody_knows_has_no_bar() -> None:
    assert drawn(snapshot(total=None, left_s=None))[1] == "13 trials  3:41"


def test_when_all_is_done_nothing_is_left() -> None:
    assert drawn(snapshot(0, num_complete=18, left_s=0.0))[1].endswith("━  20/20  3:41")


def test_with_several_objectives_the_pareto_set_is_counted() -> None:
    taken = snapshot(standing=Standing({}, Best("0007_1f3a", "val_loss", 0.5, num_pareto=4)))

    assert drawn(taken)[2] == "best val_loss 0.5 in trial 0007_1f3a, one of 4 in the Pareto set"


def test_a_terminal_that_is_not_of_unicode_gets_a_bar_of_dashes() -> None:
    lines = drawn(snapshot(), encoding="ascii")

    assert lines[1].startswith("---")
    assert row(lines, 20) == "   20  --         3/10  1:03   812  cuda:0  312 MB  val_loss 0.25"


def test_markup_and_line_ends_in_a_reason_are_shown_as_they_are() -> None:
    end = EndedTrial(1, State.FAIL, NOW - 1.0, NOW, "cpu", {}, "KeyError: [red]x[/red]\nand more")

    lines = drawn(snapshot(0, ended=(end,), warning=None), 120)

    assert row(lines, 1).endswith("KeyError: [red]x[/red] and more")
