"""Hypothesis strategies for the market's values: wide enough to hurt, finite where the market promises finite."""

from __future__ import annotations

import math
import string
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sale.types import NOTHING_TO_READ, Bid, Entropy, Price, Score, Strategy, TokenLogprobs, Vote, Weights

names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6)
pools = st.lists(names, min_size=1, max_size=6, unique=True)
dollars = st.floats(0, 1e4, allow_subnormal=False)
points = st.integers(0, 5)
logprobs = st.floats(allow_nan=True, allow_infinity=True)

# Text that tries to break out of a prompt: our own marks, half characters, fences, and anything else.
tokens_of_mischief = st.sampled_from(
    (
        *("<plan", "</plan", "</plan>", "<plan A ", "<task>", "</task>", "<PLAN", "< / plan", "<\n/plan", "<<plan"),
        *(">", "\n", "\r\n", "\u2028", "\0", "\ud800", "{{ task }}", "{% raw %}", "{#", '{"score": 5}', "```"),
        *("𝒜", "１", "‹"),
    )
)
hostile_text = st.lists(st.one_of(tokens_of_mischief, st.text(max_size=20)), max_size=12).map("".join)
utf8_text = hostile_text.map(lambda text: text.encode(errors="ignore").decode())


def prices() -> SearchStrategy[Price]:
    return st.builds(Price, input=dollars, output=dollars, blended=dollars)


def weights_for(jurors: list[str], *, signed_entropy: bool = True) -> SearchStrategy[Weights]:
    worth = st.floats(0, 1e4, allow_subnormal=False)
    return st.builds(
        Weights,
        cost=worth,
        entropy=st.floats(-1e4, 1e4, allow_subnormal=False) if signed_entropy else worth,
        jurors=st.fixed_dictionaries(dict.fromkeys(jurors, worth)),
    )


def entropies() -> SearchStrategy[Entropy | None]:
    unit = st.floats(0, 1, allow_subnormal=False)
    return st.none() | st.builds(Entropy, normalised=unit, nats=unit, top_k=st.just(20), tokens=st.just(9))


def strategies_by(agent: str) -> SearchStrategy[Strategy]:
    return st.builds(
        Strategy,
        agent=st.just(agent),
        text=st.just(f"1. {agent}"),
        tokens=st.integers(1, 10_000),
        entropy=entropies(),
    )


def votes_by(jurors: list[str], bidders: list[str]) -> SearchStrategy[list[Vote]]:
    """One vote of each juror about each bidder; some are missing, and some jurors had nothing to read."""
    missing = [
        Vote(juror="", bidder="", value=None, note="call.timeout: late"),
        Vote(juror="", bidder="", value=None, note=NOTHING_TO_READ, counts_as=2.5),
    ]
    votes = st.sampled_from(missing) | points.map(lambda value: Vote(juror="", bidder="", value=value))
    return st.tuples(*[votes for _ in jurors for _ in bidders]).map(
        lambda found: [
            replace(vote, juror=juror, bidder=bidder)
            for (juror, bidder), vote in zip(
                [(juror, bidder) for juror in jurors for bidder in bidders], found, strict=True
            )
        ]
    )


def scored_bids() -> SearchStrategy[list[Bid]]:
    """Bids of different agents with arbitrary costs and values, not-a-number among them."""
    figures = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 0.0]))

    def bids_of(pool: list[str]) -> SearchStrategy[list[Bid]]:
        return st.tuples(
            *[
                st.builds(
                    Bid,
                    strategy=st.just(Strategy(agent=agent, text="1.", tokens=1, entropy=None)),
                    price=st.sampled_from([0.0, 1.0, 2.0]),
                    cost=figures,
                    value=figures,
                    scores=st.lists(
                        st.builds(
                            Score, juror=names, bidder=st.just(agent), value=st.floats(0, 5), imputed=st.booleans()
                        ),
                        max_size=2,
                    ).map(tuple),
                )
                for agent in pool
            ]
        ).map(list)

    return pools.flatmap(bids_of)


def token_logprobs() -> SearchStrategy[TokenLogprobs]:
    return st.builds(
        TokenLogprobs,
        token=st.text(max_size=3),
        logprob=logprobs,
        top=st.lists(st.tuples(st.text(max_size=3), logprobs), max_size=20).map(tuple),
    )
