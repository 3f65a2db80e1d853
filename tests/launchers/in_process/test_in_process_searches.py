"""Whole searches in the scheduler's own process."""

from __future__ import annotations

import pytest

from tests.launchers.search_contract import SearchContract


@pytest.mark.slow
class TestInProcessSearches(SearchContract):
    launcher = ("hydra/launcher=in_process",)
    concurrency = 1
