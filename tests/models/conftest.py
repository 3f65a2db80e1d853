from __future__ import annotations

from collections.abc import Iterator

import pytest
from hydra.utils import execution_whitelist

from hpo.targets import BUILT_IN


@pytest.fixture(autouse=True)
def allowed_targets() -> Iterator[None]:
    with execution_whitelist(BUILT_IN):
        yield
