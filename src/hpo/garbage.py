"""The collector of garbage, which has nothing to do until trials run, and takes a tenth of the time until then."""

from __future__ import annotations

import gc


def leave() -> None:
    """Collect nothing while the command starts up."""
    gc.disable()


def collect() -> None:
    """Collect again, but for what is here: no collection, and none at the interpreter's exit, looks at it."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
