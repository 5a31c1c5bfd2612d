"""The nouns of the market: frozen values, no behaviour beyond arithmetic on their own fields.

Values are pure. Ids are given by whoever stores them. Unknown is never zero: a missing entropy, vote or outcome
is `None` or `"unknown"` with the reason beside it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Verdict = Literal["success", "failure", "unknown"]
JuryMode = Literal["panel", "per-bid"]
Stage = Literal["bid", "judge", "refine", "rejudge", "execute", "verify"]

AUCTION_STAGES: frozenset[Stage] = frozenset({"bid", "judge", "refine", "rejudge"})
"""The stages that are the market's overhead, as against the work itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a call consumed."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Dollars per million tokens, input and output apart."""

    input: float
    output: float
    blended: float
    """π(a), the one figure bids are costed with (method, equation 2)."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "blended"):
            value: float = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a price from 0 up, got {value!r}")

    def dollars(self, usage: Usage) -> float:
        """What `usage` costs, in dollars, at the real input and output prices (not the blended one)."""
        return (usage.input_tokens * self.input + usage.output_tokens * self.output) / 1e6


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
    """What a model answered."""

    text: str
    usage: Usage
    seconds: float
    logprobs: tuple[TokenLogprobs, ...] | None = None
    """`None` where the endpoint gives none."""
    truncated: bool = False
    """The token cap cut it off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """Hard limits of one auction, bids, jury and refinement together. None is ever exceeded."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    calls: int = 200
    """Model calls."""
    tokens: int = 1_000_000
    """Tokens, input and output."""
    dollars: float = 1.0
    """Dollars."""
    seconds: float = 300.0
    """Wall time. At the deadline the auction goes on with the bids and votes it has."""

    def __post_init__(self) -> None:
        _above(self, 0, "calls", "tokens", "seconds")
        if not self.dollars >= 0:
            raise ValueError(f"dollars must not be negative, got {self.dollars!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionRules:
    """How an auction is held."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    jury: JuryMode = "panel"
    """`panel`: each juror scores all strategies in one call. `per-bid`: one call for each juror and strategy."""
    strategy_tokens: int = 300
    """The longest strategy a bidder may write, in tokens."""
    bid_seconds: float = 120.0
    """The longest a bid may take."""
    judge_seconds: float = 60.0
    """The longest a judgement may take."""
    refine: bool = True
    """Whether cheaper agents may refine their bid from the auction memory."""
    examples: int = 8
    """k: how many contrastive pairs a refining agent is shown at most."""
    caps: Caps = field(default_factory=Caps)
    """Hard limits of one auction."""

    def __post_init__(self) -> None:
        _above(self, 0, "strategy_tokens", "bid_seconds", "judge_seconds")
        if self.examples < 0:
            raise ValueError(f"examples must not be negative, got {self.examples!r}")


def _above(settings: object, least: float, *names: str) -> None:
    for name in names:
        value: float = getattr(settings, name)
        if not value > least:  # in this form it refuses NaN too
            raise ValueError(f"{name} must be above {least}, got {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolInfo:
    """A tool of the environment, as it is described to a bidder."""

    name: str
    description: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is to be done. The id is the SHA-256 of the text (first 16 hex digits) unless given."""

    text: str
    id: str = ""
    domain: str | None = None

    def __post_init__(self) -> None:
        if not self.id:
            # What is not valid text gets an id too; the auction refuses it, with a readable reason.
            digest = hashlib.sha256(self.text.encode(errors="surrogatepass")).hexdigest()[:16]
            object.__setattr__(self, "id", digest)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entropy:
    """Mean per-token entropy of a strategy, from top-k log-probabilities with one tail bucket."""

    normalised: float
    """Mean over tokens of H_t / log(k_t + 1), in [0, 1]. The H of equation 3."""
    nats: float
    """Mean over tokens of H_t in nats; a lower bound of the true entropy, as the tail is one bucket."""
    top_k: int
    """The largest number of alternatives the endpoint returned for a token."""
    tokens: int
    """How many tokens it was measured on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Strategy:
    """An agent's plan for a task."""

    agent: str
    text: str
    tokens: int
    """|s|, as counted by the endpoint that wrote it."""
    entropy: Entropy | None
    """`None` where the endpoint gives no log-probabilities; `entropy_note` then says so."""
    entropy_note: str | None = None
    refined: bool = False
    truncated: bool = False
    """The token cap cut it off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """One juror's answer about one strategy, as it came, before anything is imputed."""

    juror: str
    bidder: str
    value: int | None
    """γ ∈ {0, …, 5}; `None` where the juror failed to answer, and `note` says why."""
    expected: float | None = None
    """Expectation of the score over the distribution of the score token, where log-probabilities were given."""
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A vote that counts: γ_j(s), imputed where the juror gave none."""

    juror: str
    bidder: str
    value: float
    """In [0, 5]; whole numbers unless imputed."""
    imputed: bool = False
    expected: float | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """w = (w_c, w_h, {w_j}) of equations 2 and 3."""

    cost: float
    """w_c, per micro-dollar: π is in dollars per million tokens, so π·|s| is micro-dollars."""
    entropy: float
    """w_h, per unit of normalised entropy. May be negative: its sign is learnt, not assumed."""
    jurors: Mapping[str, float]
    """w_j, per point of juror j's score. A juror that is not named weighs nothing."""
    source: str = "given"
    """Where they come from, for the record: `default`, `sale.toml`, a fit's id."""

    def __post_init__(self) -> None:
        for name, value in (("cost", self.cost), ("entropy", self.entropy), *self.jurors.items()):
            if not math.isfinite(value):
                raise ValueError(f"the weight of {name} must be a finite number, got {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bid:
    """A strategy with what it costs (C), what the market thinks it is worth (V), and why."""

    strategy: Strategy
    price: float
    """π(a), dollars per million tokens."""
    cost: float
    """C = w_c · π(a) · |s| (equation 2)."""
    value: float
    """V = w_h · H(s) + Σ_j w_j · γ_j(s) (equation 3)."""
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()
    """Anything the scoring had to do differently for this bid, in words."""

    @property
    def agent(self) -> str:
        """Who bids."""
        return self.strategy.agent

    @property
    def net_cost(self) -> float:
        """C − V. The smallest wins (equation 4)."""
        return self.cost - self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropout:
    """An agent that left the auction at some stage, and why."""

    agent: str
    stage: Stage
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A contrastive pair from the auction memory: a losing and the winning strategy of one past auction."""

    auction_id: str
    task: str
    similarity: float
    """Cosine similarity of the past task to this one, in [-1, 1]."""
    losing: str
    winning: str
    own: Literal["losing", "winning", "both"]
    """Which of the two the refining agent wrote itself; at least one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refinement:
    """What a cheaper agent made of its bid after looking at the auction memory."""

    agent: str
    pairs: tuple[Pair, ...]
    bid: Bid | None
    """`None` where it had nothing to learn from or failed; `note` says which."""
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One line of a settlement: a model call and what it cost."""

    stage: Stage
    agent: str
    usage: Usage
    dollars: float
    seconds: float
    prompt: str = ""
    """Name and digest of the prompt template, `bid@1a2b3c4d`; empty where none was used."""
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """What the task cost, call by call."""

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
        """Dollars of bids, jury and refinement."""
        return sum(c.dollars for c in self.calls if c.stage in AUCTION_STAGES)

    @property
    def work_dollars(self) -> float:
        """Dollars of execution and verification."""
        return self.dollars - self.auction_dollars

    @property
    def overhead(self) -> float | None:
        """The auction's share of the dollars, in [0, 1]; `None` where nothing was spent."""
        return self.auction_dollars / self.dollars if self.dollars > 0 else None

    def __add__(self, other: Settlement) -> Settlement:
        return Settlement(calls=self.calls + other.calls)


@dataclass(frozen=True, kw_only=True, slots=True)
class Auction:
    """Everything about one auction: who bid what, who judged it how, who won and why."""

    id: str
    task: Task
    bids: tuple[Bid, ...]
    """First bids that stood, in the pool's order."""
    provisional: str
    """The provisional winner (equation 4)."""
    refinements: tuple[Refinement, ...]
    winner: Bid
    """The bid that is awarded: a refined one where it beats the provisional winner (equations 5 and 6)."""
    dropouts: tuple[Dropout, ...]
    weights: Weights
    jury: JuryMode
    settlement: Settlement
    seconds: float

    @property
    def contenders(self) -> tuple[Bid, ...]:
        """First and refined bids together."""
        return self.bids + tuple(r.bid for r in self.refinements if r.bid is not None)

    @property
    def flipped(self) -> bool:
        """Whether refinement took the task from the provisional winner."""
        return self.winner.strategy.refined


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """The winner's work."""

    agent: str
    answer: str
    mode: str
    """How it worked: `direct` (one answer) or `tools` (a tool loop)."""
    followed_strategy: bool
    trace: tuple[Mapping[str, object], ...] = ()
    """The messages exchanged, in order, as JSON-ready values."""
    calls: tuple[Call, ...] = ()
    seconds: float = 0.0
    error: str | None = None
    """Why there is no whole answer, where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Whether the work was good, and who says so."""

    verdict: Verdict
    judged_by: str
    """`tests`, `exact match`, `callable`, `model:<agent>`, `user`, or `nobody`."""
    detail: str = ""
    calls: tuple[Call, ...] = ()
    """Model calls the judging itself took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """What the task would have cost without a market. An estimate, and it says how it was made."""

    agent: str
    dollars: float
    basis: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One task through the market, from bids to outcome."""

    auction: Auction
    execution: Execution
    outcome: Outcome
    settlement: Settlement
    always_largest: Baseline
    seconds: float
    saved: float = field(init=False)
    """Dollars saved against `always_largest`; negative where the market cost more."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "saved", self.always_largest.dollars - self.settlement.dollars)

    @property
    def answer(self) -> str:
        """The winner's answer."""
        return self.execution.answer
