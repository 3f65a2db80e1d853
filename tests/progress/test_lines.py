"""Whole lines of what is printed while the table is there."""

from __future__ import annotations

from hpo.progress.lines import Lines


def test_lines_come_when_they_are_whole() -> None:
    lines = Lines()

    assert lines.take(b"one\ntw") == ["one"]
    assert lines.take(b"o\r\n\nthree\n") == ["two", "", "three"]
    assert lines.take(b"the last", is_last=True) == ["the last"]


def test_a_bar_that_is_drawn_again_and_again_is_one_line_when_it_is_done() -> None:
    lines = Lines()

    assert [lines.take(f"\r{percent} %".encode()) for percent in range(0, 100, 10)] == [[]] * 10
    assert [lines.take(b"") for _ in range(10)] == [[]] * 10
    assert lines.take(b"\r100 %\n") == ["100 %"]


def test_a_question_is_shown_when_nothing_follows_it() -> None:
    lines = Lines()

    assert [lines.take(data) for data in (b"(Pdb) ", b"", b"", b"")] == [[], [], ["(Pdb) "], []]


def test_a_character_that_was_cut_and_one_that_is_none() -> None:
    lines = Lines()

    assert lines.take("ä".encode()[:1]) == []
    assert lines.take("ä".encode()[1:] + b"\n\xff\n") == ["ä", "\ufffd"]
