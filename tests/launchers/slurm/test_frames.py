"""Files that one process appends to and another reads: whatever is cut, frames are whole."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo_launchers.slurm._frames import FrameReader, FrameWriter


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(st.binary(max_size=50), min_size=1, max_size=5), part=st.floats(0, 1))
def test_a_file_that_is_cut_anywhere_shows_the_frames_before(
    tmp_path: Path, frames: list[bytes], part: float
) -> None:
    path = tmp_path / "frames"
    path.unlink(missing_ok=True)
    FrameWriter(path).append(frames)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    reader = FrameReader(path)
    first = reader.read()
    assert first == frames[: len(first)]

    # the next writer goes on where the last whole one ends
    FrameWriter(path).append([b"next"])
    assert reader.read() == [b"next"]
    assert FrameReader(path).read() == [*first, b"next"]


def test_a_frame_that_is_half_there_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    FrameWriter(path).append(["first", "second"])
    data = path.read_bytes()
    path.write_bytes(data[:-3])
    reader = FrameReader(path)
    assert reader.read() == ["first"]
    # as a network filesystem shows it that knows the length before the contents
    path.write_bytes(data[:-3] + b"\0\0\0")
    assert reader.read() == []
    path.write_bytes(data)
    assert reader.read() == ["second"]


def test_what_nobody_has_written_has_no_frames(tmp_path: Path) -> None:
    assert FrameReader(tmp_path / "frames").read() == []
