"""One analysis from directories to files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo.analysis import canvas
from hpo.analysis.figures import Weights, figures
from hpo.analysis.loading import Loaded, load
from hpo.analysis.subject import chosen
from hpo.errors import ExperimentError
from hpo.files import replace_file
from hpo.paths import AnalysisPaths


@dataclass(frozen=True)
class Analysis:
    """What was written, and what was left out, and why."""

    directory: Path
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    loaded: Loaded


def analyse(
    directories: str | Path | Iterable[str | Path],
    *,
    output: str | Path | None = None,
    attribute_name_remap: Mapping[str, str] | None = None,
    metric_name_remap: Mapping[str, str] | None = None,
) -> Analysis:
    """Write figures (PNG and SVG) and report.html of one experiment, or of several together.

    They go to `analysis/` in the experiment's directory, those of several to `analysis/with_<ids>/` in the
    first one's; `output` is another folder. Files of an earlier analysis are replaced, whole; others stay.

    Raises HpoError for what is no experiment, shares no objective, or cannot be written.
    """
    loaded = load(directories)
    subject = chosen(loaded, attribute_name_remap, metric_name_remap)
    paths = _paths(loaded, output)
    from hpo.analysis.report import report_of

    notes = list(subject.notes)
    written = []
    try:
        paths.root.mkdir(parents=True, exist_ok=True)
        weights = Weights.of(subject)
        for name, figure in figures(subject, weights):
            if isinstance(figure, str):
                notes.append(f"No figure {name}: {figure}")
                continue
            with canvas.drawing():
                written += canvas.write(figure, paths, name)
        replace_file(paths.report, report_of(subject, weights, notes).encode())
    except OSError as error:
        raise ExperimentError(f"the analysis cannot be written to {paths.root}: {error}") from error
    files = [*(paths.root / name for name in written), paths.report]
    return Analysis(paths.root, tuple(files), tuple(notes), loaded)


def _paths(loaded: Loaded, output: str | Path | None) -> AnalysisPaths:
    if output is not None:
        return AnalysisPaths(Path(output).absolute())
    first, *others = [source.paths for source in loaded.sources]
    if not others:
        return first.analysis
    return first.analysis.together_with([each.experiment_id for each in others])
