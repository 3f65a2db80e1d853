"""How a process that has run a trial leaves, or makes itself ready for another one."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading

# until those who wonder why a process stays are told
_REMARK_S = 4.0


def leave() -> None:
    """What the interpreter does at its end, but for taking every module apart."""
    with contextlib.suppress(Exception):
        if _that_hold():
            remark = threading.Timer(_REMARK_S, _name_those_that_hold)
            remark.daemon = True
            remark.start()
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
    if _that_hold():
        return False
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _that_hold() -> list[threading.Thread]:
    """The threads for whose end the interpreter waits."""
    mine = (threading.current_thread(), threading.main_thread())
    return [thread for thread in threading.enumerate() if not thread.daemon and thread not in mine]


def _name_those_that_hold() -> None:
    names = ", ".join(thread.name for thread in _that_hold())
    if names:
        print(f"the trial's process waits for threads that are no daemons: {names}", file=sys.stderr, flush=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
