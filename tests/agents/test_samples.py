"""Several answers, one handed in: what is drawn, when it stops, what is chosen, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale import Call, Execution, Price, Task, Usage
from sale.agents.contractor import Contractor
from sale.agents.repair import Workbench
from sale.agents.samples import best_of, decided, keys_of, most_agreed
from sale.agents.tools.sandbox import find_sandbox
from sale.config import AgentSettings
from sale.errors import ConfigError
from sale.models.endpoint import Address, EndpointModel, SamplingOptions, fixed_address
from sale.models.protocol import GenerationRequest
from sale.models.scripted import ScriptedModel
from sale.types import Prompt
from tests.support.endpoint import Endpoint

PRICE = Price(input=1.0, output=1.0, blended=1.0)
CODE = Task(
    text="Write `double(n)`.\n\n```python\nassert double(2) == 4\nassert double(3) == 6\n```\n", domain="coding"
)
CHOICE = Task(text="Which?\n\nA. one\nB. two\nC. three\n")


def contractor(answers: Sequence[str], samples: int, *, workbench: bool = False) -> tuple[Contractor, ScriptedModel]:
    left = iter(answers)
    model = ScriptedModel(lambda prompt, schema: next(left))
    settings = AgentSettings.model_validate(
        {"name": "s", "endpoint": "http://127.0.0.1:9/v1", "model": "m", "price": 1.0, "samples": samples}
    )
    bench = Workbench(sandbox=find_sandbox()) if workbench else None
    return Contractor(settings, price=PRICE, model=model, workbench=bench), model


@pytest.mark.parametrize(
    ("answers", "samples", "chosen", "asked"),
    [
        (["Paris", "Rome", "paris.", "Rome", "Rome"], 5, "Rome", 5),
        (["Paris", "paris", "Rome"], 3, "Paris", 2),  # a third could only lose
        (["Paris"], 2, "Paris", 1),  # a second could at most draw level
        (["", "", "Rome"], 3, "Rome", 3),  # nothing is no answer
        (["Oslo"], 1, "Oslo", 1),
    ],
)
async def test_what_most_agree_on_is_handed_in(answers: list[str], samples: int, chosen: str, asked: int) -> None:
    agent, model = contractor(answers, samples)
    done = await agent.execute(Task(text="Where?"), None)
    assert done.answer == chosen
    assert model.samples == list(range(asked))
    assert len(done.calls) == asked
    assert done.mode == ("direct" if samples == 1 else f"direct, best of {asked}")


async def test_a_choice_is_its_letter() -> None:
    agent, _ = contractor(["C", "B. two", "The answer is B"], 3)
    assert (await agent.execute(CHOICE, None)).answer == "B. two"
    assert keys_of(CHOICE, ["B", "(b) two", "Answer: B.", "because"]) == ["B", "B", "B", "because"]
    said = ["It is two.\n\nAnswer: B", "**Answer:** B", r"So \(\boxed{B}\)", "two", "A is wrong, the answer is B"]
    assert keys_of(CHOICE, said) == ["B"] * 5
    assert keys_of(Task(text="Name a letter."), ["B. two"]) == ["b two"]


async def test_answers_that_say_the_same_agree_whatever_they_cite() -> None:
    said = [
        f"{town} [1]\n\nSources:\n[1] {place}: {town}" for town, place in (("Oslo", "a"), ("Rome", "b"), ("Rome", "c"))
    ]
    said.append("Rome [2].\n\nSources:\n[2] d\n\nNote: [3] was cited but never read, and is taken out.")
    assert keys_of(Task(text="Where?"), said) == ["oslo", "rome", "rome", "rome"]
    agent, _ = contractor(said[:3], 3)
    assert (await agent.execute(Task(text="Where?"), None)).answer == said[1]
    assert keys_of(CHOICE, ["B. two [1]\n\nSources:\n[1] Answer: C"]) == ["B"]


async def test_code_is_the_one_with_which_the_examples_hold() -> None:
    answers = [
        "def double(n):\n    return n + 2",  # holds for 2 alone
        "def double(n) return",
        "def double(n):\n    return 2 * n",
        "never asked for",
    ]
    agent, model = contractor([f"```python\n{answer}\n```" for answer in answers], 4, workbench=True)
    done = await agent.execute(CODE, None)
    assert "2 * n" in done.answer
    assert model.samples == [0, 1, 2]
    assert len(done.calls) == 3

    agent, _ = contractor([f"```python\n{answer}\n```" for answer in (answers[1], answers[0])], 2, workbench=True)
    assert "n + 2" in (await agent.execute(CODE, None)).answer, "most of the examples, if not all"


def test_it_stops_when_more_cannot_change_the_choice() -> None:
    assert decided(["x", "x"], 3)
    assert decided(["x"], 2)
    assert not decided(["x"], 3)
    assert decided(["x", "x", "y"], 4)
    assert not decided(["x", "y"], 3)
    assert not decided(["x", "y", "y"], 4), "x could draw level, and came first"
    assert decided(["y", "x", "y"], 4), "x could only draw level, and came second"
    assert not decided(["", ""], 3)
    assert most_agreed(["x", "y", "y", "x"]) == 0


async def test_samples_are_drawn_with_a_temperature_and_a_seed() -> None:
    with Endpoint() as endpoint:
        model = EndpointModel(
            "s",
            fixed_address(Address(base_url=endpoint.base_url, model="good", api_key=None)),
            manner=SamplingOptions(),
        )
        settings = AgentSettings.model_validate(
            {"name": "s", "endpoint": endpoint.base_url, "model": "good", "price": 1.0, "samples": 3}
        )
        agent = Contractor(settings, price=PRICE, model=model)
        await agent.execute(Task(text="Where?"), None)
        await agent.aclose()
        asked = [(one.body["temperature"], one.body.get("seed")) for one in endpoint.requests()]
    assert asked == [(0.0, None), (0.7, 1)], "two alike are enough of three"


@pytest.mark.parametrize(("own", "drawn"), [(0.0, 0.7), (0.5, 0.7), (1.25, 1.25)])
def test_a_sample_is_drawn_at_no_lower_temperature_than_the_agents_own(own: float, drawn: float) -> None:
    options = SamplingOptions(temperature=own)
    request = GenerationRequest(Prompt(system="", user="Where?", template=""), max_tokens=5)
    assert options.settings(request).get("temperature") == own
    assert options.settings(replace(request, sample=3)).get("temperature") == drawn
    assert options.settings(replace(request, sample=3)).get("seed") == 3


@given(st.lists(st.sampled_from(["", "x", "y", "z"]), min_size=1, max_size=4), st.integers(0, 3))
def test_what_is_decided_stays_so_whatever_comes(keys: list[str], more: int) -> None:
    """Against every way it could go on."""
    ends = {(*keys, *rest)[most_agreed((*keys, *rest))] for rest in product(["", "x", "y", "z", "new"], repeat=more)}
    assert decided(keys, len(keys) + more) == (any(keys) and len(ends) == 1)


async def test_samples_share_the_time() -> None:
    agent, model = contractor(["a", "b", "c"], 3)
    agent._settings = agent._settings.model_copy(update={"seconds": 1e-9})  # over as soon as the first is in
    await agent.execute(Task(text="Where?"), None)
    assert model.samples == [0]


async def test_all_samples_are_on_the_bill_and_took_their_time() -> None:
    answers = ["b", "a", "a"]

    async def work(number: int, seconds: float) -> Execution:
        call = Call(stage="execute", agent="s", usage=Usage(), dollars=0.1 * (number + 1), seconds=2.0)
        return Execution(
            agent="s", answer=answers[number], mode="direct", followed_strategy=False, calls=(call,), seconds=2.0
        )

    done = await best_of(work, Task(text="Where?"), 3, None, 60.0)
    assert done.answer == "a"
    assert [call.dollars for call in done.calls] == pytest.approx([0.1, 0.2, 0.3])
    assert done.seconds == 6.0


def test_a_tool_loop_has_no_samples() -> None:
    settings = AgentSettings.model_validate(
        {
            "name": "s",
            "endpoint": "http://127.0.0.1:9/v1",
            "model": "m",
            "price": 1.0,
            "samples": 2,
            "execution": "tools",
        }
    )
    with pytest.raises(ConfigError, match="tool loop"):
        Contractor(settings, price=PRICE, model=ScriptedModel(lambda prompt, schema: ""))
