"""Auctions to remember: a few by hand, and hypothesis strategies for all that a record can hold."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from sale.memory.store import AuctionMemory
from sale.memory.tenants import DEFAULT
from sale.types import (
    Attempt,
    Auction,
    Baseline,
    Bid,
    Call,
    Dropout,
    Entropy,
    Execution,
    JuryMode,
    Outcome,
    Pair,
    Refinement,
    Score,
    Settlement,
    Stage,
    Strategy,
    SuccessModel,
    Task,
    TrackRecord,
    Usage,
    Verdict,
    Weights,
)

T = TypeVar("T")


class HashEmbedder:
    """Words to directions, by hashing: texts that share words are similar, equal texts are equal. Counts its work."""

    def __init__(self, name: str = "hash", dimensions: int = 48) -> None:
        self.name = name
        self.dimensions = dimensions
        self.embedded = 0

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += len(texts)
        return np.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> NDArray[np.float32]:
        total = np.zeros(self.dimensions)
        for word in ("", *text.split()):
            digest = hashlib.sha256(f"{self.name} {word}".encode(errors="surrogatepass")).digest()
            total += np.random.default_rng(int.from_bytes(digest[:8], "little")).normal(size=self.dimensions)
        return (total / np.linalg.norm(total)).astype(np.float32)


Place = Path | str
"""A file, or the URL of a database."""
only_sqlite = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
"""For what is about files."""


async def rows(memory: AuctionMemory, statement: str) -> list[tuple[Any, ...]]:
    """What the database itself says."""
    return await memory._database.read(lambda connection: [tuple(row) for row in connection.exec_driver_sql(statement)])


class Fresh(Protocol):
    """Opens an empty memory."""

    def __call__(self, embedder: HashEmbedder | None = None) -> AbstractAsyncContextManager[AuctionMemory]: ...


# ---------------------------------------------------------------------------------------------------- by hand


def bid(agent: str, net_cost: float, text: str = "", *, refined: bool = False) -> Bid:
    plan = text or f"{'refined' if refined else 'first'} plan of {agent}"
    scores = (Score(juror="judge", bidder=agent, value=3.0),)
    return Bid(
        strategy=Strategy(agent=agent, text=plan, tokens=10, entropy=None, refined=refined),
        price=1.0,
        cost=net_cost,
        value=0.0,
        scores=scores,
    )


def call(stage: Stage = "bid", agent: str = "a", dollars: float = 0.01) -> Call:
    return Call(stage=stage, agent=agent, usage=Usage(input_tokens=7, output_tokens=3), dollars=dollars, seconds=0.5)


def auction(
    auction_id: str,
    task: Task,
    bids: Sequence[Bid],
    *,
    refined: Sequence[Bid] = (),
    winner: Bid | None = None,
    pairs: tuple[Pair, ...] = (),
) -> Auction:
    """One that the first bid wins unless another winner is given."""
    return Auction(
        id=auction_id,
        task=task,
        bids=tuple(bids),
        provisional=bids[0].agent,
        refinements=tuple(Refinement(agent=one.agent, pairs=pairs, bid=one) for one in refined),
        winner=winner or bids[0],
        dropouts=(),
        weights=Weights(cost=1.0, entropy=0.0, jurors={"judge": 1.0}, track=3.0),
        jury="panel",
        settlement=Settlement(calls=(call(), call("judge", "judge"))),
        seconds=2.0,
    )


def execution(agent: str = "a") -> Execution:
    return Execution(
        agent=agent,
        answer="42",
        mode="direct",
        followed_strategy=True,
        trace=({"role": "user", "parts": ["x", 1, None]},),
        calls=(call("execute", agent, 0.25),),
        seconds=1.5,
    )


def outcome(verdict: Verdict = "success") -> Outcome:
    return Outcome(verdict=verdict, judged_by="tests", calls=(call("verify", "judge"),))


BASELINE = Baseline(agent="large", dollars=1.0, basis="its own execution")


MODEL = SuccessModel(
    worth=1e4,
    intercepts={"a": 0.5, "b": -1.0},
    newcomer=-0.25,
    rates={"a": 0.6, "b": 0.3},
    newcomer_rate=0.4,
    coefficients={"entropy": -0.1, "juror:a": 0.2, "track": 1.0},
    means={"entropy": 0.5, "juror:a": 4.0},
    work={"a": 10.0, "b": 1.0},
    newcomer_tokens=800.0,
)


async def remember(
    memory: AuctionMemory,
    auction_id: str,
    text: str,
    bids: Sequence[Bid] | None = None,
    *,
    verdict: Verdict | None = "success",
    refined: Sequence[Bid] = (),
    winner: Bid | None = None,
    pairs: tuple[Pair, ...] = (),
    tenant: str = DEFAULT,
    withheld: bool = False,
) -> Auction:
    """A whole life: begun, awarded and, unless the verdict is `None`, settled."""
    task = Task(text=text)
    held = auction(
        auction_id, task, bids or (bid("a", 1.0), bid("b", 2.0)), refined=refined, winner=winner, pairs=pairs
    )
    await memory.begin(auction_id, task, tenant=tenant, withheld=withheld)
    await memory.award(held)
    if verdict is not None:
        await memory.settle(auction_id, execution(held.winner.agent), outcome(verdict), BASELINE)
    return held


# ------------------------------------------------------------------------------------------ all a record can hold

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
"""Any text Python has: NUL, the escape mark of the store, lone surrogates."""
sound_texts = st.text(max_size=30)
"""Valid Unicode only, for what is written as JSON."""
reals = st.floats(allow_nan=False)
counts = st.integers(0, 2**63 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | reals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def some(values: SearchStrategy[T], most: int = 3) -> SearchStrategy[tuple[T, ...]]:
    return st.lists(values, max_size=most).map(tuple)


finite = st.floats(allow_nan=False, allow_infinity=False)


def numbers(text: SearchStrategy[str]) -> SearchStrategy[float]:
    """Any number for the database; for what is written as JSON, and read by others, a finite one."""
    return reals if text is texts else finite


def amounts(text: SearchStrategy[str]) -> SearchStrategy[float]:
    """Dollars and seconds, likewise."""
    return reals if text is texts else st.floats(0, 1e9)


def tokens(text: SearchStrategy[str]) -> SearchStrategy[int]:
    return counts if text is texts else st.integers(0, 10**12)


def calls(text: SearchStrategy[str]) -> SearchStrategy[Call]:
    usage = st.builds(Usage, input_tokens=tokens(text), output_tokens=tokens(text))
    return st.builds(
        Call,
        stage=st.sampled_from(get_args(Stage)),
        agent=text,
        usage=usage,
        dollars=amounts(text),
        seconds=amounts(text),
        prompt=text,
        error=st.none() | text,
        tool=text,
        key=text,
    )


def bids(text: SearchStrategy[str]) -> SearchStrategy[Bid]:
    entropy = st.builds(
        Entropy, normalised=numbers(text), nats=numbers(text), top_k=st.integers(0, 2**31 - 1), tokens=tokens(text)
    )
    strategy = st.builds(
        Strategy,
        agent=text,
        text=text,
        tokens=tokens(text),
        entropy=st.none() | entropy,
        entropy_note=st.none() | text,
        refined=st.booleans(),
        truncated=st.booleans(),
    )
    score = st.builds(
        Score,
        juror=text,
        bidder=text,
        value=numbers(text),
        imputed=st.booleans(),
        expected=st.none() | numbers(text),
        note=st.none() | text,
    )
    return st.builds(
        Bid,
        strategy=strategy,
        price=amounts(text),
        cost=numbers(text),
        value=numbers(text),
        scores=some(score),
        notes=some(text),
        track=st.none() | st.builds(TrackRecord, agent=text, successes=numbers(text), failures=numbers(text)),
        chance=st.none() | numbers(text),
    )


def tasks(text: SearchStrategy[str], given: SearchStrategy[str]) -> SearchStrategy[Task]:
    """Without an id of its own, a task takes one from its text, which must then be valid Unicode."""
    named = st.builds(Task, text=text, id=text.filter(bool), domain=st.none() | text)
    return named | st.builds(Task, text=given, domain=st.none() | text)


def models() -> SearchStrategy[SuccessModel]:
    by_name = st.dictionaries(sound_texts, finite, max_size=3)
    return st.builds(
        SuccessModel,
        worth=finite.map(abs),
        intercepts=by_name,
        newcomer=finite,
        rates=by_name,
        newcomer_rate=finite,
        coefficients=by_name,
        means=by_name,
        work=by_name,
        newcomer_tokens=finite,
        prior_evidence=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    )


def weights(text: SearchStrategy[str]) -> SearchStrategy[Weights]:
    jurors = st.dictionaries(text, finite, max_size=3)
    return st.builds(Weights, cost=finite, entropy=finite, jurors=jurors, source=text, model=st.none() | models())


def auctions(text: SearchStrategy[str], sound: SearchStrategy[str] = sound_texts) -> SearchStrategy[Auction]:
    """With the id `x`, whose winner is one of its bids, first or refined."""
    pair = st.builds(
        Pair,
        auction_id=text,
        task=text,
        similarity=numbers(text),
        losing=text,
        winning=text,
        own=st.sampled_from(["losing", "winning", "both"]),
    )
    refinement = st.builds(Refinement, agent=text, pairs=some(pair), bid=st.none() | bids(text), note=st.none() | text)
    held = st.builds(
        Auction,
        id=st.just("x"),
        task=tasks(text, sound),
        bids=st.lists(bids(text), min_size=1, max_size=3).map(tuple),
        provisional=text,
        refinements=some(refinement),
        winner=bids(text),
        dropouts=some(st.builds(Dropout, agent=text, stage=st.sampled_from(get_args(Stage)), code=text, reason=text)),
        weights=weights(text),
        jury=st.sampled_from(get_args(JuryMode)),
        settlement=st.builds(Settlement, calls=some(calls(text))),
        seconds=amounts(text),
    )
    return st.tuples(held, st.integers(0, 5)).map(_with_a_winner)


def _with_a_winner(drawn: tuple[Auction, int]) -> Auction:
    held, number = drawn
    return replace(held, winner=held.contenders[number % len(held.contenders)])


def executions(text: SearchStrategy[str]) -> SearchStrategy[Execution]:
    return st.builds(
        Execution,
        agent=text,
        answer=text,
        mode=text,
        followed_strategy=st.booleans(),
        trace=some(st.dictionaries(text, json_values if text is texts else sound_json, max_size=3)),
        calls=some(calls(text)),
        seconds=amounts(text),
        error=st.none() | text,
    )


sound_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | sound_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(sound_texts, inner, max_size=3),
    max_leaves=6,
)


def outcomes(text: SearchStrategy[str]) -> SearchStrategy[Outcome]:
    verdicts = st.sampled_from(get_args(Verdict))
    return st.builds(Outcome, verdict=verdicts, judged_by=text, detail=text, calls=some(calls(text)))


def attempts(text: SearchStrategy[str]) -> SearchStrategy[tuple[Attempt, ...]]:
    return some(st.builds(Attempt, execution=executions(text), outcome=outcomes(text)), most=2)


def baselines(text: SearchStrategy[str]) -> SearchStrategy[Baseline | None]:
    return st.none() | st.builds(Baseline, agent=text, dollars=amounts(text), basis=text)


def nan_bid(agent: str) -> Bid:
    return replace(bid(agent, 1.0), cost=math.nan)
