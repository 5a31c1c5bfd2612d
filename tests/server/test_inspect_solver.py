"""Tiny Inspect evaluations run through a market. Skipped where inspect-ai is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason="needs inspect-ai: pip install 'sale[inspect-ai]'")

from inspect_ai import Task as Evaluation
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.scorer import includes
from inspect_ai.solver import prompt_template, system_message

from sale import Contractor, Market, Price
from sale.config import AgentSettings
from sale.models.scripted import ScriptedModel, persona
from sale.server.inspect_ai import market_solver
from tests.support.endpoint import Endpoint

# Inspect and what it stands on warn of their own affairs.
pytestmark = pytest.mark.filterwarnings("default")
SAMPLES = [Sample(input="What is 6 × 7?", target="42", id="sum"), Sample(input="Capital of France?", target="Paris")]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as served:
        yield served


def scripted(answer: str) -> Contractor:
    settings = AgentSettings(name="scripted", endpoint="http://scripted", model="scripted")
    model = ScriptedModel(persona(plan="1. Answer it.", answer=answer))
    return Contractor(settings, price=Price(input=1.0, output=1.0, blended=1.0), model=model)


def run(tmp_path: Path, *solvers, samples=SAMPLES) -> EvalLog:
    (log,) = evaluate(
        Evaluation(dataset=samples, solver=list(solvers), scorer=includes()),
        model="mockllm/model",
        log_dir=str(tmp_path / "logs"),
        display="none",
        fail_on_error=False,
    )
    return log


def test_a_market_is_a_solver(tmp_path: Path) -> None:
    log = run(tmp_path, market_solver(market=Market([scripted("It is 42.")])))
    assert log.status == "success"
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 0.5
    assert log.samples is not None
    sample = next(one for one in log.samples if one.id == "sum")
    assert sample.output.completion == "It is 42."
    assert sample.output.model == "sale/scripted"
    assert sample.metadata["sale"]["agent"] == "scripted"
    assert sample.metadata["sale"]["dollars"] > 0
    assert sample.output.usage is not None
    assert sample.output.usage.input_tokens == sample.metadata["sale"]["input_tokens"] > 0
    assert sample.messages[-1].text == "It is 42."
    said = [event.data for event in sample.events if event.event == "info"]
    assert said[0] == "bidding has begun among 1 agent"
    assert "scripted is at work" in said


def test_a_sale_toml_is_one_too_and_its_market_is_closed(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sale.toml"
    agents = "".join(
        f'[[agents]]\nname = "{name}"\nendpoint = "{endpoint.base_url}"\nmodel = "good@{name}"\nprice = {price}\n'
        for name, price in (("small", 0.1), ("large", 1.0))
    )
    path.write_text(f"{agents}[memory]\nenabled = false\n", encoding="utf-8")
    closed: list[Market] = []
    close = Market.aclose

    async def closing(market: Market) -> None:
        closed.append(market)
        await close(market)

    monkeypatch.setattr(Market, "aclose", closing)
    solver = market_solver(config=str(path))
    for runs in (1, 2):  # a run opens it anew
        log = run(tmp_path, solver)
        assert log.status == "success"
        assert log.samples is not None
        assert {one.output.completion for one in log.samples} == {"The answer is 42."}
        assert len(set(map(id, closed))) == len(closed) == runs


def test_what_other_solvers_said_is_part_of_the_task(tmp_path: Path, endpoint: Endpoint) -> None:
    agent = scripted("42")
    log = run(
        tmp_path,
        system_message("Answer with a number."),
        prompt_template("Question: {prompt}"),
        market_solver(market=Market([agent])),
        samples=SAMPLES[:1],
    )
    assert log.status == "success"
    model = agent._model
    assert isinstance(model, ScriptedModel)
    work = model.asked[-1].user
    assert "System:\nAnswer with a number.\n\nUser:\nQuestion: What is 6 × 7?" in work


def test_an_auction_that_cannot_be_held_is_the_sample_s_error(tmp_path: Path) -> None:
    log = run(tmp_path, market_solver(market=Market([scripted("42")])), samples=[Sample(input=" ", target="42")])
    assert log.samples is not None
    assert log.samples[0].error is not None
    assert "task is empty" in log.samples[0].error.message
