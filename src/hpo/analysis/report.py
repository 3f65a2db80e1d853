"""report.html: one file that needs no network."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from hpo.analysis.figures import Weights
from hpo.analysis.plotly_common import SAID
from hpo.analysis.plots import plots
from hpo.analysis.subject import Subject
from hpo.analysis.tables import ablation_table, best, data, overview, paragraph, trial_data
from hpo.counted import counted

_RESOURCES = files("hpo.analysis")


def report_of(subject: Subject, weights: Weights, notes: Sequence[str]) -> str:
    """The report as HTML. Every text of configurations, parameters and errors is escaped."""
    from plotly.offline import get_plotlyjs

    sections = [
        ("Overview", overview(subject, notes)),
        ("Best configuration", best(subject)),
        ("Ablation", ablation_table(subject)),
        ("Trials", _trials(subject)),
    ]
    sections[3:3] = _figures(subject, weights)
    ids = [f"s{index}-{re.sub(r'[^a-z0-9]+', '-', title.lower())}" for index, (title, _) in enumerate(sections)]
    parts = [
        f'<section id="{name}"><h2>{html.escape(title)}</h2>{body}</section>'
        for name, (title, body) in zip(ids, sections, strict=True)
    ]
    links = [f'<a href="#{name}">{html.escape(title)}</a>' for name, (title, _) in zip(ids, sections, strict=True)]
    experiments = ", ".join(source.paths.experiment_id for source in subject.loaded.sources)
    name = subject.loaded.sources[0].config.get("name")
    return Template(_text("page.html")).substitute(
        title=html.escape(f"Experiment {experiments}" + (f" ({name})" if name else "")),
        subtitle=html.escape(f"{counted(len(subject.trials), 'trial')}, {len(subject.complete)} of them compared"),
        style=_text("page.css"),
        navigation=" ".join(links),
        sections="\n".join(parts),
        plotly=get_plotlyjs(),
        script=_text("page.js"),
    )


def _figures(subject: Subject, weights: Weights) -> list[tuple[str, str]]:
    found = []
    for index, (title, figure) in enumerate(plots(subject, weights)):
        if isinstance(figure, str):
            found.append((title, paragraph(f"No figure: {figure}.")))
            continue
        content = json.loads(figure.to_json())
        said = "".join(map(paragraph, content["layout"].pop("meta")[SAID]))
        text = data(content)
        found.append(
            (
                title,
                f'{said}<div class="plot" data-figure="f{index}"></div>'
                f'<script type="application/json" id="f{index}">{text}</script>',
            )
        )
    return found


def _trials(subject: Subject) -> str:
    return (
        '<div id="trial-table"></div>'
        f'<script type="application/json" id="trial-data">{trial_data(subject)}</script>'
        "<noscript>The table needs JavaScript.</noscript>"
    )


def _text(name: str) -> str:
    return _RESOURCES.joinpath(name).read_text(encoding="utf-8")
