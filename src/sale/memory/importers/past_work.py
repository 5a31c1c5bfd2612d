"""One piece of past work, whatever file it comes from, and the protocol of an importer.

To read another format, write a module with an `Importer` and add it to `read.IMPORTERS`. An importer finds the units of
a file (a sample, a trial, a trace, a row) and turns each into past work. It raises `RowError` for what is wrong with a
unit; the reader adds the file and the place, and goes on with the next unit.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from sale.memory.plausible import EARLIEST, LATEST, MAX_DOLLARS, MAX_SECONDS, MAX_TOKENS
from sale.types import MICRO, NO_JUDGE, Verdict

if TYPE_CHECKING:
    from sale.memory.importers.content import Content

MAX_NAME: Final = 64
MAX_TEXT: Final = 1_000_000
"""Characters of a task or an answer; a longer one is cut."""
MAX_ID: Final = 512
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._:/-]+")
_UNSHOWABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class RowError(Exception):
    """A unit of a file cannot be read as work; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """The user's options for reading a file."""

    agent: str | None = None
    """Name of the agent that did the work, where the file does not say."""
    score: str | None = None
    """Which score decides the outcome, by name; the first one unless given."""
    pass_mark: float = 0.5
    """A numeric score counts as a success from here up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastWork:
    """One agent's work on one task, as the file has it."""

    row: str
    """Names the work for good: the same row of the same file has the same name at every import."""
    agent: str
    task: str
    """The task's text; its id where the file holds no text."""
    task_id: str = ""
    """The source's own id of the task; work of several agents on one task shares it."""
    verdict: Verdict = "unknown"
    judged_by: str = NO_JUDGE
    """Name of the scorer that gave the verdict; the default stands for none."""
    at: datetime | None = None
    """When the work began."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    dollars: float | None = None
    """`None` where the file does not say."""
    seconds: float = 0.0
    answer: str = ""
    error: str | None = None
    domain: str | None = None

    def __post_init__(self) -> None:
        bounds = {
            "dollars": (self.dollars, MAX_DOLLARS),
            "seconds": (self.seconds, MAX_SECONDS),
            "input tokens": (self.input_tokens, MAX_TOKENS),
            "output tokens": (self.output_tokens, MAX_TOKENS),
        }
        for name, (value, most) in bounds.items():
            if value is not None and not 0 <= value <= most:
                raise RowError(f"{name}: {shorten(value)} is not between 0 and {most:g}")
        if self.dollars and self.tokens and (rate := MICRO * self.dollars / self.tokens) > MAX_DOLLARS:
            raise RowError(f"dollars: {shorten(rate)} per million tokens is more than {MAX_DOLLARS:g}")
        if self.at is not None and not EARLIEST <= self.at < LATEST:
            raise RowError(f"time: {self.at.year} is no year of past work")
        if not self.row or len(self.row) > MAX_ID:
            raise RowError(f"id: it must have between 1 and {MAX_ID} characters")
        if not self.task.strip():
            raise RowError("task: there is neither a text nor an id")

    @property
    def tokens(self) -> int | None:
        """Input and output tokens; `None` where the file says neither."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Objects of a file that are read as work together."""

    place: str
    """Where it stands in the file, for messages: `line 3`, `samples[2]`, `trace 9f…`."""
    parts: tuple[Mapping[str, Any], ...] = ()
    """Its objects: one, or all spans of a trace."""
    shared: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields that the file states once for all of its units."""
    fault: str = ""
    """Why it cannot be read at all; then there is nothing else in it."""


class Importer(Protocol):
    """Reads one format."""

    @property
    def name(self) -> str:
        """Name of the format, as `--format` takes it."""
        ...

    def recognises(self, content: Content, /) -> bool:
        """Return True where the content is of this format, by its keys."""
        ...

    def units(self, content: Content, /) -> Iterator[Unit]:
        """The units of a file."""
        ...

    def works(self, unit: Unit, options: ReadOptions, /) -> Iterable[PastWork]:
        """The work in a unit; nothing where it holds none (a span of a database, say).

        Raises:
            RowError: The unit is malformed.
        """
        ...


def agent_name(*parts: str | None, options: ReadOptions) -> str:
    """An agent's name of what a file calls it, as `sale.toml` allows names; parts are joined with slashes.

    Raises:
        RowError: Nothing is left, or it is too long.
    """
    given = "/".join(part.strip() for part in parts if part and part.strip()) or (options.agent or "")
    name = _NOT_IN_NAMES.sub("-", given).strip("-._:/")
    if not name:
        raise RowError("agent: the file does not say whose work it is; name it with --agent")
    if len(name) > MAX_NAME:
        raise RowError(f"agent: the name {shorten(name)} has more than {MAX_NAME} characters")
    return name


def clean(text: str) -> str:
    """Text without characters that no screen and no database takes; they become U+FFFD. Overlong text is cut."""
    return _UNSHOWABLE.sub("�", text[:MAX_TEXT])


def verdict_of(value: object, options: ReadOptions) -> Verdict:
    """A score as a verdict: true, `C`, `pass` and numbers from the pass mark up are successes.

    Raises:
        RowError: The value is none of these, nor their opposites.
    """
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "success" if value else "failure"
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise RowError("score: it is not a finite number")
        return "success" if value >= options.pass_mark else "failure"
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        try:
            return verdict_of(float(word), options)
        except ValueError:
            pass
    raise RowError(f"score: {shorten(value)} is neither a number nor a verdict")


_WORDS: Final[Mapping[str, Verdict]] = {
    **dict.fromkeys(("c", "correct", "pass", "passed", "true", "yes", "success", "resolved"), "success"),
    **dict.fromkeys(("i", "n", "incorrect", "fail", "failed", "false", "no", "failure", "unresolved"), "failure"),
    **dict.fromkeys(("", "unknown", "none", "null", "p"), "unknown"),
}
"""`C`, `I`, `N` and `P` are the letters of Inspect: correct, incorrect, no answer, partly correct."""


def digest(*parts: str) -> str:
    """A name for content without one: 32 hexadecimal digits of SHA-256."""
    text = "\0".join(parts)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def shorten(value: object) -> str:
    """A foreign value for a message: printable, one line, short."""
    shown = clean(str(value)[:80]).replace("\n", " ") if not isinstance(value, int) else f"{value:.6g}"
    return repr(shown[:60] + ("…" if len(shown) > 60 else ""))
