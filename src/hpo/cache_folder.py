"""Where hpo keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$HPO_CACHE_DIR, or hpo in the user's cache folder. Raises OSError where there is no home."""
    own = os.environ.get("HPO_CACHE_DIR")
    try:
        if own:
            return Path(own).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hpo"
    except RuntimeError as error:
        raise OSError(str(error)) from error
