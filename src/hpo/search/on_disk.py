"""What a trial did, as its directory tells it: for launchers that tell nothing, and for ends that nobody heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from hpo.objectives import Objective
from hpo.paths import TrialPaths
from hpo.records import Noted, ReplicateEnded, Resumed, Started
from hpo.trial import outcome
from hpo.trial.metadata import Metadata, seconds


def events_on_disk(
    number: int, paths: TrialPaths, objectives: Sequence[Objective], *, from_the_first: bool = False
) -> Iterator[Noted]:
    """The newest attempt: its start, its reports, and its end where it came to one.

    With `from_the_first` it is all that the trial has reported in any of them, in place of what was heard before.
    """
    metadata = Metadata.of(paths)
    attempt = metadata["attempt"]
    yield Started(
        number=number,
        pid=metadata["pid"],
        host=metadata["host"],
        device=metadata["device"],
        config=_read_config(paths.config),
        time=seconds(metadata["started_at"]),
        attempt=attempt,
    )
    has_replicates = paths.replicate(0).root.is_dir()
    for index in count() if has_replicates else (0,):
        directory = paths.replicate(index) if has_replicates else paths
        if not directory.root.is_dir():
            break
        step = 0 if from_the_first else Metadata.of(directory).get("resumed_from", 0)
        if attempt > 1 or from_the_first:
            yield Resumed(number, attempt, step, index)
        for report in outcome.read_reports(number, directory, objectives, index):
            if attempt == 1 or report.step > step:
                yield report
        ended = outcome.read(number, directory, key=outcome.OUTCOME)
        if has_replicates and ended is not None:
            seed = Metadata.of(directory)["random_seed"]
            yield ReplicateEnded(number, index, seed, ended.state, ended.metrics, ended.reason, ended.time)
    ended = outcome.read(number, paths, key=outcome.OUTCOME)
    if ended is not None:
        yield ended


def _read_config(path: Path) -> str | None:
    import yaml

    from hpo.resolved import to_json

    return to_json(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.exists() else None
