"""The limits of searching and reading by agents."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

ReadablePages = Literal["any", "found", "off"]

TOLD: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "searxng": (frozenset({"endpoint"}), frozenset({"endpoint"})),
    "brave": (frozenset({"api_key_env"}), frozenset({"api_key_env", "endpoint"})),
    "tavily": (frozenset({"api_key_env"}), frozenset({"api_key_env", "endpoint"})),
    "duckduckgo": (frozenset(), frozenset()),
    "corpus": (frozenset({"corpus"}), frozenset({"corpus"})),
}
"""Names of the settings that each provider that comes with sale requires, and of those that it accepts."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOUNDS = (
    ("price_per_call", 0, 1000),
    ("price_per_second", 0, 1000),
    ("calls", 1, 10_000),
    ("results", 1, 20),
    ("excerpt_characters", 20, 20_000),
    ("page_characters", 200, 200_000),
    ("page_mb", 1, 100),
    ("redirects", 0, 20),
    ("seconds", 0.1, 600),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRules:
    """Searching and reading pages. docs/search.md has an example for each provider.

    Raises:
        ValueError: A provider lacks what it needs or is told what it does not take, or a number is out of bounds.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {
        "extra": "forbid",
        "use_attribute_docstrings": True,
        "hide_input_in_errors": True,
    }

    provider: str
    """The search provider: an instance of SearXNG (`searxng`), `brave`, `tavily`, `duckduckgo`, passages of your own
    (`corpus`), a provider of an installed package, or `package.module:Name`."""
    endpoint: str | None = None
    """Address of the SearXNG instance; for Brave and Tavily, in place of their own."""
    api_key_env: str | None = None
    """The environment variable that holds the provider's key. Keys are never written in this file."""
    corpus: Path | None = None
    """The passages: JSON lines with `id`, `title` and `text`, compressed with xz (`.xz`) or not."""
    by_meaning: bool = True
    """Search passages by meaning too, not by words alone; needs the `local` extra."""
    price_per_call: float = 0.0
    """Price of one answered search, in dollars."""
    price_per_second: float = 0.0
    """Price of a second of searching, in dollars."""
    calls: int = 20
    """The most searches and pages of one execution, together."""
    results: int = 5
    """Number of hits an agent is shown, at most 20."""
    excerpt_characters: int = 400
    """Characters of each hit it is shown."""
    pages: ReadablePages = "any"
    """Which pages may be read: any of the public web; those a search found or the task names; none."""
    page_characters: int = 2000
    """Characters of a page it is shown at a time."""
    page_mb: int = 5
    """The largest page that is fetched, also after decompression, in megabytes."""
    redirects: int = 5
    """Number of redirects that are followed; each is checked like the first address."""
    seconds: float = 20.0
    """The longest one search, or the fetching of one page, may take."""
    ports: tuple[int, ...] = (80, 443)
    """Ports that pages are fetched from."""
    allow: tuple[str, ...] = ()
    """Names of hosts, IP addresses and networks that pages are fetched from though they are not public."""
    options: dict[str, Any] = field(default_factory=dict[str, Any], hash=False)
    """Own settings of a provider of your own or of a package: every other key of the table."""

    def __post_init__(self) -> None:
        given = {key for key in ("endpoint", "api_key_env", "corpus") if getattr(self, key) is not None}
        given |= self.options.keys()
        needs, takes = TOLD.get(self.provider, (frozenset[str](), given))
        for key in sorted(needs - given):
            raise ValueError(f"{self.provider} needs {key}")
        for key in sorted(given - takes):
            raise ValueError(f"{self.provider} takes no {key}")
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint must begin with http:// or https://")
        if self.api_key_env is not None and not _VARIABLE.fullmatch(self.api_key_env):
            raise ValueError("api_key_env must be the name of an environment variable, not the key")
        for name, least, most in _BOUNDS:
            value: float = getattr(self, name)
            if not (least <= value <= most and math.isfinite(value)):
                raise ValueError(f"{name} must be from {least} to {most}, got {value!r}")
        if not all(0 < port < 65536 for port in self.ports):
            raise ValueError(f"ports must be from 1 to 65535, got {self.ports!r}")
