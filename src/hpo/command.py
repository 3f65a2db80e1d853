"""One run from its arguments to its end, shared by the command and `hpo.run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from hpo import garbage
from hpo.ending import NoneCompleted, end, has_closers
from hpo.errors import ConfigError, HpoError
from hpo.group_choices import wrong_choice
from hpo.resolvers import register_resolvers
from hpo.search_path import PRIMARY_PATH, not_in_utf8
from hpo.targets import allowed_targets

TERMINATING = (signal.SIGTERM, signal.SIGHUP)
FULL_ERROR = "HYDRA_FULL_ERROR"

_MISTAKES = (HpoError, HydraException, OmegaConfBaseException, yaml.YAMLError)

run_config.register()
register_resolvers()


class Terminated(BaseException):
    """A signal to end: not a SystemExit, which a task that runs in this process may raise for itself."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """The handler of a signal in TERMINATING."""
    raise Terminated(number)


class _Mistaken(BaseException):
    """Carries a mistake past Hydra, which would report an exception of its job in its own words."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def run(config: DictConfig) -> Any:
    """Hydra's task function: one trial of a multirun, or (without --multirun) an experiment of one trial."""
    garbage.collect()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from hpo.trial.attempt import run_trial

        return run_trial(config)
    from hpo.search.single import run_single

    try:
        return run_single(config)
    except _MISTAKES as error:
        raise _Mistaken(error) from error


def execute(arguments: Sequence[str]) -> bool:
    """Run what the command's arguments say, in this process; whether a trial completed.

    Raises HpoError for a mistake of the user, whoever found it, and whatever else ended the run: Terminated,
    KeyboardInterrupt, Hydra's SystemExit after `--help`. sys.argv, sys.path and the environment are as they were
    afterwards.
    """
    with _as_the_command(arguments):
        try:
            hydra.main(
                config_path=PRIMARY_PATH, config_name="default_config", execution_whitelist=allowed_targets()
            )(run)()
            return end()
        except NoneCompleted as error:
            end(error)
            return False
        except _Mistaken as carried:
            end(carried.error)
            mistake = _in_our_words(carried.error)
        except _MISTAKES as error:
            end(error)
            mistake = _in_our_words(error)
        except UnicodeDecodeError as error:
            unreadable = not_in_utf8(Path.cwd())
            if unreadable is None:
                raise
            mistake = ConfigError(f"{unreadable} is not UTF-8: {error}")
        except (BrokenPipeError, SystemExit):
            raise
        except Exception as error:
            # Hydra's sweepers raise what a trial raised, and the stock one when there is no best trial
            is_driven = has_closers()
            completed = end(error)
            if is_driven:
                first_line = (str(error).splitlines() or [""])[0]
                print(f"hpo: the sweeper ended with {type(error).__name__}: {first_line}", file=sys.stderr)
                return completed
            wrong = wrong_choice(arguments)
            if wrong is None:
                raise
            wrong.__cause__ = error
            mistake = wrong
        except BaseException as error:
            end(error)
            raise
    raise mistake


@contextmanager
def _as_the_command(arguments: Sequence[str]) -> Iterator[None]:
    """This process as `python -m hpo` with these arguments has it."""
    argv, path, full_error = list(sys.argv), list(sys.path), os.environ.get(FULL_ERROR)
    sys.argv[1:] = ["dry_run=true" if argument == "--dry-run" else argument for argument in arguments]
    # the installed command, and a script that lies elsewhere, find the project's package as well
    added = [] if {"", str(Path.cwd())} & set(path) else [str(Path.cwd())]
    sys.path[:0] = added
    # Hydra would print a traceback and exit with status 1; this makes it hand its errors to us
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        sys.argv[:] = argv
        for entry in added:
            if entry in sys.path:
                sys.path.remove(entry)
        if full_error is None:
            os.environ.pop(FULL_ERROR, None)
        else:
            os.environ[FULL_ERROR] = full_error


def _in_our_words(error: BaseException) -> HpoError:
    """The error as hpo's own: Hydra's composition errors carry theirs in the cause."""
    within: BaseException | None = error
    while within is not None:
        if isinstance(within, HpoError):  # also in an interpolation that OmegaConf resolved
            return within
        within = within.__cause__ or within.__context__
    lines = [str(error)] if str(error) else []
    cause = error.__cause__
    if cause is not None and str(cause) and str(cause) not in str(error):
        lines.append(str(cause))
    told = ConfigError("\n".join(lines))
    told.__cause__ = error
    return told
