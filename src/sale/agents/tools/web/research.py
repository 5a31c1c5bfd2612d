"""One piece of research: the two tools of one execution, and the sources they numbered.

A number belongs to an address for the whole of the work, so what the answer cites can be held against what was read.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from sale.agents.tools.web.citations import settle
from sale.agents.tools.web.fences import NOTICE, as_line, fence, without_marks
from sale.agents.tools.web.pages import Page, PageReader, parts
from sale.agents.tools.web.providers import QUERY_CHARACTERS, Provider, SearchHit, search_provider
from sale.errors import FetchError, ForbiddenAddressError, InputError
from sale.types import Execution, Task, ToolInfo
from sale.types.tools import FREE, Fee

TITLE_CHARACTERS = 120
ADDRESS_CHARACTERS = 300
SOURCES_ROLE = "sources"
"""The role of the trace's last entry, which says what was read and cited."""
_REFERENCE = re.compile(r"\s*+\[?(\d{1,3})\]?(?:\s*+[,;]?\s*+part\s*+(\d{1,4}))?\s*+", re.IGNORECASE)
_ADDRESS = re.compile(r"\s*+<?(\S+?)>?(?:(?:\s*+[,;])?\s++part\s*+(\d{1,4}))?\s*+", re.IGNORECASE)
_CITE = "Cite what you use by its number in your answer, like [1]."


@dataclass(frozen=True, kw_only=True, slots=True)
class ResearchLimits:
    """The limits of research: the text an agent is shown, and the number of its calls."""

    results: int = 5
    excerpt_characters: int = 400
    page_characters: int = 2000
    calls: int = 20
    """Searches and pages of one execution together."""
    fee: Fee = FREE
    """The price of a search."""
    found_only: bool = False
    """Pages are read only where a search found them, or the task names them."""


@dataclass(slots=True)
class NumberedSource:
    """Something that was found, and how much of it was read."""

    number: int
    address: str
    title: str
    excerpt: bool = False
    """A search showed some of its text."""
    parts: set[int] = field(default_factory=set[int])
    """Which parts of the page were read, from 1."""

    @property
    def was_read(self) -> bool:
        """True where any of its text was shown."""
        return self.excerpt or bool(self.parts)

    @property
    def line(self) -> str:
        """As it is listed under an answer."""
        name = f"{self.title} ({self.address})" if self.title else self.address
        return name if self.parts or self.address.startswith("passage:") else f"{name}, seen as a search result only"

    def record(self, *, cited: bool) -> Mapping[str, object]:
        """As it stands in the trace."""
        return {
            "number": self.number,
            "address": self.address,
            "title": self.title,
            "excerpt": self.excerpt,
            "parts": sorted(self.parts),
            "cited": cited,
        }


class Research:
    """The searches and reads of one agent while it works on one task."""

    def __init__(self, task: Task, provider: Provider, pages: PageReader | None, habits: ResearchLimits) -> None:
        """Nothing is asked yet.

        Args:
            task: What is worked on; addresses in its text may be read.
            provider: The provider that is searched.
            pages: Where pages are read; `None` for searches alone.
            habits: How much, and how often.
        """
        self._task = task
        self._provider = provider
        self._pages = pages
        self._habits = habits
        self._sources: dict[str, NumberedSource] = {}
        self._texts: dict[str, Page] = {}
        self._asked = 0

    @property
    def tools(self) -> tuple[SearchTool, ReadTool] | tuple[SearchTool]:
        """The tools of this piece of research."""
        search = SearchTool(self.search, self._habits.results, self._habits.fee)
        return (search,) if self._pages is None else (search, ReadTool(self.read))

    async def search(self, query: str) -> str:
        """Return the results of a query as the agent is shown them."""
        asked = " ".join(query.split())[:QUERY_CHARACTERS]
        if not asked:
            raise InputError("the query is empty", hint="Say in a few words what to look for.")
        self._allow()
        found = await search_provider(self._provider, asked, self._habits.results)
        if not found:
            return "Nothing was found. Try other words."
        shown = fence("found", "\n\n".join(self._shown(hit) for hit in found))
        more = "" if self._pages is None else " read_page takes such a number, and shows the whole."
        return f"{NOTICE}\n{shown}\n{_CITE}{more}"

    async def read(self, address: str) -> str:
        """Return a page as the agent is shown it."""
        if self._pages is None:
            raise InputError("pages are not read here", hint="Search, and use what is found.")
        source_address, wanted = self._meant(address)
        page = self._texts.get(source_address)
        if page is None:
            self._allow()
            page = await self._pages.read(source_address)
            self._texts[source_address] = page
        pieces = parts(without_marks(page.text), self._habits.page_characters)
        if not 1 <= wanted <= len(pieces):
            raise InputError(f"there is no part {wanted}: the page has {len(pieces)}")
        source = self._source(source_address, page.title)
        source.parts.add(wanted)
        source.address = as_line(page.address, ADDRESS_CHARACTERS)  # where it redirected to, if it did
        where = f"[{source.number}] {source.title or source.address}, part {wanted} of {len(pieces)}"
        more = f" For more: read_page {source.number} part {wanted + 1}." if wanted < len(pieces) else ""
        return f"{where}. {NOTICE}\n{fence('source', pieces[wanted - 1])}\n{_CITE}{more}"

    def complete(self, execution: Execution) -> Execution:
        """The execution with its citations checked and listed, and its sources in the trace."""
        read = {source.number: source.line for source in self._sources.values() if source.was_read}
        # A program may well be full of numbers in brackets.
        cited = settle(execution.answer, {} if self._task.domain == "coding" else read)
        record: Mapping[str, object] = {
            "role": SOURCES_ROLE,
            "content": [source.record(cited=source.number in cited.numbers) for source in self._sources.values()],
            "removed": list(cited.removed),
        }
        return replace(
            execution,
            answer=cited.text,
            trace=(*execution.trace, record) if self._sources else execution.trace,
        )

    def _allow(self) -> None:
        """See whether there may be another search or page. What fails counts, too."""
        if self._asked >= self._habits.calls:
            raise FetchError(
                f"all {self._habits.calls} searches and pages of this task are used up",
                hint="Answer with what you have.",
            )
        self._asked += 1

    def _shown(self, hit: SearchHit) -> str:
        source = self._source(hit.address, hit.title)
        excerpt = as_line(hit.snippet, self._habits.excerpt_characters)
        source.excerpt = source.excerpt or bool(excerpt)
        head = f"[{source.number}] {source.title or 'untitled'} ({source.address})"
        # Indented: no text can begin where a number of ours does.
        return f"{head}\n  {excerpt}" if excerpt else head

    def _source(self, address: str, title: str) -> NumberedSource:
        source = self._sources.get(address)
        if source is None:
            number = len(self._sources) + 1
            source = NumberedSource(number=number, address=as_line(address, ADDRESS_CHARACTERS), title="")
            self._sources[address] = source
        source.title = source.title or as_line(title, TITLE_CHARACTERS)
        return source

    def _meant(self, asked: str) -> tuple[str, int]:
        """The address an agent means, and which part of it: a number from a search, or an address."""
        if by_number := _REFERENCE.fullmatch(asked):
            number = int(by_number[1])
            known = next((key for key, source in self._sources.items() if source.number == number), None)
            if known is None:
                raise InputError(f"there is no source [{number}]", hint="Numbers come from a search.")
            return known, int(by_number[2] or 1)
        by_address = _ADDRESS.fullmatch(asked)
        if by_address is None:
            raise InputError("that is neither a number nor an address", hint="Give a result's number, like 2.")
        address = by_address[1]
        if self._habits.found_only and address not in self._sources and address not in self._task.text:
            raise ForbiddenAddressError(
                "only pages that a search found, or that the task names, are read", hint="Search first."
            )
        return address, int(by_address[2] or 1)


class SearchTool:
    """Searching, as a tool."""

    numbers_sources = True

    def __init__(self, search: Callable[[str], Awaitable[str]], results: int, fee: Fee = FREE) -> None:
        """Search with this."""
        self._search = search
        self.fee = fee
        self.info = ToolInfo(
            name="search",
            description=(
                f"searches; the input is a short query, the result its {results} best hits, numbered. Search before "
                f"you answer, for one thing at a time. {_CITE}"
            ),
        )

    async def run(self, query: str) -> str:
        """Search.

        Args:
            query: What to look for, in a few words.
        """
        return await self._search(query)


class ReadTool:
    """Reading a page, as a tool."""

    info = ToolInfo(
        name="read_page",
        description=(
            "reads a page; the input is the number of a search result or an address, and for the next piece of a long "
            'page the part: "2", "2 part 3", "https://example.org/a part 2".'
        ),
    )

    def __init__(self, read: Callable[[str], Awaitable[str]]) -> None:
        """Read with this."""
        self._read = read

    async def run(self, address: str) -> str:
        """Read a page.

        Args:
            address: The number of a search result, or an address; "2 part 3" for the third part.
        """
        return await self._read(address)
