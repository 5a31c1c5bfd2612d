"""What counts as a bid, and why the rest drops out."""

from __future__ import annotations

import math

import pytest

from sale.agents.adapters import FunctionAgent, Work
from sale.auction.bidding import first_strategy, plan_fault, refined_strategy
from sale.auction.ledger import Ledger
from sale.auction.protocols import Bidder
from sale.errors import RejectedError, SourcesError
from sale.models.scripted import Line, Script
from sale.types import AuctionRules, Caps, Dropout, Strategy, Task, Usage
from tests.support.builders import PLAN, TASK, pair, price, strategy, token
from tests.support.scripted import acts, asked, contractor

RULES = AuctionRules(strategy_tokens=20)


async def bids(bidder: Bidder, rules: AuctionRules = RULES) -> Strategy | Dropout:
    return await first_strategy(bidder, TASK, rules, Ledger(caps=rules.caps))


async def plan_of(script: Script) -> Strategy:
    found = await bids(contractor("a", script))
    assert isinstance(found, Strategy), found
    return found


async def dropout_of(script: Script) -> Dropout:
    found = await bids(contractor("a", script))
    assert isinstance(found, Dropout), found
    return found


class TestStrategy:
    async def test_is_what_the_agent_wrote(self) -> None:
        found = await plan_of(acts(bid=Line(text=f"\n{PLAN}\n", tokens=17)))
        assert found == Strategy(
            agent="a",
            text=PLAN,
            tokens=17,
            entropy=None,
            entropy_note="its plan came without log-probabilities",
            refined=False,
            truncated=False,
        )

    async def test_entropy_is_measured_where_there_are_log_probabilities(self) -> None:
        half = math.log(0.5)
        tokens = (token("1", half, ("1", half), ("2", half)),)
        found = await plan_of(acts(bid=Line(text=PLAN, logprobs=tokens)))
        assert found.entropy is not None
        assert found.entropy.normalised == pytest.approx(math.log(2) / math.log(3))
        assert found.entropy_note is None

    async def test_says_where_log_probabilities_are_none(self) -> None:
        found = await plan_of(acts(bid=Line(text=PLAN, logprobs=(token("1", math.nan),))))
        assert found.entropy is None
        assert found.entropy_note == "its log-probabilities are unusable"

    async def test_a_cut_strategy_says_so(self) -> None:
        assert (await plan_of(acts(bid=Line(text=PLAN, tokens=99)))).truncated

    @pytest.mark.parametrize(
        "text",
        [
            f"<think>What\nshould I do?\n1. Hm.</think>\n{PLAN}",
            f"<THINK>Hm.</THINK>{PLAN}",
            f"Hm, I was\n1. thinking.\n</think>\n\n{PLAN}",
            f"<think>one</think>{PLAN}<think>two, never closed",
        ],
    )
    async def test_private_reasoning_is_no_part_of_it_but_counts(self, text: str) -> None:
        found = await plan_of(acts(bid=Line(text=text, tokens=20)))
        assert found.text == PLAN
        assert found.tokens == 20

    async def test_has_at_least_one_token(self) -> None:
        assert (await plan_of(acts(bid=Line(text=PLAN, tokens=0)))).tokens == 1

    async def test_is_cut_to_eight_bytes_a_token_whatever_the_agent_counts(self) -> None:
        async def plan(task: Task) -> Work:
            return Work(text="1. " + "ü" * 5000, usage=Usage(output_tokens=1))

        async def work(task: Task, strategy: str | None) -> str:
            return ""

        found = await bids(FunctionAgent("a", price=price(), bid=plan, execute=work))
        assert isinstance(found, Strategy)
        assert found.text == "1. " + "ü" * 78
        assert found.truncated

    async def test_can_be_sent_and_stored(self) -> None:
        assert (await plan_of(acts(bid="1. a\ud800b\0c"))).text == "1. a?bc"


class TestDropout:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "the strategy is empty"),
            (" \n\t", "the strategy is empty"),
            ("<think>1. I wonder.", "the strategy is empty"),
            ("<think>1. I wonder.</think>", "the strategy is empty"),
            ("1. I wonder.</think>", "the strategy is empty"),
            ("It is 55.", "the strategy has no steps"),
            ("```python\n# 1. sum\nprint(sum(range(11)))\n```", "the strategy is code, not a plan"),
        ],
    )
    async def test_what_is_no_plan(self, text: str, reason: str) -> None:
        found = await dropout_of(acts(bid=text))
        assert found == Dropout(agent="a", stage="bid", code="call.bad_reply", reason=reason)

    async def test_a_failed_call(self) -> None:
        found = await dropout_of(acts(bid=RejectedError("no such model", where="a", hint="Look it up.")))
        assert (found.stage, found.code, found.reason) == ("bid", "call.rejected", "no such model")

    async def test_weights_that_cannot_be_had(self) -> None:
        """Not a failed call: the model never got as far as being asked."""

        class Weightless:
            name = "a"
            price = price()
            tools = ()

            async def bid(self, request: object, /):
                raise SourcesError("no source could deliver it", hint="Connect to the internet.")

        found = await bids(Weightless())
        assert isinstance(found, Dropout)
        assert (found.code, found.reason) == ("model_file.sources", "no source could deliver it")

    async def test_a_cap(self) -> None:
        found = await bids(contractor("a"), AuctionRules(caps=Caps(tokens=10)))
        assert isinstance(found, Dropout)
        assert found.code == "auction.cap"

    async def test_a_bid_that_takes_too_long(self) -> None:
        found = await bids(contractor("a", acts(seconds={"bid": 30})), AuctionRules(bid_seconds=0.02))
        assert isinstance(found, Dropout)
        assert (found.code, found.reason) == ("call.timeout", "no answer within 0.02 s")


class TestRefining:
    async def test_shows_the_first_plan_and_the_pairs(self) -> None:
        agent = contractor("a", acts(refine="1. Better."))
        own = strategy("a", "1. Mine.")
        found = await refined_strategy(agent, TASK, own, (pair("1. Lost.", "1. Won."),), RULES, Ledger(caps=Caps()))
        assert isinstance(found, Strategy)
        assert (found.text, found.refined) == ("1. Better.", True)
        (shown,) = asked(agent)
        assert all(text in shown.user for text in ("1. Mine.", "1. Lost.", "1. Won."))

    async def test_drops_out_of_the_stage_it_failed_at(self) -> None:
        agent = contractor("a", acts(refine=""))
        found = await refined_strategy(agent, TASK, strategy("a"), (pair(),), RULES, Ledger(caps=Caps()))
        assert isinstance(found, Dropout)
        assert found.stage == "refine"


class TestPlanFault:
    @pytest.mark.parametrize(
        "text",
        [
            "1. Do it.",
            "Plan:\n\n1) Do it.",
            "- do it",
            "* do it",
            "• do it",
            "**1.** Do it.",
            "### Step one\nDo it.",
            "(1) Do it.",
            "   2 : do it",
            "1、查找单词。",
            "１．調べる。",
            "第一步：查找",
            "步骤1：查找",
            "ステップ1：調べる",
            "1단계: 찾기",
            "Étape 1 : chercher",
            "Schritt 1: suchen",
            "Paso 1: buscar",
            "a) Look it up.",
            "1 - Look it up.",
            "① Look it up.",
            "1. Run it:\n```python\nprint(1)\n```\n2. Look at what it prints, then hand it in.",
        ],
    )
    def test_steps_make_a_plan(self, text: str) -> None:
        assert plan_fault(text) is None

    @pytest.mark.parametrize(
        "text",
        [
            "Do it.",
            "In step one I do it.",
            "In 1990: it was.",
            "2-3 eggs.",
            "x1.add(2)",
            "-do it",
            "I will do 1. this",
            "print('1. x')",
            "---\n***\n",
        ],
    )
    def test_without_steps_it_is_none(self, text: str) -> None:
        assert plan_fault(text) == "the strategy has no steps"

    def test_steps_within_code_do_not_count(self) -> None:
        assert plan_fault("Here is what I would do, in code, at length:\n```\n1. x\n```") == "the strategy has no steps"

    def test_takes_no_time_over_long_runs_of_marks(self) -> None:
        for text in (
            "a" + "\n" * 30_000 + "b",
            "a" + "-" * 30_000,
            "`" * 30_000,
            "a\n" * 30_000,
            f"{'a ' * 9}{' ' * 30_000}",
        ):
            assert plan_fault(text) is not None
