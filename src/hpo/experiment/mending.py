"""A trial that is to go on, whose files somebody has cut or removed: what the state database knows is put back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from hpo.files import replace_file
from hpo.paths import TrialPaths
from hpo.records import Report
from hpo.results_file import STEP, is_whole, read_records, written_all
from hpo.trial.outcome import as_logged


def mend_results(paths: TrialPaths, reports: Sequence[Report], *, has_replicates: bool) -> list[str]:
    """Make a trial's results.json whole where it is not; what must be said of it. `reports` are by replicate.

    The evaluations that it lacks are written again, as they were. What was logged between them is lost where the
    file was cut. Of one that a crash cut in its last record nothing is lost, since that was never reported.
    """
    groups = groupby(reports, key=lambda report: report.replicate)
    said = [_mend(paths.replicate(index) if has_replicates else paths, [*own]) for index, own in groups]
    return [text for text in said if text is not None]


def _mend(paths: TrialPaths, reports: Sequence[Report]) -> str | None:
    if not paths.root.is_dir() or is_whole(paths.results):
        return None
    records = read_records(paths.results)
    there = {record.get(STEP) for record in records}
    missing = [as_logged(report.metrics, report.step) for report in reports]
    missing = [record for record in missing if record[STEP] not in there]
    if not missing:
        return None
    # the whole records are the file's beginning
    replace_file(paths.results, written_all([*records, *missing]).encode())
    return (
        f"{paths.results} was damaged: {len(missing)} evaluations are written again from the state database; "
        "what was logged between them is lost"
    )
