"""Lets a project keep its own configuration: a ./conf where the command runs comes before hpo's."""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.plugins.search_path_plugin import SearchPathPlugin

CONFIG_MODULE = "hpo.conf"
PRIMARY_PATH = f"pkg://{CONFIG_MODULE}"
PROVIDER = "user-conf"
_USER_CONF = "conf"


class UserConfSearchPath(SearchPathPlugin):
    """Prepends ./conf to hpo's own configuration; does nothing in any other Hydra application."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        is_hpo = any(item.path == PRIMARY_PATH for item in search_path.get_path())
        user_conf = Path.cwd() / _USER_CONF
        if is_hpo and user_conf.is_dir():
            search_path.prepend(PROVIDER, f"file://{user_conf}", anchor=SearchPathQuery(provider="main"))


def not_in_utf8(project: Path) -> Path | None:
    """The first file of a project's own configuration that is not UTF-8, which no loader of it names."""
    for path in sorted((project / _USER_CONF).rglob("*.yaml")):
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return path
    return None
