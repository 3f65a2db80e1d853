"""What the report's figures of plotly share.

Plotly reads tags in texts: names and choices go in escaped.
"""

from __future__ import annotations

import html
from typing import Any

from hpo.analysis import canvas

MAX_POINTS = 1500
HEIGHT = 420
COLORS = canvas.COLORS


def escaped(text: str) -> str:
    return html.escape(canvas.shortened(text, 60), quote=False)


def sized(figure: Any, height: int, title: str = "") -> Any:
    figure.update_layout(
        height=height,
        title={"text": title, "font": {"size": 13}},
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 60 if title else 30, "b": 50},
        colorway=COLORS,
    )
    figure.update_xaxes(exponentformat="power")
    figure.update_yaxes(exponentformat="power")
    return figure
