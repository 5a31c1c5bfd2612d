"""No auction takes more than was reckoned with before it began, whatever its agents write."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sale.auction.events import AgentDropped, VoteArrived
from sale.auction.fanout import fan_out
from sale.auction.ledger import Ledger
from sale.errors import NoBidsError
from sale.types import AuctionRules, Caps, Price, Task, ToolInfo
from tests.support.builders import pair
from tests.support.generators import utf8_text
from tests.support.greedy import Greedy
from tests.support.scripted import Remembered, Watch, auctioneer

rates = st.floats(0, 100, allow_subnormal=False)
tools = st.builds(ToolInfo, name=st.just("t"), description=st.text(max_size=20))


@st.composite
def pools_of_greed(draw: st.DrawFn) -> list[Greedy]:
    size = draw(st.integers(1, 4))
    favourite = f"agent{draw(st.integers(0, size - 1))}"
    return [
        Greedy(
            f"agent{at}",
            draw(st.builds(Price, input=rates, output=rates, blended=rates)),
            filler=draw(utf8_text.filter(bool)),
            favourite=favourite,
            patience=draw(st.integers(0, 2)),
            tools=draw(
                st.lists(st.builds(ToolInfo, name=st.just("t"), description=st.text(max_size=20)), max_size=2).map(
                    tuple
                )
            ),
        )
        for at in range(size)
    ]


@settings(max_examples=60)
@given(
    agents=pools_of_greed(),
    judging=st.lists(st.booleans(), min_size=4, max_size=4),
    task=utf8_text.filter(str.strip).map(lambda text: Task(text=text)),
    rules=st.builds(
        AuctionRules,
        jury=st.sampled_from(["panel", "per-bid"]),
        strategy_tokens=st.integers(1, 60),
        examples=st.integers(0, 3),
        refine=st.booleans(),
        caps=st.just(Caps(calls=10**6, tokens=10**9, dollars=1e9)),
    ),
    past=st.tuples(utf8_text, utf8_text, utf8_text),
)
def test_is_an_upper_bound(
    agents: list[Greedy], judging: list[bool], task: Task, rules: AuctionRules, past: tuple[str, str, str]
) -> None:
    jurors = [agent for agent, judges in zip(agents, judging, strict=False) if judges]
    worst = fan_out(agents, jurors, task, rules)
    # Exactly so much room (floating sums of dollars may differ in the last digit) and not one call is refused.
    caps = Caps(calls=worst.calls, tokens=worst.tokens, dollars=worst.dollars * (1 + 1e-9))
    pairs = (pair(past[0] * 9, past[1] * 9, task=past[2] * 9),) * 4
    memory = Remembered({agent.name: pairs for agent in agents})
    watch = Watch()
    ledger = Ledger(caps=caps, observe=watch)
    market = auctioneer(agents, jurors=jurors, rules=replace(rules, caps=caps), memory=memory)
    with suppress(NoBidsError):  # a filler may make code of every plan
        asyncio.run(market.hold("id", task, ledger, watch))
    assert len(ledger.settlement.calls) <= worst.calls
    assert ledger.settlement.usage.total <= worst.tokens
    assert not any(event.dropout.code == "auction.cap" for event in watch.of(AgentDropped))
    assert not any("auction.cap" in (event.vote.note or "") for event in watch.of(VoteArrived))
