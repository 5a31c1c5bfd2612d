"""Money: what is set aside is what the endpoint may charge, and what is charged is what it did."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sale import config
from sale.agents.account import keep_call
from sale.agents.adapters.adapted import Terms
from sale.agents.adapters.command import CommandAgent
from sale.agents.adapters.function import FunctionAgent
from sale.agents.adapters.plans import FixedPlan, Work
from sale.market import Market
from sale.memory.open import open_memory
from sale.server.dashboard.headline import headline
from sale.server.gateway.reasoning import Reasoning
from sale.server.gateway.token_estimate import TokenEstimate
from sale.server.observing.metrics import Metrics
from sale.types import Call, Execution, Price, Task, Usage
from tests.server.gateway.conftest import Gateway, Opening, Serving
from tests.support.replies import Json
from tests.support.wire import Out, Request, Wire, chunk, usage, whole

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]
PHOTO = base64.b64encode(bytes(range(256)) * 12_000).decode()
"""3 MB."""
PRICE = {"input": 1.0, "output": 10.0}


def ask(gateway: Gateway, model: str, key: str | None = None, path: str = "/chat/completions", **more: Any) -> Any:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {"model": model, "messages": HELLO, **more}
    if path != "/chat/completions":
        del body["messages"]
    return httpx2.post(f"{gateway.url}{path}", json=body, headers=headers, timeout=60)


def new_key(gateway: Gateway, **limits: Any) -> str:
    assert gateway.store is not None
    return str(gateway.do(gateway.store.create_key("test", **limits))[0])


def saying(*answers: Json) -> Any:
    async def play(request: Request, out: Out) -> None:
        await out.body(answers[0])

    return play


TOLD: list[tuple[Json, int, int]] = [
    ({**usage(10, 5), "total_tokens": 1015}, 10, 1005),
    ({**usage(10, 5), "total_tokens": 1015, "completion_tokens_details": {"reasoning_tokens": 1000}}, 10, 1005),
    ({**usage(10, 5), "total_tokens": 1045, "completion_tokens_details": {"reasoning_tokens": 1000}}, 40, 1005),
    ({**usage(10, 1005), "completion_tokens_details": {"reasoning_tokens": 1000}}, 10, 1005),
    ({"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 9}}, 10, 14),
    ({"prompt_tokens": 10, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 9}}, 10, 9),
    ({**usage(10, 5), "total_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 9}}, 10, 10),
    ({**usage(10, 5), "total_tokens": 3}, 10, 5),
    ({**usage(10, 5), "total_tokens": None}, 10, 5),
]
"""Usage as reported, and the tokens to be paid for."""
CACHED: list[tuple[Json, float]] = [
    ({"input": 1.0, "output": 4.0}, 0.001 + 0.099 / 2),
    ({"input": 1.0, "output": 4.0, "cached": 0.1}, 0.001 + 0.0099),
    ({"input": 1.0, "output": 4.0, "cached": 0.0}, 0.001),
]
"""Prices, and what 100,000 tokens cost of which 99,000 came from the cache."""


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as found:
        yield found


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Wire]]:
    """One gateway for all that differ by their endpoint alone."""
    folder = tmp_path_factory.mktemp("bank")
    plays = {f"told/{place}": saying(whole(taken=taken)) for place, (taken, _, _) in enumerate(TOLD)}
    plays |= {f"cached/{place}": cached for place in range(len(CACHED))}
    plays["seeing"] = saying(whole(taken=usage(1_100, 20)))
    prices = {f"cached/{place}": price for place, (price, _) in enumerate(CACHED)}
    with Wire(**plays) as wire:
        agents = [wire.agent(name, price=prices.get(name, PRICE)) for name in ("only", *plays)]
        settings = {"agents": agents, "memory": {"path": folder / "memory.sqlite3"}}
        with Gateway(config.Settings.model_validate(settings), folder / "server.sqlite3") as running:
            yield running, wire


async def cached(request: Request, out: Out) -> None:
    taken = usage(100_000, 0, prompt_tokens_details={"cached_tokens": 99_000})
    if request.body.get("stream"):
        await out.events(chunk({"content": "x"}), chunk({}, "stop"), {**chunk(), "choices": [], "usage": taken})
    else:
        await out.body(whole(taken=taken))


class TestSetAside:
    """A budget, or a limit on tokens, that covers what is asked for lets it through; one that does not refuses it."""

    @pytest.mark.parametrize(
        "limits",
        [
            {"max_tokens": 50_000, "max_completion_tokens": 1},
            {"max_tokens": 1, "max_completion_tokens": 50_000},
            {"max_completion_tokens": 1, "n_predict": 50_000},
            {"max_tokens": 1, "max_new_tokens": 50_000},
            {"max_tokens": 1000, "n": 50},
            {"max_tokens": 1000, "n": 1, "best_of": 50},
            {"max_tokens": 1, "thinking": {"type": "enabled", "budget_tokens": 50_000}},
            {"max_tokens": 1, "reasoning": {"max_tokens": 50_000}},
            {"max_tokens": 1, "prediction": {"type": "content", "content": "x" * 150_000}},
            {"max_tokens": 1, "n_predict": 50_000.0},
            {"max_tokens": 1, "max_output_tokens": "50000"},
            {"max_tokens": 1, "n_predict": -1, "n": 100},
            {"max_tokens": 1, "max_new_tokens": [50_000], "n": 100},
            {"max_tokens": 1, "thinking": {"type": "enabled", "budget_tokens": 50_000.0}},
            {"max_tokens": 1, "thinking": {"type": "enabled", "budget_tokens": -1}, "n": 100},
            {"max_tokens": 1, "thinking_budget": 50_000},
        ],
    )
    def test_the_largest_of_all_limits_counts(self, bank: tuple[Gateway, Wire], limits: Json) -> None:
        gateway, wire = bank
        key, before = new_key(gateway, budget=0.4), len(wire.work())  # the answers may cost $0.5
        refused = ask(gateway, "only", key, **limits)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
        assert ask(gateway, "only", key, max_tokens=1).status_code == 200
        assert len(wire.work()) == before + 1

    @pytest.mark.parametrize("path", ["/chat/completions", "/embeddings"])
    @pytest.mark.parametrize("name", ["models", "fallbacks", "preset"])
    def test_no_client_names_another_model_for_an_endpoint(
        self, bank: tuple[Gateway, Wire], name: str, path: str
    ) -> None:
        gateway, wire = bank
        key, before = new_key(gateway, budget=0.4), len(wire.work())
        refused = ask(gateway, "only", key, path, input="Hi", **{name: ["vendor/the-dearest"]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)
        assert len(wire.work()) == before

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PHOTO}"}},
            {"type": "image_url", "image_url": f"data:image/png;base64,{PHOTO}"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PHOTO}},
            {"type": "input_audio", "input_audio": {"data": PHOTO, "format": "wav"}},
        ],
    )
    def test_pictures_and_sound_are_no_words(self, bank: tuple[Gateway, Wire], part: Json) -> None:
        gateway, _ = bank
        key = new_key(gateway, budget=0.05, tpm=50_000)
        messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
        for _ in range(2):  # the second beside what the first took
            answer = ask(gateway, "seeing", key, messages=messages, max_tokens=100)
            assert answer.status_code == 200, answer.text
            assert float(answer.headers["x-sale-cost"]) == pytest.approx(0.0013)

    def test_words_in_a_picture_s_place_are_words(self, bank: tuple[Gateway, Wire]) -> None:
        gateway, _ = bank
        part = {"type": "image_url", "image_url": {"url": "data:text/plain," + "word " * 400_000}}
        messages = [{"role": "user", "content": [part]}]
        answer = ask(gateway, "only", new_key(gateway, budget=0.5), messages=messages, max_tokens=1)
        assert answer.status_code == 429

    def test_many_pictures_are_many(self, bank: tuple[Gateway, Wire]) -> None:
        gateway, _ = bank
        key = new_key(gateway, budget=0.05)
        part = {"type": "image_url", "image_url": {"url": "https://example.test/cat.png"}}
        assert ask(gateway, "only", key, messages=[{"role": "user", "content": [part]}]).status_code == 200
        many = ask(gateway, "only", key, messages=[{"role": "user", "content": [part] * 100}])
        assert many.status_code == 429

    def test_what_a_response_goes_on_with_is_read_again(self, wire: Wire, serving: Serving) -> None:
        with serving(wire.agent("only", price=PRICE)) as gateway:
            long = "word " * 100_000
            rich, poor = new_key(gateway), new_key(gateway, budget=0.05)
            for key, status in ((rich, 200), (poor, 429)):
                first = ask(gateway, "only", key, "/responses", input=long, max_output_tokens=1)
                assert first.status_code == status
            first = ask(gateway, "only", rich, "/responses", input=long, max_output_tokens=1).json()["id"]
            assert gateway.store is not None
            seen: list[float] = []
            reserve = gateway.store.reserve

            async def watched(holder: Any, dollars: float, tokens: int) -> Any:
                seen.append(dollars)
                return await reserve(holder, dollars, tokens)

            gateway.store.reserve = watched
            more = {"input": "And?", "previous_response_id": first, "max_output_tokens": 1}
            assert ask(gateway, "only", rich, "/responses", **more).status_code == 200
            assert seen[-1] > 0.1, "half a million bytes were sent along"

    @pytest.mark.parametrize("path", ["/messages", "/responses"])
    def test_a_translated_request_is_weighed_as_it_is_sent(self, serving: Serving, wire: Wire, path: str) -> None:
        """Reasoning is sent on in two fields, and a request that says little of them is as long as both."""
        state = Reasoning(names=["reasoning", "reasoning_content"], text="x" * 150_000).take(text=True)
        if path == "/responses":
            thought: Any = {"type": "reasoning", "summary": [], "encrypted_content": state}
            said: Any = [thought, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
            body: Json = {"input": said, "max_output_tokens": 1}
        else:
            blocks = [{"type": "redacted_thinking", "data": state}, {"type": "text", "text": "a"}]
            said = [{"role": "assistant", "content": blocks}, {"role": "user", "content": "b"}]
            body = {"messages": said, "max_tokens": 1}
        with serving(wire.agent("only", price=PRICE)) as gateway:
            for budget, status in ((0.09, 429), (0.2, 200)):  # 300,000 bytes are 100,000 tokens
                headers = {"authorization": f"Bearer {new_key(gateway, budget=budget)}"}
                told = httpx2.post(f"{gateway.url}{path}", json={"model": "only", **body}, headers=headers, timeout=60)
                assert told.status_code == status, told.text

    def test_the_plan_is_read_too(self) -> None:
        weight = TokenEstimate(words=30)
        assert weight.max_tokens("x" * 3000) == weight.max_tokens() + 1000


class TestCharged:
    """What is charged."""

    @pytest.mark.parametrize("place", range(len(CACHED)))
    @pytest.mark.parametrize("stream", [False, True])
    def test_input_from_a_cache(self, bank: tuple[Gateway, Wire], place: int, stream: bool) -> None:
        gateway, _ = bank
        assert ask(gateway, f"cached/{place}", new_key(gateway), stream=stream).status_code == 200
        line = gateway.lines()[-1]
        assert line.work_dollars == pytest.approx(CACHED[place][1])
        assert line.cached_tokens == 99_000

    @pytest.mark.parametrize("place", range(len(TOLD)))
    def test_thoughts_wherever_they_are_counted(self, bank: tuple[Gateway, Wire], place: int) -> None:
        gateway, _ = bank
        ask(gateway, f"told/{place}", new_key(gateway))
        line = gateway.lines()[-1]
        assert (line.input_tokens, line.output_tokens) == TOLD[place][1:]

    def test_a_stream_that_is_left_costs_what_came_and_not_what_was_set_aside(self, serving: Serving) -> None:
        async def early(request: Request, out: Out) -> None:
            # Counted at its beginning, as some do.
            await out.events({**chunk({"content": "one "}), "usage": usage(700, 1)}, done=False)
            for _ in range(20):
                await out.events(chunk({"content": "word "}), done=False, head=False)
            await out.writer.drain()
            await asyncio.sleep(60)

        part = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PHOTO}"}}
        body = {"model": "only", "messages": [{"role": "user", "content": [part]}], "stream": True}
        with Wire(only=early) as wire, serving(wire.agent("only", price=PRICE)) as gateway:
            with httpx2.stream("POST", f"{gateway.url}/chat/completions", json=body, timeout=60) as answer:
                words = 0
                for line in answer.iter_lines():
                    words += line.startswith("data:")
                    if words == 21:
                        break
            (line,) = gateway.lines()
            assert line.error == "client_left"
            assert line.input_tokens == 700
            assert line.output_tokens == 1 + 20 * 2
            assert line.work_dollars < 0.002


class TestEmbeddings:
    """They are within budgets and limits, and on the ledger."""

    @pytest.fixture
    def gateway(self, wire: Wire, serving: Serving) -> Iterator[Gateway]:
        answer = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.0]}]}
        wire.plays["e"] = saying({**answer, "usage": {"prompt_tokens": 500_000, "total_tokens": 500_000}})
        wire.plays["uncounted"] = saying(answer)
        wire.plays["down"] = saying({"error": {"message": "out of memory", "code": 500}})
        settings = {"embeddings": {"endpoint": wire.base_url, "price": 2.0}}
        with serving(wire.agent("only"), server=settings) as running:
            yield running

    def test_a_budget_ends(self, gateway: Gateway) -> None:
        key = new_key(gateway, budget=1.5)
        statuses = [ask(gateway, "e", key, "/embeddings", input="word").status_code for _ in range(4)]
        assert statuses == [200, 200, 429, 429], "each costs a dollar, and the second one was not known to"
        lines = gateway.lines()
        assert [line.input_tokens for line in lines] == [500_000, 500_000, 0, 0]
        assert [line.work_dollars for line in lines] == [1.0, 1.0, 0.0, 0.0]
        assert {line.model for line in lines} == {"e"}

    @pytest.mark.parametrize("given", ["word " * 300_000, ["word " * 1000] * 300, [1] * 800_000, [[1] * 800] * 1000])
    def test_one_that_could_cost_more_than_is_left_is_refused(self, gateway: Gateway, wire: Wire, given: Any) -> None:
        key = new_key(gateway, budget=0.9)
        assert ask(gateway, "e", key, "/embeddings", input=given).status_code == 429
        assert not wire.work()

    def test_tokens_a_minute(self, gateway: Gateway) -> None:
        key = new_key(gateway, tpm=1000)
        statuses = [ask(gateway, "e", key, "/embeddings", input="word").status_code for _ in range(3)]
        assert statuses == [200, 429, 429]

    def test_an_endpoint_that_does_not_count(self, gateway: Gateway) -> None:
        assert ask(gateway, "uncounted", None, "/embeddings", input="word" * 100).status_code == 200
        assert gateway.lines()[0].input_tokens == 100

    def test_an_error_under_status_200_is_one_and_costs_nothing(self, gateway: Gateway) -> None:
        answer = ask(gateway, "down", None, "/embeddings", input="word")
        assert answer.status_code == 502
        assert "out of memory" in answer.json()["error"]["message"]
        assert gateway.lines()[0].work_dollars == 0.0

    def test_the_embedded_model_counts_tokens(self, wire: Wire, serving: Serving) -> None:
        with serving(wire.agent("only")) as gateway:
            key = new_key(gateway, tpm=100)
            texts = ["word " * 60]
            assert ask(gateway, "any", key, "/embeddings", input=texts).status_code == 200
            assert ask(gateway, "any", key, "/embeddings", input=texts).status_code == 429
            assert [line.input_tokens for line in gateway.lines()] == [75, 0]


class TestWithoutAnEndpoint:
    """What such an agent costs has nothing to do with the limits a client sets."""

    def opened(self, serving: Serving, wire: Wire, agent: Any) -> Gateway:
        running = serving(wire.agent("small"))

        def market(settings: config.Settings) -> Market:
            return Market((*Market.from_config(settings=settings).agents, agent), memory=open_memory(settings))

        running.market = market
        return running

    def test_a_price_for_each_task_is_set_aside(self, serving: Serving, wire: Wire, tmp_path: Path) -> None:
        terms = Terms(name="program", price=Price(input=0.0, output=0.0, blended=0.0), price_per_task=0.4)
        program = CommandAgent(["/bin/echo", "done"], terms, plans=FixedPlan("1. Do it."))
        with self.opened(serving, wire, program) as gateway:
            key = new_key(gateway, budget=1.0)
            with ThreadPoolExecutor(8) as pool:
                waiting = [pool.submit(ask, gateway, "program", key, max_tokens=1) for _ in range(8)]
                answers = [one.result() for one in waiting]
            assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 6
            assert sum(line.work_dollars for line in gateway.lines()) == pytest.approx(0.8)

    def test_one_that_cancels_itself_has_failed_and_what_it_paid_for_is_charged(
        self, serving: Serving, wire: Wire
    ) -> None:
        async def plan(task: Task) -> str:
            return "1. Do it."

        async def never(task: Task, strategy: str | None) -> str:
            return "never"

        class Careless(FunctionAgent):
            async def execute(self, task: Task, strategy: str | None) -> Execution:
                usage = Usage(input_tokens=1000)
                keep_call(Call(stage="execute", agent=self.name, usage=usage, dollars=0.25, seconds=0.1))
                raise asyncio.CancelledError

        careless = Careless("careless", price=Price(input=1.0, output=1.0, blended=1.0), bid=plan, execute=never)
        with self.opened(serving, wire, careless) as gateway:
            assert ask(gateway, "careless").status_code == 502
            (line,) = gateway.lines()
        assert (line.error, line.work_dollars, line.input_tokens) == ("agent_failed", 0.25, 1000)

    def test_one_that_declares_nothing_is_reckoned_by_what_it_took(self, serving: Serving, wire: Wire) -> None:
        async def plan(task: Task) -> Work:
            return Work(text="1. Do it.", usage=Usage(input_tokens=1, output_tokens=1))

        async def execute(task: Task, strategy: str | None) -> Work:
            return Work(text="done", usage=Usage(input_tokens=100_000, output_tokens=100_000))

        function = FunctionAgent("function", price=Price(input=1.0, output=3.0, blended=2.0), bid=plan, execute=execute)
        with self.opened(serving, wire, function) as gateway:
            assert ask(gateway, "function", max_tokens=1).status_code == 200
            key = new_key(gateway, budget=1.0)
            with ThreadPoolExecutor(8) as pool:
                waiting = [pool.submit(ask, gateway, "function", key, max_tokens=1) for _ in range(8)]
                answers = [one.result() for one in waiting]
            assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 6
            assert sum(line.work_dollars for line in gateway.lines()[1:]) <= 1.0


class TestSavings:
    def test_requests_by_name_save_nothing_in_the_ledger_the_metrics_and_the_money_page(self, opening: Opening) -> None:
        """Three requests to the cheap agent by name, and one that the market awards: only that is compared."""
        with opening({"ledger": "before"}, small="good", large="good") as gateway:
            for _ in range(3):
                assert ask(gateway, "small").status_code == 200
            session = ask(gateway, "sale").headers["x-sale-session"]
            told = {"session_id": session, "verdict": "success"}
            assert httpx2.post(f"{gateway.url}/feedback", json=told).status_code == 200
            lines = gateway.lines()
            assert gateway.state is not None
            assert gateway.store is not None
            groups = {one.label: one for one in gateway.do(gateway.store.spend(None, "model"))}
            memory = gateway.do(gateway.state.handle.market.memory())
            money = headline(gateway.do(memory.auction_figures()))
        assert groups["small"].saved == pytest.approx(0.0)
        assert groups["small"].dollars > 0.0
        metrics = Metrics()
        for line in lines:
            metrics.request(line)
        found = {
            one.name: one.value
            for family in text_string_to_metric_families(metrics.text().decode())
            for one in family.samples
            if one.name == "sale_largest_dollars_total"
        }
        spent, largest = sum(line.work_dollars + line.auction_dollars for line in lines), found.popitem()[1]
        assert groups["sale"].saved == pytest.approx(largest - spent)
        assert groups["sale"].saved == pytest.approx(money.saved)
        assert money.auctions == 1
