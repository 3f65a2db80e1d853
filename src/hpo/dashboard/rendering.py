"""Templates: everything that they are given is text, and is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from hpo.dashboard import shown
from hpo.dashboard.diffs import ABSENT

_SUFFIX = ".html"
_FILTERS = ("value", "short", "number", "duration", "moment", "size", "state")


class Templates:
    """The files in templates/, filled in."""

    def __init__(self) -> None:
        loader = FileSystemLoader(Path(__file__).parent / "templates")
        self._environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters |= {name: getattr(shown, name) for name in _FILTERS}
        self._environment.globals |= {"ABSENT": ABSENT}
        # now, and not while the first page is waited for
        self._templates = {
            name.removesuffix(_SUFFIX): self._environment.get_template(name) for name in loader.list_templates()
        }

    def page(self, request: Request, name: str, status_code: int = 200, **context: Any) -> HTMLResponse:
        text = self._templates[name].render(path=request.url.path, **context)
        return HTMLResponse(text, status_code)
