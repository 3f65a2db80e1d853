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
SAID = "said"


def escaped(text: str) -> str:
    return html.escape(canvas.shortened(text, 60), quote=False)


def sized(figure: Any, height: int, *said: str) -> Any:
    """The figure with the report's look; what is said of it is text of the page, where a narrow one wraps it."""
    figure.update_layout(
        height=height,
        title={"text": ""},
        meta={SAID: list(filter(None, said))},
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 30, "b": 50},
        colorway=COLORS,
    )
    figure.update_xaxes(exponentformat="power")
    figure.update_yaxes(exponentformat="power")
    return figure
