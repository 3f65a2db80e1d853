"""Whole searches in processes of this machine."""

from __future__ import annotations

import pytest

from tests.launchers.search_contract import SearchContract


@pytest.mark.slow
class TestLocalSearches(SearchContract):
    launcher = ("hydra/launcher=local",)
