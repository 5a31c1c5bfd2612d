"""DuckDuckGo, which has no interface for programs: asked by the `ddgs` library, as a browser would.

It needs no key, and gives no promise: asked often, it stops answering for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ddgs.ddgs import DDGS
from ddgs.exceptions import DDGSException, RatelimitException, TimeoutException

from sale.agents.tools.web.providers import SearchHit, hits
from sale.errors import FetchError


class DuckDuckGo:
    """Searches in a thread: the library waits."""

    name = "duckduckgo"

    def __init__(self, *, seconds: float) -> None:
        """Nothing is asked yet; each request may take `seconds`."""
        self._seconds = max(1, int(seconds))

    async def search(self, query: str, limit: int) -> Sequence[SearchHit]:
        """One request."""
        rows = await asyncio.to_thread(self._rows, query, limit)
        return hits(rows, ("title", "href", "body"), limit)

    def _rows(self, query: str, limit: int) -> list[dict[str, object]]:
        try:
            return DDGS(timeout=self._seconds).text(query, max_results=limit, backend="duckduckgo")
        except RatelimitException:
            raise FetchError("the search with duckduckgo failed: too many searches for now") from None
        except TimeoutException:
            raise FetchError("the search with duckduckgo failed: it takes too long") from None
        except DDGSException as error:
            if str(error) == "No results found.":  # it has no other way to say so, and says so when refused, too
                return []
            raise FetchError("the search with duckduckgo failed: no proper answer") from error
