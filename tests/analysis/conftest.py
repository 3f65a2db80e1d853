from __future__ import annotations

from pathlib import Path

import pytest

from hpo.analysis.loading import Loaded, load
from hpo.analysis.subject import Subject, chosen
from tests.synthetic import make_experiment

pytest.importorskip("pandas")
pytest.importorskip("seaborn")
pytest.importorskip("plotly")


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of tests/synthetic.py, whose docstring says what is planted in it."""
    return make_experiment(tmp_path_factory.mktemp("synthetic"), 240, seed=5, num_directories=240, num_running=2)


@pytest.fixture(scope="session")
def loaded(synthetic: Path) -> Loaded:
    return load(synthetic)


@pytest.fixture(scope="session")
def subject(loaded: Loaded) -> Subject:
    return chosen(loaded)
