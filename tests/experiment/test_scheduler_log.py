from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from hpo.experiment.scheduler_log import LOGGER, TRIALS, SchedulerLog


@pytest.mark.parametrize("silent", [False, True])
def test_the_file_gets_every_line_and_the_terminal_plain_ones_unless_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], silent: bool
) -> None:
    log = SchedulerLog(tmp_path / "log", silent=silent)
    LOGGER.info("trial 0000 started")
    LOGGER.warning("trial 0000 FAIL: ä")
    log.close()

    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", line) for line in lines] == [
        "INFO trial 0000 started",
        "WARNING trial 0000 FAIL: ä",
    ]
    printed = capsys.readouterr().out.splitlines()
    assert printed == (["trial 0000 FAIL: ä"] if silent else ["trial 0000 started", "trial 0000 FAIL: ä"])


def test_beside_a_table_the_terminal_shows_warnings_and_what_is_of_no_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warned: list[str] = []
    has_table = True
    log = SchedulerLog(tmp_path / "log", silent=False, has_table=lambda: has_table, warn=warned.append)
    TRIALS.info("trial 0000 started")
    TRIALS.warning("trial %s FAIL", "0000")
    LOGGER.info("the search ends")
    has_table = False
    TRIALS.info("trial 0001 started")
    with log.silenced():
        TRIALS.warning("nothing")
        LOGGER.warning("nothing")
    log.close()
    TRIALS.warning("late")

    assert capsys.readouterr().out.splitlines() == ["trial 0000 FAIL", "the search ends", "trial 0001 started"]
    assert len((tmp_path / "log").read_text().splitlines()) == 4
    assert warned == ["trial 0000 FAIL"]


def test_what_optuna_says_goes_into_the_file(tmp_path: Path) -> None:
    log = SchedulerLog(tmp_path / "log", silent=True)
    logging.getLogger("optuna").warning("The value nan is not acceptable")
    log.close()

    assert "WARNING The value nan is not acceptable" in (tmp_path / "log").read_text()


def test_a_closed_log_writes_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = SchedulerLog(tmp_path / "log", silent=False)
    log.close()
    LOGGER.warning("late")
    logging.getLogger("optuna").warning("late")

    assert (tmp_path / "log").read_text() == ""
    assert "late" not in capsys.readouterr().out
