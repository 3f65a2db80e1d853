"""The command: runs what its arguments say and turns how that ended into words and an exit status."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hpo import garbage
from hpo.command import FULL_ERROR, TERMINATING, Terminated, execute, terminate
from hpo.errors import DeviceError, DiskError, HpoError, StoreError
from hpo.interrupts import Stopped
from hpo.opened import noting_opened
from hpo.terminal import abandon, flush, open_what_is_closed

COMPLETED = 0
STOPPED = 75
NONE_COMPLETED = 1
BAD_INPUT = 2
INTERRUPTED = 130
_SIGNALLED = 128


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0, 1 (no trial completed), 2 (bad input), 75 (stopped in order), 130, 143."""
    garbage.leave()
    open_what_is_closed()
    opened: Sequence[Path] = ()
    for number in TERMINATING:
        signal.signal(number, terminate)
    try:
        import hpo.faults  # noqa: F401 - the first process to import it is the scheduler

        with noting_opened() as opened:
            completed = execute(sys.argv[1:] if arguments is None else arguments)
        _exit(COMPLETED if completed else NONE_COMPLETED)
    except Stopped:
        _exit(STOPPED)
    except Terminated as error:
        _say_if_early(error, opened)
        _exit(_SIGNALLED + error.number)
    except KeyboardInterrupt as error:
        _say_if_early(error, opened)
        _exit(INTERRUPTED)
    except HpoError as error:
        # the traceback only for those who ask
        if os.environ.get(FULL_ERROR) == "1":
            traceback.print_exception(error)
        print(f"hpo: {error}", file=sys.stderr)
        _exit(STOPPED if isinstance(error, DiskError | DeviceError | StoreError) else BAD_INPUT)
    except BrokenPipeError:
        abandon()  # a reader of --help or --cfg that has seen enough
        sys.exit(COMPLETED)
    finally:
        garbage.collect()


def _say_if_early(error: BaseException, opened: Sequence[Path]) -> None:
    """An experiment that was opened has said what became of it."""
    if not opened:
        print(f"hpo: ended by {str(error) or 'Ctrl-C'} before anything had started", file=sys.stderr)


def _exit(status: int) -> NoReturn:
    flush()
    sys.exit(status)
