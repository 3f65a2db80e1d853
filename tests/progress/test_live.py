"""The live view on a real pseudo-terminal, with all that may be printed meanwhile."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.progress.terminals import Screen, python, terminal

# a table that says how often it was asked for; `go(text)` waits until that is printed to the terminal
_BEGIN = f"""
import sys; sys.path.insert(0, {str(REPOSITORY)!r})
import itertools, logging, os, subprocess, threading, time, warnings
from hpo.progress.live import LiveView
from tests.progress.snapshots import snapshot
looks = itertools.count()
seen = threading.Semaphore(0)
def take(num_running):
    taken = snapshot(min(NUM, 50), num_running=NUM, warning=None, ended=(), said=f'look {{next(looks)}}')
    seen.release()
    return taken
def look(times=2):
    for _ in range(times):
        seen.acquire()
view = LiveView(take, period_s=0.02)
"""
_TITLE = "experiment 1901_aa90: look "


def code(body: str, num_running: int = 3) -> list[str]:
    return python(f"{_BEGIN.replace('NUM', str(num_running))}\n{body}")


def num_tables(screen: Screen) -> int:
    return screen.visible.count(_TITLE)


def test_the_table_is_drawn_at_its_place_and_leaves_nothing_behind() -> None:
    body = "view.start(); look(5); input(); view.close(); print('after')"
    with terminal(code(body)) as there:
        there.until_shown(f"{_TITLE}4")
        assert num_tables(there.screen) == 1
        assert not there.screen.is_cursor_shown
        there.press("\n")
        assert there.end() == 0

    assert there.screen.text.strip() == "after"
    assert there.screen.is_cursor_shown


def test_whatever_is_printed_stands_above_the_table_in_its_order() -> None:
    body = """
logging.basicConfig(format='%(message)s')
print('before')
view.start(); look()
print('print'); print('unfinished', end='')
os.write(1, b' from C\\n'); os.write(2, b'error from C\\n')
logging.warning('logging'); warnings.warn('a warning')
subprocess.run(['sh', '-c', 'echo child; echo its error >&2'])
print('\\x1b[31mred\\x1b[0m and \\x1b[2Jodd \\x07')
threading.Thread(target=print, args=('thread',)).start()
sys.stdout.flush()
look(3)
input()
print('late')
view.close()
print('after')
"""
    with terminal(code(body)) as there:
        there.until_shown("thread")
        there.until_shown(_TITLE)
        lines = there.screen.text.splitlines()
        assert lines.index("thread") < next(at for at, line in enumerate(lines) if _TITLE in line)
        assert num_tables(there.screen) == 1
        there.press("\n")
        assert there.end() == 0

    lines = [line for line in there.screen.text.splitlines() if line and not line.startswith("  ")]
    assert [line.rpartition("UserWarning: ")[2] for line in lines] == [
        *("before", "print", "unfinished from C", "error from C", "logging", "a warning", "child", "its error"),
        *("red and odd", "thread", "late", "after"),
    ]


def test_much_that_is_printed_while_nobody_can_draw_makes_no_one_wait() -> None:
    body = """
view.start(); look()
line = b'x' * 79 + b'\\n'
for _ in range(20_000):  # more than a pipe would hold
    os.write(1, line)
print('end')
view.close()
"""
    with terminal(code(body)) as there:
        assert there.end() == 0

    lines = there.screen.text.split()
    assert (len(lines), lines[0], lines[-1]) == (20_001, "x" * 79, "end")


def newest_look(screen: Screen) -> int:
    return max(map(int, re.findall(r"look (\d+)", screen.visible)), default=-1)


@pytest.mark.parametrize(
    "sizes", [[(24, 60)], [(24, 33)], [(24, 120)], [(14, 80)], [(16, 60), (30, 100), (24, 40)]], ids=str
)
def test_a_terminal_of_another_size_gets_one_table_of_that_size(sizes: list[tuple[int, int]]) -> None:
    body = "print('above'); view.start(); look(3); input(); view.close(); print('after')"
    with terminal(code(body, num_running=3)) as there:
        there.until_shown(f"{_TITLE}2")
        for rows, columns in sizes:
            before = newest_look(there.screen)
            there.resize(rows, columns)
            there.until(lambda screen, before=before: newest_look(screen) > before + 3)  # type: ignore[misc]
            assert num_tables(there.screen) == 1, there.screen.text
            assert max(map(len, there.screen.text.splitlines())) <= columns
        there.press("\n")
        assert there.end() == 0

    assert there.screen.text.split() == ["above", "after"]


@pytest.mark.parametrize(("rows", "columns"), [(24, 60), (10, 80), (9, 33)])
def test_a_table_that_fills_the_terminal_fills_a_smaller_one(rows: int, columns: int) -> None:
    body = "print('above'); view.start(); look(3); input(); view.close(); print('after')"
    with terminal(code(body, num_running=5000)) as there:
        there.until_shown(f"{_TITLE}2")
        there.resize(rows, columns)
        there.until(lambda screen: newest_look(screen) > 6)
        assert num_tables(there.screen) == 1, there.screen.visible
        there.press("\n")
        assert there.end() == 0

    assert there.screen.visible.split()[-1] == "after"
    assert num_tables(there.screen) == 0, there.screen.visible


def test_a_terminal_that_goes_away_is_let_go() -> None:
    body = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
view.start()
while view.is_open:
    time.sleep(0.01)
print('goes nowhere'); os.write(2, b'nor this')
view.close()
os.write(3, b'done')
"""
    with Reader() as reader, terminal(_with_descriptor_3(code(body), reader.path)) as there:
        there.until_shown(_TITLE)
        there.hang_up()
        assert there.process.wait(60) == 0
        assert reader.text == "done"


class Reader:
    """A file for what a process says that has lost its terminal."""

    def __enter__(self) -> Reader:
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "said"
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    @property
    def text(self) -> str:
        return self.path.read_text()


def _with_descriptor_3(command: list[str], path: Path) -> list[str]:
    return ["bash", "-c", f'exec "$@" 3> {path}', "bash", *command]


def test_what_cannot_be_drawn_ends_the_table_and_nothing_else() -> None:
    body = """
def take(num_running):
    raise KeyError('gone')
view = LiveView(take)
view.start()
print('said')
while view.is_open:
    time.sleep(0.01)
print('after')
view.close()
"""
    with terminal(code(body)) as there:
        assert there.end() == 0

    assert there.screen.text.split("\n")[:3] == [
        "said",
        "the table ends, and lines follow: KeyError: 'gone'",
        "after",
    ]


def test_an_error_of_the_program_is_told_below_the_table() -> None:
    body = """
try:
    view.start(); look()
    raise RuntimeError('of the program')
finally:
    view.close()
"""
    with terminal(code(body)) as there:
        assert there.end() == 1

    lines = there.screen.text.strip().split("\n")
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "RuntimeError: of the program"


def test_a_breakpoint_gets_the_terminal_in_the_frame_that_set_it() -> None:
    body = """
def train():
    marker = 'in the frame'
    breakpoint()
    print('goes on')
view.start(); look()
train()
view.close()
"""
    with terminal(code(body)) as there:
        there.until_shown("(Pdb)")
        assert num_tables(there.screen) == 0
        there.press("print(marker.upper())\n")
        there.until_shown("IN THE FRAME")
        there.press("continue\n")
        assert there.end() == 0

    assert "goes on" in there.screen.text


def test_colours_are_left_out_where_they_are_not_wanted() -> None:
    found = {}
    for wanted, environment in ((True, {}), (False, {"NO_COLOR": "1"})):
        with terminal(code("view.start(); look(); view.close()"), environment=environment) as there:
            assert there.end() == 0
        found[wanted] = {part for codes in there.screen.codes for part in codes.split(";")}
    assert "36" in found[True]
    assert found[False] <= {"0", "1", "2"}, "no colour, though dim and bold"


def test_a_terminal_that_is_not_of_unicode_is_drawn_in_ascii() -> None:
    with terminal(
        code("view.start(); look(); input(); view.close()"), environment={"PYTHONIOENCODING": "ascii"}
    ) as there:
        there.until_shown("312 MB")
        assert there.screen.text.isascii()
        there.press("\n")
        assert there.end() == 0


def test_standard_error_that_goes_elsewhere_stays_there(tmp_path: Path) -> None:
    command = code("view.start(); look(); print('to a file', file=sys.stderr); view.close()")
    with terminal(["bash", "-c", f'exec "$@" 2> {tmp_path / "errors"}', "bash", *command]) as there:
        assert there.end() == 0

    assert (tmp_path / "errors").read_text() == "to a file\n"


@pytest.mark.parametrize("kind", ["", "dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_is_not_drawn_on(kind: str) -> None:
    with terminal(
        python("from hpo.terminal import is_live; print(is_live())"), environment={"TERM": kind}
    ) as there:
        there.end()
    assert there.screen.text.strip() == "False"


def test_neither_is_what_is_no_terminal() -> None:
    for prelude in ("", "import io, sys; sys.stdout = io.StringIO(); ", "import sys; sys.stdout.close(); "):
        done = subprocess.run(
            python(f"import sys; from hpo.terminal import is_live; {prelude}sys.exit(is_live())"), check=False
        )
        assert done.returncode == 0


def test_nothing_is_imported_for_it_before_it_starts() -> None:
    done = subprocess.run(
        python("import sys, hpo.progress.live, hpo.progress.board; sys.exit('rich.console' in sys.modules)"),
        check=False,
    )
    assert done.returncode == 0
