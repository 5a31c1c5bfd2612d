"""The scripted model does what it is told and no more: other tests and the documentation stand on it."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai import Agent as ToolLoop

from sale.agents.prompts import work_prompt
from sale.auction.entropy import strategy_entropy
from sale.auction.labels import draw_labels
from sale.auction.prompts import bid_prompt, judge_prompt, panel_prompt, refine_prompt
from sale.auction.prompts.templates import neutralise
from sale.auction.text import without_invisible, without_scores
from sale.errors import RateLimitedError
from sale.models.protocol import GenerationRequest
from sale.models.scripted import Line, ScriptedModel, persona, plans_in
from sale.types import Prompt, Usage
from tests.support.builders import TASK, pair, strategy, token
from tests.support.generators import utf8_text

BID = bid_prompt(TASK, [], 300)
REFINE = refine_prompt(TASK, [], 300, own=strategy(), pairs=[pair()])
WORK = work_prompt(TASK, strategy="1. Add.")
SCHEMA = {"type": "object"}


class TestPersona:
    def test_has_a_plan_an_opinion_and_an_answer(self) -> None:
        script = persona(plan="1. Add.", opinion=4, answer="55", refined="1. Multiply.")
        assert script(BID, None) == Line(text="1. Add.")
        assert script(REFINE, None) == Line(text="1. Multiply.")
        assert script(WORK, None) == "55"
        assert script(judge_prompt(TASK, "1. x", label="KQ"), SCHEMA) == '{"KQ": 4}'
        assert script(panel_prompt(TASK, {"B": "1. x", "A": "1. y"}), SCHEMA) == '{"B": 4, "A": 4}'

    def test_keeps_its_plan_unless_told_otherwise(self) -> None:
        assert persona(plan="1. Add.")(REFINE, None) == Line(text="1. Add.")

    def test_may_look_at_what_it_judges(self) -> None:
        script = persona(plan="", opinion=len)
        ballot = script(panel_prompt(TASK, {"A": "1. x", "B": "1."}), SCHEMA)
        assert isinstance(ballot, str)
        assert json.loads(ballot) == {"A": 4, "B": 2}

    def test_certainty_decides_the_entropy_of_its_plans(self) -> None:
        line = persona(plan="1. Add them up.", certainty=0.5)(BID, None)
        assert isinstance(line, Line)
        assert line.logprobs is not None
        assert [one.token for one in line.logprobs] == ["1.", "Add", "them", "up."]
        found = strategy_entropy(line.logprobs)
        assert found is not None
        assert found.nats == pytest.approx(math.log(2))


class TestPlansIn:
    @given(st.lists(utf8_text, min_size=1, max_size=30))
    def test_finds_what_a_panel_is_shown(self, texts: list[str]) -> None:
        plans = dict(zip(draw_labels(len(texts), ["seed"], texts), texts, strict=True))
        shown = plans_in(panel_prompt(TASK, plans).user)
        assert list(shown) == list(plans)
        assert all(shown[label] == without_scores(neutralise(without_invisible(text))) for label, text in plans.items())

    @given(utf8_text)
    def test_finds_the_one_plan_of_a_ballot_for_one(self, text: str) -> None:
        shown = plans_in(judge_prompt(TASK, text, label="KQ").user)
        assert list(shown) == ["KQ"]

    def test_finds_none_where_there_is_none(self) -> None:
        assert plans_in(BID.user) == {}


class TestModel:
    async def test_counts_words(self) -> None:
        model = ScriptedModel(lambda prompt, schema: "one two  three\n")
        prompt = Prompt(system="a b", user="c d e", template="t")
        reply = await model.generate(GenerationRequest(prompt, max_tokens=10))
        assert reply.text == "one two  three\n"
        assert reply.usage == Usage(input_tokens=5, output_tokens=3)
        assert (reply.seconds, reply.logprobs, reply.truncated) == (0.0, None, False)
        assert model.asked == [prompt]

    async def test_reports_what_the_line_says(self) -> None:
        logprobs = (token("x"),)
        model = ScriptedModel(lambda prompt, schema: Line(text="x", tokens=12, logprobs=logprobs, seconds=0.01))
        began = time.monotonic()
        measured = await model.generate(GenerationRequest(BID, max_tokens=12, measure=True))
        assert time.monotonic() - began >= 0.01
        assert (measured.usage.output_tokens, measured.truncated) == (12, False)
        assert (measured.seconds, measured.logprobs) == (0.01, logprobs)
        cut = await model.generate(GenerationRequest(BID, max_tokens=11))
        assert (cut.usage.output_tokens, cut.truncated, cut.logprobs) == (11, True, None)

    async def test_fails_as_told(self) -> None:
        error = RateLimitedError("slow down")
        model = ScriptedModel(lambda prompt, schema: error)
        with pytest.raises(RateLimitedError) as caught:
            await model.generate(GenerationRequest(BID, max_tokens=5))
        assert caught.value is error
        assert model.asked == [BID]

    async def test_the_schema_reaches_the_script(self) -> None:
        seen: list[object] = []

        def script(prompt: Prompt, schema: object) -> str:
            seen.append(schema)
            return "{}"

        await ScriptedModel(script).generate(GenerationRequest(BID, max_tokens=5, schema=SCHEMA))
        assert seen == [SCHEMA]

    async def test_answers_in_a_tool_loop(self) -> None:
        model = ScriptedModel(persona(plan="", answer="fifty five"))
        loop = ToolLoop(await model.for_tools(), instructions="You work.")
        run = await loop.run("Add.")
        assert run.output == "fifty five"
        assert run.usage.output_tokens == 2
        await model.aclose()

    async def test_fails_in_a_tool_loop_as_told(self) -> None:
        loop = ToolLoop(await ScriptedModel(lambda prompt, schema: RateLimitedError("later")).for_tools())
        with pytest.raises(RateLimitedError):
            await loop.run("Add.")
