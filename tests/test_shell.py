"""What a shell makes of the commands that are printed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hpo.shell import joined, resume_command


def test_single_quotes_are_put_into_double_ones() -> None:
    assert joined(["python", "name='my run'", "a b"]) == """python "name='my run'" 'a b'"""


@pytest.mark.parametrize(
    "word", ["", "plain", "a b", "it's", "'$HOME'", "'`id`'", "'a\\b'", "'!!'", "'say \"x\"'", "*", "ä\n'ö'"]
)
def test_a_shell_gives_back_each_word(word: str) -> None:
    line = joined(["printf", "%s|", word, "end"])

    assert subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout.decode() == f"{word}|end|"


def test_the_command_that_resumes_names_the_directory() -> None:
    assert resume_command(Path("/tmp/it's here")) == """python -m hpo.resume "/tmp/it's here\""""
