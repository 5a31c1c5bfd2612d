"""Where the agents of a pool search and read, as `[tools.search]` of `sale.toml` says."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from pydantic import SecretStr

from sale.agents.tools.corpus import open_corpus
from sale.agents.tools.web.addresses import allowed_hosts_of
from sale.agents.tools.web.exchange import FetchLimits
from sale.agents.tools.web.fetching import WebFetcher
from sale.agents.tools.web.pages import PageReader, WebPages
from sale.agents.tools.web.providers import BRAVE, TAVILY, Brave, OpenedProvider, Passages, Provider, Tavily
from sale.agents.tools.web.research import Research, ResearchLimits
from sale.config import corpora_path, search_key
from sale.errors import ConfigError, MissingExtraError
from sale.extensions import make
from sale.models.embedding import MiniLMEmbedder
from sale.types import Task
from sale.types.search import SearchRules
from sale.types.tools import Fee

MEGABYTE = 2**20


class SearchToolset:
    """One for a pool: it opens a piece of research for each execution, and what they share is here."""

    def __init__(self, provider: Provider, pages: PageReader | None, habits: ResearchLimits | None = None) -> None:
        """Nothing is asked or opened.

        Args:
            provider: What is searched.
            pages: Where pages are read; `None` for searches alone.
            habits: How much agents are shown, and how often they may ask.
        """
        self._provider = provider
        self._pages = pages
        self._habits = habits or ResearchLimits()

    def open(self, task: Task) -> Research:
        """The search toolset for one execution of one task."""
        return Research(task, self._provider, self._pages, self._habits)

    @property
    def provider(self) -> Provider:
        """The provider that is searched."""
        return self._provider

    @property
    def fee(self) -> Fee:
        """The price of a search."""
        return self._habits.fee

    async def prepare(self) -> None:
        """Open what takes time to open.

        Raises:
            SaleError: It cannot be opened.
        """
        if isinstance(self._provider, OpenedProvider):
            await self._provider.prepare()

    async def aclose(self) -> None:
        """Let go of it; what comes later opens it again."""
        if isinstance(self._provider, OpenedProvider):
            await self._provider.aclose()


def toolset_of(rules: SearchRules) -> SearchToolset:
    """The tools for research that the settings describe.

    Raises:
        ConfigError: The key is not in the environment, the passages are not there, or an entry of `allow` is invalid.
        MissingExtraError: An optional dependency is not installed.
    """
    habits = ResearchLimits(
        results=rules.results,
        excerpt_characters=rules.excerpt_characters,
        page_characters=rules.page_characters,
        calls=rules.calls,
        fee=Fee(per_call=rules.price_per_call, per_second=rules.price_per_second, key=rules.api_key_env or ""),
        found_only=rules.pages == "found",
    )
    web = _web(rules)
    provider = _provider(rules, web)
    if rules.pages == "off":
        return SearchToolset(provider, None, habits)
    return SearchToolset(provider, provider if isinstance(provider, PageReader) else WebPages(web), habits)


def _web(rules: SearchRules) -> WebFetcher:
    try:
        reach = allowed_hosts_of(rules.allow, rules.ports)
    except ValueError as error:
        raise ConfigError(f"allow: {error}", where="[tools.search]", hint="10.1.0.0/16, or wiki.example.") from error
    bounds = FetchLimits(seconds=rules.seconds, body_bytes=rules.page_mb * MEGABYTE, redirects=rules.redirects)
    return WebFetcher(reach=reach, bounds=bounds)


def _provider(rules: SearchRules, web: WebFetcher) -> Provider:
    """The provider that the rules name.

    It is given `web`, which reaches the network under guard, `seconds` and `by_meaning` where its signature has them;
    `key`, `endpoint` and `corpus` it must take where the settings say them.
    """
    said = {"key": search_key(rules), "endpoint": rules.endpoint, "corpus": rules.corpus}
    options = {name: value for name, value in said.items() if value is not None} | rules.options
    given = {"web": web, "seconds": rules.seconds, "by_meaning": rules.by_meaning}
    return make("providers", rules.provider, Provider, given=given, options=options, where="[tools.search]")


def brave(web: WebFetcher, key: SecretStr, endpoint: str = BRAVE) -> Provider:
    """Brave, as settings name it."""
    return Brave(web, key=key, endpoint=endpoint)


def tavily(web: WebFetcher, key: SecretStr, endpoint: str = TAVILY) -> Provider:
    """Tavily, as settings name it."""
    return Tavily(web, key=key, endpoint=endpoint)


def duckduckgo(seconds: float) -> Provider:
    """DuckDuckGo, as settings name it.

    Raises:
        MissingExtraError: The library that asks it is not installed.
    """
    if find_spec("ddgs") is None:
        raise MissingExtraError(
            "searching with DuckDuckGo needs the `search` extra", hint="pip install 'sale[search]'."
        )
    # Loaded only here: its HTTP client is a large library of its own.
    return cast("Provider", import_module("sale.agents.tools.web.duckduckgo").DuckDuckGo(seconds=seconds))


def passages(corpus: Path, by_meaning: bool) -> Provider:
    """Passages of one's own, as settings name them.

    Raises:
        ConfigError: They are not there.
        MissingExtraError: There is nothing here to make embeddings with.
    """
    if not corpus.is_file():
        raise ConfigError(f"there are no passages at {str(corpus)!r}", where="[tools.search]", hint="Correct `corpus`.")
    if by_meaning and find_spec("onnxruntime") is None:
        raise MissingExtraError(
            "searching passages by meaning needs the `local` extra",
            hint="pip install 'sale[local]', or set by_meaning = false in [tools.search].",
        )
    embedder = MiniLMEmbedder() if by_meaning else None
    return Passages(lambda: open_corpus(corpus, embedder=embedder, cache=corpora_path()))
