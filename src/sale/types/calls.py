"""Prompts, replies, and what a call to a model costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

Stage = Literal["look", "bid", "judge", "refine", "rejudge", "execute", "verify"]
AUCTION_STAGES: frozenset[Stage] = frozenset({"look", "bid", "judge", "refine", "rejudge"})
"""The stages that are the market's overhead, as against the work itself."""

USUAL_BYTES_PER_TOKEN: Final = 4
"""Of prose, for estimates where tokens are not counted; scripts other than the Latin take more bytes a letter."""
CACHED_SHARE = 0.5
"""Of the input price, for input read from a cache whose own price is not given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """The tokens a call consumed."""

    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def total(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


MICRO = 1e6
"""Micro-dollars of a dollar: costs of bids are in them, as prices are of a million tokens."""


def byte_length(text: str) -> int:
    """Return the bytes of a text in UTF-8; half a character, which some models stream, is one."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Dollars per million tokens, input and output apart."""

    input: float
    output: float
    blended: float
    """π(a), the one figure bids are costed with (method, equation 2)."""
    cached: float | None = None
    """For input that the endpoint read from its cache. `None` where it is not known: then half the input price, the
    most that hosts with such a price ask."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "blended", "cached"):
            value: float | None = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a price from 0 up, got {value!r}")

    @property
    def cached_input(self) -> float:
        """Dollars per million tokens of input that the endpoint read from its cache, as it is billed."""
        return self.input * CACHED_SHARE if self.cached is None else self.cached

    def dollars(self, usage: Usage, *, cached: int = 0) -> float:
        """Return the cost of `usage`, in dollars, at the real input and output prices (not the blended one).

        Args:
            usage: What was consumed.
            cached: How many of its input tokens the endpoint read from its cache.
        """
        read = min(cached, usage.input_tokens)
        kept = read * self.cached_input
        return ((usage.input_tokens - read) * self.input + kept + usage.output_tokens * self.output) / MICRO


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A rendered prompt, ready to send."""

    system: str
    user: str
    template: str
    """Name and digest of the template it was rendered from, `bid@1a2b3c4d`, for the record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenLogprobs:
    """One generated token and the alternatives the endpoint reported."""

    token: str
    logprob: float
    """Natural logarithm of its probability."""
    top: tuple[tuple[str, float], ...] = ()
    """The k most likely tokens with their log-probabilities; may or may not hold `token` itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The answer of a model."""

    text: str
    usage: Usage
    seconds: float
    logprobs: tuple[TokenLogprobs, ...] | None = None
    """`None` where the endpoint gives none."""
    truncated: bool = False
    """The token cap cut it off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One line of a settlement: a call of a model or a tool, and what it cost."""

    stage: Stage
    agent: str
    usage: Usage
    dollars: float
    seconds: float
    prompt: str = ""
    """Name and digest of the prompt template, `bid@1a2b3c4d`; empty where none was used."""
    error: str | None = None
    tool: str = ""
    """The tool that was called; empty for a call of a model."""
    key: str = ""
    """The environment variable that holds the key a tool was billed to, where there is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """The cost of a task, call by call."""

    calls: tuple[Call, ...] = ()

    @property
    def usage(self) -> Usage:
        """All tokens of all calls."""
        return sum((c.usage for c in self.calls), Usage())

    @property
    def dollars(self) -> float:
        """All dollars of all calls."""
        return sum(c.dollars for c in self.calls)

    @property
    def auction_dollars(self) -> float:
        """Dollars of looks, bids, jury and refinement."""
        return sum(c.dollars for c in self.calls if c.stage in AUCTION_STAGES)

    @property
    def work_dollars(self) -> float:
        """Dollars of execution and verification."""
        return self.dollars - self.auction_dollars

    @property
    def tool_dollars(self) -> float:
        """Dollars of tools, which are part of the work. They cost the same whoever uses them."""
        return sum(c.dollars for c in self.calls if c.tool)

    @property
    def overhead(self) -> float | None:
        """The auction's share of the dollars, in [0, 1]; `None` where nothing was spent."""
        return self.auction_dollars / self.dollars if self.dollars > 0 else None

    def __add__(self, other: Settlement) -> Settlement:
        return Settlement(calls=self.calls + other.calls)
