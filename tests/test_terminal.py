"""A terminal that goes away: what runs goes on without it."""

from __future__ import annotations

import subprocess
import sys


def run(code: str, redirection: str = "") -> subprocess.CompletedProcess[str]:
    command = f'set -o pipefail; "$0" -c "$1" {redirection}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, code], capture_output=True, text=True, check=False, timeout=60
    )


def test_what_is_shown_is_there_at_once() -> None:
    assert run("from hpo.terminal import show; import os; show('seen'); os._exit(0)").stdout == "seen\n"


def test_lines_after_the_reader_has_left_go_nowhere() -> None:
    code = "from hpo.terminal import show; [show('line') for _ in range(100_000)]"
    done = run(code, "| head -n 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "")


def test_a_full_device_is_no_error_at_the_end() -> None:
    done = run("from hpo.terminal import flush, show; show('x'); flush()", ">/dev/full")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_descriptor_that_is_closed_is_taken_by_no_file() -> None:
    code = (
        "import os, sys\n"
        "from hpo.terminal import open_what_is_closed\n"
        "open_what_is_closed()\n"
        "print('nowhere')\n"
        "fd = os.open(os.devnull, os.O_RDONLY)\n"
        "sys.exit(0 if fd > 2 else 1)\n"
    )
    assert run(code, ">&- 2>&-").returncode == 0


def test_log_records_end_with_the_terminal_and_no_complaint() -> None:
    code = (
        "import logging\n"
        "from hpo.terminal import TerminalHandler\n"
        "logger = logging.getLogger('a')\n"
        "logger.addHandler(TerminalHandler())\n"
        "for _ in range(100_000):\n"
        "    logger.warning('line')\n"
    )
    done = run(code, "| head -n 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "")
