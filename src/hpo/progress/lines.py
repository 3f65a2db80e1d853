"""What is printed while the table is there, made into whole lines to be shown above it."""

from __future__ import annotations

import codecs

_PATIENCE = 2


class Lines:
    """A line that has no end is held back: as long as it grows, and where it is a bar that is drawn again."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._idle = 0

    def take(self, data: bytes, *, is_last: bool = False) -> list[str]:
        """The lines that can be shown now."""
        text = self._decoder.decode(data, is_last)
        *lines, self._rest = (self._rest + text).replace("\r\n", "\n").split("\n")
        self._idle = 0 if text else self._idle + 1
        # somebody asks something and waits for an answer
        is_prompt = self._idle >= _PATIENCE and "\r" not in self._rest
        if self._rest and (is_last or is_prompt):
            lines.append(self._rest)
            self._rest = ""
        # of a line that was written over and over the last version stands
        return [line.rstrip("\r").rpartition("\r")[2] for line in lines]
