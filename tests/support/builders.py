"""Small values to build tests from, each with everything that does not matter filled in."""

from __future__ import annotations

from sale.types import Bid, Entropy, Pair, Price, Score, Strategy, Task, TokenLogprobs, Vote, Weights

PLAN = "1. Read the task twice.\n2. Write the answer.\n3. Check it against the task."
TASK = Task(text="Add the numbers from 1 to 10.")


def price(blended: float = 1.0) -> Price:
    """One figure for all three."""
    return Price(input=blended, output=blended, blended=blended)


def strategy(
    agent: str = "a", text: str = PLAN, *, tokens: int = 100, entropy: float | None = None, refined: bool = False
) -> Strategy:
    measured = None if entropy is None else Entropy(normalised=entropy, nats=3 * entropy, top_k=20, tokens=tokens)
    return Strategy(agent=agent, text=text, tokens=tokens, entropy=measured, refined=refined)


def bid(
    agent: str = "a",
    *,
    cost: float = 0.0,
    value: float = 0.0,
    price: float = 1.0,
    scores: tuple[Score, ...] = (),
    refined: bool = False,
) -> Bid:
    return Bid(strategy=strategy(agent, refined=refined), price=price, cost=cost, value=value, scores=scores)


def vote(juror: str, bidder: str, value: int | None, *, note: str | None = None) -> Vote:
    return Vote(juror=juror, bidder=bidder, value=value, note=note)


def score(juror: str, bidder: str, value: float, *, imputed: bool = False) -> Score:
    return Score(juror=juror, bidder=bidder, value=value, imputed=imputed)


def weights(jurors: dict[str, float] | None = None, *, cost: float = 1.0, entropy: float = 0.0) -> Weights:
    return Weights(cost=cost, entropy=entropy, jurors=jurors or {})


def pair(losing: str = "1. Guess.", winning: str = "1. Work it out.", *, task: str = "Add 1 and 2.") -> Pair:
    return Pair(auction_id="past", task=task, similarity=0.9, losing=losing, winning=winning, own="losing")


def token(text: str, logprob: float = 0.0, *top: tuple[str, float]) -> TokenLogprobs:
    return TokenLogprobs(token=text, logprob=logprob, top=top)
