"""A search provider: notes in a folder of text files.

[tools.search]
provider = "notes"
folder = "/home/me/notes"
pages = "found"
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sale.agents.tools.web.pages import Page
from sale.agents.tools.web.providers import SearchHit
from sale.errors import ConfigError, FetchError


class Notes:
    """Text files, searched by the words they hold. It is also where they are read."""

    name = "notes"

    def __init__(self, folder: Path) -> None:
        """`folder` is a setting of its own."""
        if not folder.is_dir():
            raise ConfigError(f"there is no folder {str(folder)!r}", hint="Correct `folder`.")
        self._folder = folder

    async def search(self, query: str, limit: int) -> Sequence[SearchHit]:
        """The notes that hold most of the words."""
        words = set(query.lower().split())
        found = [(len(words & set(text.lower().split())), path, text) for path, text in self._notes()]
        best = sorted((one for one in found if one[0]), key=lambda one: (-one[0], one[1].name))
        return [
            SearchHit(title=path.stem, address=f"note:{path.name}", snippet=text[:400])
            for _, path, text in best[:limit]
        ]

    async def read(self, address: str) -> Page:
        """A note as a whole."""
        wanted = address.removeprefix("note:")
        for path, text in self._notes():
            if path.name == wanted:
                return Page(address=address, title=path.stem, text=text)
        raise FetchError(f"there is no note {wanted!r}")

    def _notes(self) -> list[tuple[Path, str]]:
        return [(path, path.read_text(encoding="utf-8")) for path in sorted(self._folder.glob("*.txt"))]
