"""How a process that has run a trial leaves, or makes itself ready for another one."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading


def leave() -> None:
    """What the interpreter does at its end, but for taking every module apart."""
    with contextlib.suppress(Exception):
        # waits for threads that are no daemons; the interpreter's own, and so without a type
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    _flush()


def comes_to_rest() -> bool:
    """Let go of what the trial held; whether nothing of it runs on, in this process or below it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        # tensors in cycles, and loaders whose workers end with them
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
    _flush()
    here = threading.current_thread()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not here):
        return False
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
