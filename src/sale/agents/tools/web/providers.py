"""Search providers behind one protocol: SearXNG, Brave, Tavily, and passages of your own.

What comes back is made one shape: plain text, web addresses only, each once, and no more than asked for. A provider
that fails is reported in words of ours: what it sent is not repeated, for it may hold anything.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable
from urllib.parse import urlencode

import httpx2
from pydantic import SecretStr

from sale.agents.tools.corpus import Corpus
from sale.agents.tools.web.exchange import FetchRequest
from sale.agents.tools.web.fetching import WebFetcher
from sale.agents.tools.web.pages import Page
from sale.errors import ConfigError, FetchError, SaleError

BRAVE = "https://api.search.brave.com"
TAVILY = "https://api.tavily.com"
QUERY_CHARACTERS = 400
"""The longest query that is sent on; Brave takes no longer one."""
FIELD_CHARACTERS = 4000
PASSAGE_SCHEME = "passage:"
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_TRACKING = re.compile(r"^(utm_\w+|gclid|fbclid|msclkid)$")
_JSON = ("Accept", "application/json")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchHit:
    """One result of a search, in plain text."""

    title: str
    address: str
    snippet: str
    score: float | None = None
    """The match with the query, where the provider reports it: for passages searched by meaning, a cosine."""


class Provider(Protocol):
    """Something to search."""

    @property
    def name(self) -> str:
        """As it stands on the bill."""
        ...

    async def search(self, query: str, limit: int) -> Sequence[SearchHit]:
        """The best hits for a query, best first, at most `limit`.

        Raises:
            FetchError: It does not answer, refuses, or gives an unreadable answer.
        """
        ...


@runtime_checkable
class OpenedProvider(Protocol):
    """A provider that keeps something open between searches."""

    async def prepare(self) -> None:
        """Open what takes time to open.

        Raises:
            SaleError: It cannot be opened.
        """
        ...

    async def aclose(self) -> None:
        """Let go of it; what comes later opens it again."""
        ...


async def search_provider(provider: Provider, query: str, limit: int) -> list[SearchHit]:
    """Return the hits that a provider finds, at most `limit`.

    Raises:
        FetchError: It does not answer, or what it gives are no hits: it may be anybody's.
        SaleError: As the provider raises it.
    """
    try:
        found = list(cast("Iterable[object]", await provider.search(query, limit)))
    except SaleError:
        raise
    except Exception as error:
        raise FetchError(f"the search with {provider.name} failed: {type(error).__name__}: {error}") from error
    if odd := [one for one in found if not isinstance(one, SearchHit)]:
        raise FetchError(f"the search with {provider.name} failed: it gives a {type(odd[0]).__name__}, not a Hit")
    return [one for one in found if isinstance(one, SearchHit)][:limit]


class SearXNG:
    """An instance of SearXNG whose settings allow the JSON format."""

    name = "searxng"

    def __init__(self, web: WebFetcher, *, endpoint: str) -> None:
        """Nothing is asked yet; `endpoint` is the instance's own address."""
        self._web = web
        self._endpoint = endpoint.rstrip("/")

    async def search(self, query: str, limit: int) -> Sequence[SearchHit]:
        """`GET /search?format=json`."""
        asked = urlencode({"q": query, "format": "json"})
        answer = await _asked(self._web, self.name, f"{self._endpoint}/search?{asked}", FetchRequest(headers=(_JSON,)))
        return hits(_rows(answer, self.name, "results"), ("title", "url", "content"), limit)


class Brave:
    """Brave's search API."""

    name = "brave"

    def __init__(self, web: WebFetcher, *, key: SecretStr, endpoint: str = BRAVE) -> None:
        """Nothing is asked yet."""
        self._web = web
        self._headers = (_JSON, ("X-Subscription-Token", _sendable(key)))
        self._endpoint = endpoint.rstrip("/")

    async def search(self, query: str, limit: int) -> Sequence[SearchHit]:
        """`GET /res/v1/web/search`."""
        asked = urlencode({"q": query, "count": limit})
        address = f"{self._endpoint}/res/v1/web/search?{asked}"
        answer = await _asked(self._web, self.name, address, FetchRequest(headers=self._headers))
        # Without any hit there is no `web` at all.
        found = _rows(answer, self.name, "web", "results") if "web" in answer else ()
        return hits(found, ("title", "url", "description"), limit)


class Tavily:
    """Tavily's search API. Its snippets are passages chosen for the query."""

    name = "tavily"

    def __init__(self, web: WebFetcher, *, key: SecretStr, endpoint: str = TAVILY) -> None:
        """Nothing is asked yet."""
        self._web = web
        self._headers = (_JSON, ("Content-Type", "application/json"), ("Authorization", f"Bearer {_sendable(key)}"))
        self._endpoint = endpoint.rstrip("/")

    async def search(self, query: str, limit: int) -> Sequence[SearchHit]:
        """`POST /search`."""
        content = json.dumps({"query": query, "max_results": limit, "search_depth": "basic"}).encode()
        ask = FetchRequest(method="POST", headers=self._headers, content=content)
        answer = await _asked(self._web, self.name, f"{self._endpoint}/search", ask)
        return hits(_rows(answer, self.name, "results"), ("title", "url", "content"), limit)


class Passages:
    """Passages of your own, on this machine: a provider, and where its hits are read in full."""

    name = "corpus"

    def __init__(self, opener: Callable[[], Awaitable[Corpus]]) -> None:
        """Nothing is opened before the first search, or `prepare`."""
        self._opener = opener
        self._lock = asyncio.Lock()
        self._corpus: Corpus | None = None

    async def prepare(self) -> None:
        """Open and index the passages. With search by meaning the first time takes minutes for a large file.

        Raises:
            InputError: They cannot be read.
        """
        await self._opened()

    async def search(self, query: str, limit: int) -> Sequence[SearchHit]:
        """By words and meaning, as the corpus is opened."""
        corpus = await self._opened()
        return [
            SearchHit(title=found.title, address=f"{PASSAGE_SCHEME}{found.id}", snippet=found.text, score=similarity)
            for found, similarity in await corpus.search_scored(query, limit)
        ]

    async def read(self, address: str) -> Page:
        """A passage by its address.

        Raises:
            FetchError: There is none.
        """
        wanted = address.removeprefix(PASSAGE_SCHEME).strip()
        passage = next((one for one in (await self._opened()).passages if one.id == wanted), None)
        if passage is None:
            raise FetchError(f"there is no passage {address[:100]!r}", hint="Give the number of a result.")
        return Page(address=f"{PASSAGE_SCHEME}{passage.id}", title=passage.title, text=passage.text)

    async def aclose(self) -> None:
        """Let go of the passages; the next search opens them again."""
        async with self._lock:
            corpus, self._corpus = self._corpus, None
            if corpus is not None:
                corpus.close()

    async def _opened(self) -> Corpus:
        async with self._lock:
            if self._corpus is None:
                self._corpus = await self._opener()
            return self._corpus


def hits(rows: Iterable[object], fields: tuple[str, str, str], limit: int) -> list[SearchHit]:
    """Rows of a provider's answer as hits: invalid rows and addresses are left out, doubles too.

    Args:
        rows: What the provider lists.
        fields: Its names for title, address and snippet.
        limit: The most that are wanted.
    """
    found: dict[str, SearchHit] = {}
    for row in rows:
        if not isinstance(row, dict):
            continue
        values = cast("dict[str, object]", row)
        title, address, snippet = (_text(values.get(field)) for field in fields)
        usable = _address(address)
        if usable is not None:
            found.setdefault(_key(usable), SearchHit(title=_bare(title), address=str(usable), snippet=_bare(snippet)))
        if len(found) == limit:
            break
    return list(found.values())


async def _asked(web: WebFetcher, name: str, address: str, ask: FetchRequest) -> dict[str, object]:
    """The JSON object that a provider answers."""
    try:
        status, body = await web.ask(address, ask)
    except FetchError as error:
        raise FetchError(f"the search with {name} failed: {error.message}") from error
    if status != 200:
        raise FetchError(f"the search with {name} failed: {_complaint(status)}")
    try:
        answer: object = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise FetchError(f"the search with {name} failed: its answer cannot be read")
    return cast("dict[str, object]", answer)


def _complaint(status: int) -> str:
    match status:
        case 401 | 403:
            return f"it refuses the key, or this way of asking (HTTP {status})"
        case 402 | 432 | 433:
            return f"the account's credit is used up (HTTP {status})"
        case 429:
            return "too many searches for now (HTTP 429)"
        case _ if status >= 500:
            return f"it is out of order (HTTP {status})"
        case _:
            return f"it answers with HTTP status {status}"


def _rows(answer: dict[str, object], name: str, *path: str) -> list[object]:
    value: object = answer
    for step in path:
        value = _field(value, step)
    if not isinstance(value, list):
        raise FetchError(f"the search with {name} failed: its answer has no list of results")
    return cast("list[object]", value)


def _field(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None


def _text(value: object) -> str:
    return value[:FIELD_CHARACTERS] if isinstance(value, str) else ""


def _bare(text: str) -> str:
    """Without the markup some providers put around what matched."""
    return " ".join(html.unescape(_TAG.sub("", text)).split())


def _address(text: str) -> httpx2.URL | None:
    """A web address without its fragment and what only tells where a visitor came from."""
    try:
        url = httpx2.URL(text.strip()).copy_with(fragment=None)
    except (httpx2.InvalidURL, ValueError):
        return None
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        return None
    tracking = [name for name in url.params if _TRACKING.match(name)]
    for name in tracking:
        url = url.copy_remove_param(name)
    return url


def _key(url: httpx2.URL) -> str:
    """Return the key that all addresses of the same page share."""
    host = url.netloc.decode("ascii").removeprefix("www.")
    path, _, query = url.raw_path.decode("ascii").partition("?")
    return f"{host}{path.rstrip('/')}?{query}"


def _sendable(key: SecretStr) -> str:
    value = key.get_secret_value()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(
            "the key cannot be sent: it is empty, or holds a space, a line break or a character outside ASCII",
            where="[tools.search]",
            hint="Look at the environment variable that api_key_env names.",
        )
    return value
