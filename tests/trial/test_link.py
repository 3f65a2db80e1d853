from __future__ import annotations

from hpo.records import Ended, State
from hpo.trial.link import NullLink, current_link


def test_without_a_launcher_of_ours_nobody_listens() -> None:
    link = current_link.get()

    assert isinstance(link, NullLink)
    assert link.send(Ended(0, State.FAIL)) is None  # type: ignore[func-returns-value]  # the point
    assert link.stop_requested() is None
