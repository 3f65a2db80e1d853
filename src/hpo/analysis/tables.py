"""The tables of the report, as HTML with every text escaped, or as data for its script."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hpo.analysis.ablation import LEVEL, Row, ablation, num_comparisons
from hpo.analysis.design import Kind
from hpo.analysis.differences import differences
from hpo.analysis.loading import EXPERIMENT, Source
from hpo.analysis.seeds import best_against_configured
from hpo.analysis.subject import Subject, is_min
from hpo.frames import PARAMS, column_of
from hpo.overrides import encode_value
from hpo.paths import TrialPaths
from hpo.saved import SavedExperiment

_MAX_TEXT = 300
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], numbers: Sequence[int] = ()) -> str:
    """An HTML table; each row has a class and cells as text."""

    def cell(tag: str, index: int, text: str) -> str:
        name = "number" if index in numbers else "text" if len(text) > 40 else ""
        return f'<{tag} class="{name}">{html.escape(text)}</{tag}>'

    top = "".join(cell("th", index, text) for index, text in enumerate(head))
    body = "".join(
        f'<tr class="{name}">{"".join(cell("td", index, text) for index, text in enumerate(cells))}</tr>'
        for name, cells in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def paragraph(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def overview(subject: Subject, notes: Sequence[str]) -> str:
    """The experiments, and what was left out and why."""
    rows = []
    for source in subject.loaded.sources:
        trials = subject.trials[subject.trials[EXPERIMENT] == source.paths.experiment_id]
        counts = ", ".join(f"{count} {state}" for state, count in trials["state"].value_counts().items())
        objectives = ", ".join(f"{each.name} ({each.direction.value})" for each in source.objectives)
        cells = (source.paths.experiment_id, source.said, counts or "none", objectives, ", ".join(source.samplers))
        rows.append(("", (*cells, str(source.paths.root))))
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    head = ("experiment", "state", "trials", "objectives", "sampler", "directory")
    return table(head, rows) + (f"<h3>Notes</h3><ul>{items}</ul>" if items else "")


def best(subject: Subject) -> str:
    """The best trial, and what its configuration has otherwise than the defaults."""
    row = subject.best()
    if row is None:
        return paragraph("No trial is complete, with a finite objective, and within the soft constraints.")
    values = ", ".join(
        f"{subject.names.of_metric(each.name)} = {row[column_of(each.name)]:.5g}" for each in subject.objectives
    )
    name = f"{row['trial_id']} of experiment {row[EXPERIMENT]}"
    first = f"Best trial by {subject.names.of_metric(subject.first.name)}: {name}, {values}. {row['directory']}"
    source = next(each for each in subject.loaded.sources if each.paths.experiment_id == row[EXPERIMENT])
    config = _config_of(source, int(row["number"]), str(row["directory"]))
    if config is None:
        changed = [
            ("", (key, _spelled(_default(source.config, key)), _spelled(value)))
            for key, value in _params(subject, row).items()
        ]
        said = "Its config.yaml cannot be read: these are its searched parameters."
    else:
        found = differences(source.config, config)
        changed = [("", (each.key, _spelled(each.default), _spelled(each.value))) for each in found]
        said = "" if changed else "Its configuration is the default one."
    parts = [paragraph(first), paragraph(said) if said else ""]
    if changed:
        parts.append(table(("key", "default", "this trial"), changed))
    parts.append(_of_seeds(subject))
    return "".join(parts)


def _of_seeds(subject: Subject) -> str:
    found = best_against_configured(subject)
    return paragraph(found) if found else ""


def ablation_table(subject: Subject) -> str:
    """What each choice came to, for each objective."""
    rows = ablation(subject)
    if not rows:
        return paragraph("There is nothing to compare.")
    design = subject.design
    parts = [paragraph(f"{'Descriptive only: ' if design.kind is Kind.DESCRIPTIVE else ''}{design.reason}.")]
    for objective in subject.objectives:
        of_one = [row for row in rows if row.objective == objective]
        way = "lower" if is_min(objective) else "higher"
        said = (
            f"{subject.names.of_metric(objective.name)} ({way} is better). g is Hedges' g, the difference of the "
            "means in standard deviations, with its 95 % interval; below 0 the choice has lower values."
        )
        if design.kind is not Kind.DESCRIPTIVE:
            count = num_comparisons(of_one, objective)
            said += (
                f" p is of Welch's t-test, corrected for {count} comparisons (Holm); better and worse mean "
                f"p < {LEVEL}."
            )
        parts += [paragraph(said), _of_objective(subject, of_one)]
    return "".join(parts)


def _of_objective(subject: Subject, rows: Sequence[Row]) -> str:
    cells = []
    before = ""
    for row in rows:
        key = row.parameter.key
        effect = row.effect
        interval = "" if math.isnan(effect.g) else f"{effect.g:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}]"
        cells.append(
            (
                " ".join(filter(None, ("first" if key != before else "", row.verdict.partition(" ")[0]))),
                (
                    subject.names.of_parameter(key) if key != before else "",
                    row.choice,
                    str(row.num),
                    str(row.num_pruned),
                    str(row.num_failed),
                    _number(row.mean),
                    _number(row.best),
                    "" if math.isnan(effect.difference) else f"{effect.difference:+.4g}",
                    interval,
                    "" if math.isnan(row.p) else f"{row.p:.2g}",
                    row.verdict,
                ),
            )
        )
        before = key
    against = next((row.against for row in rows if row.against), "the other trials")
    head = (
        "parameter",
        "choice",
        "n",
        "pruned",
        "failed",
        "mean",
        "best",
        f"mean - {against}",
        "g",
        "p",
        "verdict",
    )
    return table(head, cells, numbers=range(2, 10))


def trial_data(subject: Subject) -> str:
    """All trials, as JSON for the report's script."""
    trials = subject.trials
    objectives = [column_of(each.name) for each in subject.objectives]
    others = [metric for metric in subject.metrics if metric not in objectives]
    names: dict[str, str] = {EXPERIMENT: "experiment"} if subject.is_several else {}
    names |= {"number": "number", "state": "state"}
    names |= {column: subject.names.of_metric(column) for column in (*objectives, *others)}
    names |= {f"{PARAMS}{each.key}": subject.names.of_parameter(each.key) for each in subject.loaded.parameters}
    names |= {"duration_s": "duration (s)", "trial_id": "trial_id", "reason": "reason"}
    columns = [[_cell(value) for value in trials[name].tolist()] for name in names]
    return data(
        {
            "columns": list(names.values()),
            "rows": list(zip(*columns, strict=True)),
            "states": sorted(trials["state"].unique().tolist()),
            "state": list(names).index("state"),
            "sorted": list(names).index(objectives[0]),
            "descending": not is_min(subject.first),
        }
    )


def data(value: Any) -> str:
    """JSON that may stand in a script element, whatever texts it holds."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return encode_value(value)
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value if isinstance(value, int | float) else str(value)[:_MAX_TEXT]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.5g}"


def _config_of(source: Source, number: int, directory: str) -> Mapping[str, Any] | None:
    """A trial's config.yaml, or what the state database has of it."""
    try:
        found = yaml.load(TrialPaths(Path(directory)).config.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        return SavedExperiment(source.paths.root).configs([number]).get(number)
    return found


def _params(subject: Subject, row: Any) -> dict[str, Any]:
    found = {each.key: row[f"{PARAMS}{each.key}"] for each in subject.loaded.parameters}
    return {key: value for key, value in found.items() if _cell(value) is not None}


def _default(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _spelled(value: Any) -> str:
    cell = _cell(value) if not isinstance(value, dict | list) else value
    text = "null" if cell is None else cell if isinstance(cell, str) else json.dumps(cell, default=str)
    return text[:_MAX_TEXT]
