"""Draws a snapshot as rich renderables: pure, so that it can be looked at without a terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.progress import words
from hpo.progress.snapshot import EndedTrial, RunningTrial, Snapshot
from hpo.records import State

_STYLES = {State.COMPLETE: "green", State.FAIL: "bold red", State.FAIL_RECOVERABLE: "red"}
_PRUNED_STYLE = "yellow"
_DIM = "dim"
_GAP = 2
# lines above and below the trials: title, bar, best, counts, an empty one, the heading, the warning
_NUM_OTHER_LINES = 7
_MIN_METRICS = 14
_MIN_BAR, _WIDE_BAR = 8, 16
_WIDE = 100
# what gives way first where the columns do not fit
_GIVE_WAY = ("memory", "device", "time", "it/s", "epoch")


@dataclass(frozen=True)
class Layout:
    """How many trials of each kind fit a terminal of some height."""

    num_running: int
    num_ended: int

    @classmethod
    def of(cls, height: int, num_running: int, num_ended: int) -> Layout:
        """Running ones first, but for the last few that ended; a line says how many more run."""
        room = max(height - _NUM_OTHER_LINES, 0)
        kept = min(num_ended, max(room // 4, room - num_running))
        left = room - kept
        if num_running > left:
            return cls(left - 1, kept) if left > 1 else cls(0, 0)
        return cls(num_running, kept)


def render(snapshot: Snapshot, *, width: int, height: int) -> RenderableType:
    """At most `height` lines, none longer than `width`."""
    lines: list[RenderableType] = [_title(snapshot), _bar(snapshot, width), *_standing(snapshot)]
    layout = Layout.of(height, snapshot.num_running, len(snapshot.ended))
    if snapshot.running[: layout.num_running] or layout.num_ended:
        lines += [Text(""), _trials(snapshot, layout, width)]
    if snapshot.warning is not None:
        lines.append(_warning(snapshot))
    return Group(*lines[: max(height, 1)])


def max_running(height: int) -> int:
    """How many running trials a terminal of that height could show."""
    return max(height - _NUM_OTHER_LINES, 0)


def _title(snapshot: Snapshot) -> Text:
    title = Text(f"experiment {snapshot.experiment_id}", style="bold", no_wrap=True, overflow="ellipsis")
    if snapshot.said:
        title.append(f": {snapshot.said}")
    return title.append(f"  {snapshot.directory}", style="not bold dim")


def _bar(snapshot: Snapshot, width: int) -> RenderableType:
    done, total = snapshot.standing.num_done, snapshot.total
    said = f"{done}/{total}" if total is not None else f"{done} trials"
    said += f"  {words.clock(snapshot.elapsed_s)}"
    if snapshot.left_s is not None and (total is None or done < total):
        said += f"  about {words.clock(snapshot.left_s)} left"
    if total is None:
        return _line(said)
    of_running = sum(trial.fraction or 0.0 for trial in snapshot.running)
    line = Table.grid(padding=(0, _GAP, 0, 0))
    bar_width = max(width - len(said) - _GAP, _MIN_BAR)
    line.add_column(width=bar_width, no_wrap=True)
    line.add_column(no_wrap=True, overflow="ellipsis")
    completed = min(done + of_running, total)
    line.add_row(_progress(completed, max(total, 1), bar_width), Text(said))
    return line


def _standing(snapshot: Snapshot) -> list[RenderableType]:
    best = snapshot.standing.best
    line = Text(no_wrap=True, overflow="ellipsis")
    if best is None:
        line.append("no trial is complete yet", style=_DIM)
    else:
        line.append("best ").append(f"{best.name} {words.number(best.value)}", style="bold")
        line.append(f" in trial {best.trial_id}")
        if best.num_pareto > 1:
            line.append(f", one of {best.num_pareto} in the Pareto set")
    return [line, _line(words.counts(snapshot.standing.counts))]


def _trials(snapshot: Snapshot, layout: Layout, width: int) -> Table:
    """One table: the running trials, and below them the last ones that ended, the newest first."""
    running, ended = snapshot.running[: layout.num_running], snapshot.ended[: layout.num_ended]
    rows = [_of_running(trial, snapshot) for trial in running] + [_of_ended(trial) for trial in ended]
    columns = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0] if name != "trial"}
    columns = {"trial": max(len("trial"), *(len(row["trial"]) for row in rows)), **columns}
    columns["progress"] = max(columns["progress"], _MIN_BAR if width < _WIDE else _WIDE_BAR)
    for name in _GIVE_WAY:
        if not any(row[name] for row in rows) or width - _widths(columns) < _MIN_METRICS:
            del columns[name]
    room = max(width - _widths(columns), 1)
    table = Table.grid(padding=(0, _GAP, 0, 0))
    for name, size in columns.items():
        justify = "left" if name in ("progress", "device") else "right"
        table.add_column(width=size, no_wrap=True, justify=justify, overflow="ellipsis")  # type: ignore[arg-type]
    table.add_column(width=room, no_wrap=True, overflow="ellipsis")
    headings = [name if name != "progress" else "" for name in columns]
    table.add_row(*headings, "metrics", style=_DIM)
    for trial, row in zip(running, rows, strict=False):
        cells: list[RenderableType] = [Text(row[name]) for name in columns]
        if trial.fraction is not None:
            bar = _progress(trial.fraction, 1.0, columns["progress"])
            cells[list(columns).index("progress")] = bar
        table.add_row(*cells, Text(words.metrics(trial.metrics, snapshot.objectives, room)))
    if snapshot.num_running > len(running):
        more = f"and {snapshot.num_running - len(running)} more running"
        table.add_row(*[""] * len(columns), more, style=_DIM)
    for end, row in zip(ended, rows[len(running) :], strict=True):
        cells = [Text(row[name]) for name in columns]
        cells[list(columns).index("progress")] = Text(row["progress"], style=_style(end.state))
        said = words.metrics(end.metrics, snapshot.objectives, room)
        if end.reason is not None and end.state is not State.COMPLETE:
            said = " ".join(end.reason.split())
        table.add_row(*cells, Text(said), style=_DIM if end.state is not State.FAIL else "")
    return table


def _widths(columns: dict[str, int]) -> int:
    """What columns take with the gaps behind them."""
    return sum(columns.values()) + _GAP * len(columns)


def _of_running(trial: RunningTrial, snapshot: Snapshot) -> dict[str, str]:
    epoch = f"{trial.epoch}/{trial.epochs}" if trial.epoch is not None and trial.epochs else ""
    if not epoch and trial.iteration is not None:
        epoch = f"{trial.iteration}/{trial.iterations}" if trial.iterations else str(trial.iteration)
    if snapshot.num_replicates > 1:
        epoch = f"seed {trial.replicate + 1}/{snapshot.num_replicates} {epoch}".rstrip()
    return {
        "trial": str(trial.number),
        "progress": "running",
        "epoch": epoch,
        "time": words.clock(snapshot.time - trial.started),
        "it/s": words.speed(trial.speed) if trial.speed is not None else "",
        "device": trial.device or "",
        "memory": words.size(trial.memory) if trial.memory is not None else "",
    }


def _of_ended(trial: EndedTrial) -> dict[str, str]:
    return {
        "trial": str(trial.number),
        "progress": words.state(trial.state),
        "epoch": "",
        "time": words.clock(trial.ended - trial.started) if trial.started is not None else "",
        "it/s": "",
        "device": trial.device or "",
        "memory": "",
    }


def _warning(snapshot: Snapshot) -> Text:
    assert snapshot.warning is not None
    at = time.strftime("%H:%M:%S", time.localtime(snapshot.warning.time))
    text = " ".join(snapshot.warning.text.split())
    return Text(f"{at} ", style=_DIM, no_wrap=True, overflow="ellipsis").append(text, style="not dim yellow")


def _style(state: State) -> str:
    return _STYLES.get(state, _PRUNED_STYLE if state.is_pruned else "")


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _progress(completed: float, total: float, width: int) -> ProgressBar:
    return ProgressBar(
        total=total, completed=completed, width=width, complete_style="cyan", finished_style="green"
    )
