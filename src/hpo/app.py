"""The command: composes the configuration and runs a search, or one trial."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hpo import config as run_config
from hpo.ending import end, has_closers
from hpo.errors import ConfigError, HpoError
from hpo.resolvers import register_resolvers
from hpo.search_path import PRIMARY_PATH, not_in_utf8
from hpo.targets import allowed_targets
from hpo.terminal import abandon, flush, open_what_is_closed

COMPLETED = 0
NONE_COMPLETED = 1
BAD_INPUT = 2
INTERRUPTED = 130
_SIGNALLED = 128

TERMINATING = (signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """A signal to end: not a SystemExit, which a task that runs in this process may raise for itself."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


_MISTAKES = (HpoError, HydraException, OmegaConfBaseException, yaml.YAMLError)
_wants_traceback = False

run_config.register()
register_resolvers()


def run(config: DictConfig) -> Any:
    """Hydra's task function: one trial of a multirun, or (without --multirun) an experiment of one trial."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from hpo.trial.attempt import run_trial

        return run_trial(config)
    from hpo.search.single import run_single

    try:
        return run_single(config)
    except _MISTAKES as error:
        # Hydra would report an exception of its job in its own words
        _exit_for(error)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its status: 0, 1 (no trial completed), 2 (bad input), 130, 143."""
    if arguments is None:
        arguments = sys.argv[1:]
    open_what_is_closed()
    # as `python -m` has it: the installed command finds the project's package as well
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    sys.argv[1:] = ["dry_run=true" if argument == "--dry-run" else argument for argument in arguments]
    for number in TERMINATING:
        signal.signal(number, _terminate)
    global _wants_traceback
    _wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra would print a traceback and exit with status 1; this makes it hand its errors to us
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(config_path=PRIMARY_PATH, config_name="default_config", execution_whitelist=allowed_targets())(
            run
        )()
        _exit(COMPLETED if end() else NONE_COMPLETED)
    except Terminated as error:
        end(error)
        _exit(_SIGNALLED + error.number)
    except KeyboardInterrupt as error:
        end(error)
        _exit(INTERRUPTED)
    except _MISTAKES as error:
        end(error)
        _exit_for(error)
    except UnicodeDecodeError as error:
        unreadable = not_in_utf8(Path.cwd())
        if unreadable is None:
            raise
        _exit_for(ConfigError(f"{unreadable} is not UTF-8: {error}"))
    except BrokenPipeError:
        abandon()  # a reader of --help or --cfg that has seen enough
        sys.exit(COMPLETED)
    except Exception as error:
        # Hydra's sweepers raise what a trial raised, and the stock one when there is no best trial
        is_driven = has_closers()
        completed = end(error)
        if is_driven:
            first_line = (str(error).splitlines() or [""])[0]
            print(f"hpo: the sweeper ended with {type(error).__name__}: {first_line}", file=sys.stderr)
            _exit(COMPLETED if completed else NONE_COMPLETED)
        raise


def _exit_for(error: BaseException) -> NoReturn:
    """Tell the user what is wrong; the traceback only when HYDRA_FULL_ERROR=1 asks for it."""
    if _wants_traceback:
        traceback.print_exception(error)
    print(f"hpo: {_message(error)}", file=sys.stderr)
    _exit(BAD_INPUT)


def _exit(status: int) -> NoReturn:
    flush()
    sys.exit(status)


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated(number)


def _message(error: BaseException) -> str:
    """The error in the user's words: Hydra's composition errors carry theirs in the cause."""
    within: BaseException | None = error
    while within is not None:
        if isinstance(within, HpoError):  # also in an interpolation that OmegaConf resolved
            return str(within)
        within = within.__cause__ or within.__context__
    lines = [str(error)] if str(error) else []
    cause = error.__cause__
    if cause is not None and str(cause) and str(cause) not in str(error):
        lines.append(str(cause))
    return "\n".join(lines)
