"""Pages as text, in pieces small enough for small models."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.agents.tools.runs import RunLimits, Sandbox
from sale.agents.tools.sandbox import find_sandbox
from sale.agents.tools.surroundings import SandboxMounts
from sale.agents.tools.web.fetching import FetchedBody, WebFetcher
from sale.errors import FetchError, MissingExtraError, SandboxError

PAGE_CHARACTERS = 400_000
"""The most that is kept of a page: some hundred pages of a book."""
# Time is the wall's, as the machine may be busy with models; the processor's is what a page can take.
LIMITS = RunLimits(cpu_seconds=20, wall_seconds=60.0, memory_bytes=2**30, output_bytes=8 * PAGE_CHARACTERS)
_READERS = ("trafilatura", "pypdf")
_PACKAGES = frozenset({"site-packages", "dist-packages"})
_PROGRAM = resources.files("sale.agents.tools.web").joinpath("extract.py").read_text(encoding="utf-8")
_LOOKS_HTML = re.compile(rb"\s*(<!doctype html|<html|<head|<body|<!--)", re.IGNORECASE)
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_UNPRINTABLE = frozenset(range(9)) | frozenset(range(14, 32)) - {27}
_PLACE = PurePosixPath("/tmp/page")  # noqa: S108 - inside the sandbox
_PARTS = ("\n\n", "\n", ". ", " ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The text of a page at an address."""

    address: str
    """Where it was in the end, after redirects."""
    title: str
    text: str


class _ExtractorReply(BaseModel):
    """The reply of the program that reads pages. A page may have taken it over, so it is checked as untrusted."""

    model_config = ConfigDict(strict=True)
    title: str = Field(default="", max_length=PAGE_CHARACTERS)
    text: str = Field(default="", max_length=PAGE_CHARACTERS)
    error: str = Field(default="", max_length=2000)


@runtime_checkable
class PageReader(Protocol):
    """Somewhere to read."""

    async def read(self, address: str) -> Page:
        """The page at an address.

        Raises:
            FetchError: It cannot be had.
        """
        ...


class WebPages:
    """Pages of the web: fetched under guard, and made text in a sandbox where there is one."""

    def __init__(self, web: WebFetcher) -> None:
        """Nothing is fetched.

        Raises:
            MissingExtraError: The `search` extra is not installed.
        """
        if missing := [name for name in _READERS if find_spec(name) is None]:
            raise MissingExtraError(
                f"reading web pages needs the `search` extra ({', '.join(missing)})",
                hint="pip install 'sale[search]', or set pages = \"off\" in [tools.search].",
            )
        self._web = web
        self._sandbox: Sandbox | None = None

    async def read(self, address: str) -> Page:
        """Fetch and extract."""
        fetched = await self._web.get(address)
        try:
            self._sandbox = self._sandbox or await asyncio.to_thread(reading_sandbox)
            return await extract_text(fetched, self._sandbox)
        except SandboxError as error:
            raise FetchError("the page cannot be read: no process could be started for it") from error


def reading_sandbox() -> Sandbox:
    """Return where pages are read: under bubblewrap, with the packages that read them to be seen, and nothing else.

    Pages are written by strangers and parsed by large libraries, so a page that takes over its reader must find neither
    files nor a network. Where there is no bubblewrap it is an ordinary process under limits, as the programs are our
    own: a user who has asked for web pages gets them there as well.
    """
    found = find_sandbox(allow_unsafe=True)
    if not isinstance(found, BubblewrapSandbox):
        return found
    return found.within(SandboxMounts(place=_PLACE, place_bytes=1, visible=tuple(map(Path, _package_trees()))))


def _package_trees() -> list[str]:
    """Return the directories of installed packages on Python's path, and those in which the readers are found."""
    specs = [spec for name in _READERS if (spec := find_spec(name)) is not None and spec.origin is not None]
    where = [Path(entry) for entry in sys.path] + [Path(spec.origin or "").parent.parent for spec in specs]
    trees = [str(path.resolve()) for path in where if path.name in _PACKAGES and path.is_dir()]
    return list(dict.fromkeys(trees))


async def extract_text(fetched: FetchedBody, sandbox: Sandbox) -> Page:
    """Return the text of what was fetched, read in a sandbox.

    Raises:
        FetchError: There is none to be had.
        SandboxError: The sandbox could not be set up.
    """
    task = {
        "path": _package_trees(),
        "kind": _kind(fetched),
        "charset": fetched.charset,
        "characters": PAGE_CHARACTERS,
        "body": base64.b64encode(fetched.body).decode("ascii"),
    }
    report = await sandbox.run(_PROGRAM, stdin=json.dumps(task), limits=LIMITS)
    if report.killed_reason is not None:
        raise FetchError(f"the page cannot be read: that took more {report.killed_reason} than a page may take")
    try:
        made = _ExtractorReply.model_validate_json(report.stdout)
    except ValueError:
        raise FetchError("the page cannot be read: it breaks the program that reads it") from None
    if made.error:
        raise FetchError(f"the page cannot be read: {made.error}")
    if not made.text.strip():
        raise FetchError("there is no text on the page")
    return Page(address=fetched.address, title=made.title, text=made.text)


def _kind(fetched: FetchedBody) -> str:
    if fetched.body.startswith(b"%PDF-") or fetched.media_type == "application/pdf":
        return "pdf"
    if fetched.media_type in _HTML or (not fetched.media_type and _LOOKS_HTML.match(fetched.body)):
        return "html"
    if not fetched.media_type and not _UNPRINTABLE.isdisjoint(fetched.body[:1000]):
        raise FetchError("the server does not say what it is, and it does not look like text")
    return "plain"


def parts(text: str, size: int) -> list[str]:
    """A text in pieces of at most `size` characters, cut where a paragraph, line, sentence or word ends."""
    pieces: list[str] = []
    rest = text.strip()
    while len(rest) > size:
        window = rest[: size + 1]
        # A piece of less than half the size would be a waste of a call.
        cuts = (window.rfind(mark) + len(mark) for mark in _PARTS if window.rfind(mark) >= size // 2)
        cut = min(next(cuts, size), size)
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest]
