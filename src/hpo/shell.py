"""Commands as a user pastes them into a POSIX shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

# what double quotes leave to the shell
_LIVE = re.compile(r'["$`\\!]')


def joined(words: Iterable[str]) -> str:
    """The words as one line that a shell takes apart again; double quotes around a word with single ones."""
    return " ".join(f'"{word}"' if "'" in word and not _LIVE.search(word) else shlex.quote(word) for word in words)


def module_command(name: str, *arguments: str) -> str:
    """`python -m hpo.analysis DIR`, for example."""
    return joined(["python", "-m", name, *arguments])


def resume_command(directory: Path) -> str:
    """The command that goes on with the experiment in a directory."""
    return module_command("hpo.resume", str(directory))
