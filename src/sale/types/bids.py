"""Tasks, strategies, votes and bids."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sale.types.calls import Stage
from sale.types.weights import TrackRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolInfo:
    """A tool of the environment, as it is described to a bidder."""

    name: str
    description: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task for the market. The id is the SHA-256 of the text (first 16 hex digits) unless given."""

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
    """Number of tokens it was measured on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Something an agent's own tool returned before the agent bid, quoted by the harness and never by a model."""

    tool: str
    """The tool that was asked."""
    source: str
    """Where the quotation stands: the title of a passage, the address of a page, the path of a file."""
    quote: str
    """An excerpt, cut to a few dozen words; text of others, which is never believed."""
    score: float | None = None
    """The match that the tool reports, in the tool's own unit (a cosine for passages); `None` where it reports none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Strategy:
    """The content of a bid: a plan for a task, and the evidence found before planning."""

    agent: str
    text: str
    """Empty where no plan was asked for."""
    tokens: int
    """|s|, as counted by the endpoint that wrote it."""
    entropy: Entropy | None
    """`None` where there are no log-probabilities; `entropy_note` then says so."""
    entropy_note: str | None = None
    refined: bool = False
    truncated: bool = False
    """The token cap cut it off."""
    evidence: tuple[Evidence, ...] = ()
    """Evidence that the agent's looks returned, best first; empty where it has nothing to look in."""
    evidence_note: str | None = None
    """Why a look failed, where one did."""


NOTHING_TO_READ = "the bid holds nothing that this juror reads"
"""The note of a vote that abstains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """One juror's answer about one strategy, as it came, before anything is imputed."""

    juror: str
    bidder: str
    value: float | None
    """γ ∈ {0, …, 5}, or five times the probability that a question was answered with; `None` where there is no answer,
    and `note` says why."""
    expected: float | None = None
    """Expectation of the score over the distribution of the score token, where log-probabilities were given."""
    note: str | None = None
    counts_as: float | None = None
    """Where there is no value: the score that speaks neither for nor against; `None` for what others gave the bid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A vote that counts: γ_j(s), imputed where the juror gave none."""

    juror: str
    bidder: str
    value: float
    """In [0, 5]."""
    imputed: bool = False
    expected: float | None = None
    note: str | None = None
    lead: float | None = None
    """This score less the best score that the juror gave another bid on the task; `None` where there is none."""

    @property
    def abstained(self) -> bool:
        """True where the juror had nothing to read in the bid, so that the value says nothing of it."""
        return self.imputed and self.note == NOTHING_TO_READ


@dataclass(frozen=True, kw_only=True, slots=True)
class Bid:
    """A strategy with what it costs (C), what the market thinks it is worth (V), and why."""

    strategy: Strategy
    price: float
    """π(a), dollars per million tokens."""
    cost: float
    """C = w_c · π(a) · |s| (equation 2), or with a success model what the work is expected to cost, in micro-dollars;
    and the price of a lost prompt cache, in the middle of another agent's conversation."""
    value: float
    """V = w_h · H(s) + Σ_j w_j · γ_j(s) (equation 3), and `Weights.track` times its author's success rate above 1/2; or
    with a success model worth · P̂(success), in micro-dollars."""
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()
    """Anything the scoring had to do differently for this bid, in words."""
    track: TrackRecord | None = None
    """Its author's record at similar past tasks; `None` without a memory."""
    chance: float | None = None
    """P̂(success), where the weights hold a model of it."""

    @property
    def agent(self) -> str:
        """The agent that bids."""
        return self.strategy.agent

    @property
    def planned(self) -> bool:
        """True where the bid has a plan: a task may be awarded on track records alone."""
        return bool(self.strategy.text)

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
    """A cheaper agent's new bid after looking at the auction memory."""

    agent: str
    pairs: tuple[Pair, ...]
    bid: Bid | None
    """`None` where it had nothing to learn from or failed; `note` says which."""
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exploration:
    """The draw of an award, where a share of awards explores."""

    best: str
    """The agent that would have been awarded the task without the draw."""
    propensities: Mapping[str, float]
    """By agent; 0 for those that could not be drawn. They sum to 1, and the best bid's is at least 1 − share."""
    extra_dollars: float
    """Expected dollars that drawing costs more than awarding the best bid; below 0 where the others are cheaper."""
    lost_success: float | None
    """By how much P̂(success) is expected to be lower; `None` where the bids carry none."""
