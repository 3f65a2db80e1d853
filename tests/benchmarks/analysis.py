"""The analysis of an experiment of 10,000 trials: loading it, its report, and all its figures."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable

from hpo.analysis.figures import Weights
from hpo.analysis.loading import load
from hpo.analysis.report import report_of
from hpo.analysis.run import analyse
from hpo.analysis.subject import Subject, chosen
from tests.benchmarks.measure import NUM_RUNS, median, scratch, show, verdict
from tests.synthetic import make_experiment

NUM_TRIALS = 10_000
LOAD_GOAL_S = 5.0


def main() -> None:
    with scratch() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            directory = make_experiment(folder, NUM_TRIALS)
        loaded = load(directory)  # imports pandas, and brings the database into memory
        loads = [_timed(lambda: load(directory)) for _ in range(NUM_RUNS)]
        subject = chosen(loaded)
        report = _timed(lambda: _report(subject))
        everything = _timed(lambda: analyse(directory))
        size = (folder / directory.name / "analysis" / "report.html").stat().st_size
    show(
        f"analysis: {NUM_TRIALS:,} trials, {len(loaded.results):,} evaluations",
        [
            ("load, s, each run", ", ".join(f"{seconds:.2f}" for seconds in loads)),
            ("median", verdict(median(loads), LOAD_GOAL_S, " s")),
            ("the report's text, s", f"{report:.1f}"),
            ("python -m hpo.analysis without its imports, s", f"{everything:.1f}"),
            ("report.html, MB", f"{size / 1e6:.1f}"),
        ],
    )


def _report(subject: Subject) -> str:
    return report_of(subject, Weights.of(subject), subject.notes)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
