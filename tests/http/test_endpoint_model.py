"""`EndpointModel` against every way the test endpoint can misbehave."""

from __future__ import annotations

import asyncio
import gc
import warnings
from dataclasses import replace

import pytest
from pydantic_ai.exceptions import UnexpectedModelBehavior

from sale.auction.ballots import ballot_schema
from sale.auction.entropy import strategy_entropy
from sale.errors import (
    BadReplyError,
    CallError,
    ConfigError,
    DigestError,
    NotReadyError,
    RateLimitedError,
    RejectedError,
    ServerError,
    UnreachableError,
)
from sale.models.endpoint import Address, EndpointModel, SamplingOptions, fixed_address
from sale.models.errors import to_call_error
from sale.models.protocol import GenerationRequest
from sale.types import Reply
from tests.support.endpoint import Endpoint
from tests.support.pool import ONCE, PLAN, model

RETRIED = SamplingOptions(retries=2)
SECONDS = 20.0


async def ask(found: EndpointModel, *, max_tokens: int = 300, measure: bool = False) -> Reply:
    try:
        return await found.generate(GenerationRequest(PLAN, max_tokens=max_tokens, measure=measure))
    finally:
        await found.aclose()


async def left(endpoint: Endpoint) -> bool:
    """Whether the server saw the client leave, at the latest a moment later."""
    return await asyncio.to_thread(endpoint.wait, lambda: endpoint.requests()[0].cancelled)


# behaviour, our class, what the message says, what the hint says, requests made with two transport retries
FAILURES: list[tuple[str, type[CallError], str, str, int]] = [
    ("429-always", RateLimitedError, "HTTP 429", "Wait", 3),
    ("quota", RateLimitedError, "quota", "top it up", 3),
    ("500-always", ServerError, "HTTP 500", "log", 3),
    ("503-always", ServerError, "Overloaded", "log", 3),
    ("401", RejectedError, "Incorrect API key", "api_key_env", 1),
    ("404-model", RejectedError, "does not exist", "model's name", 1),
    ("context-too-long", RejectedError, "context length", "Shorten", 1),
    ("reject-max-tokens", RejectedError, "max_tokens", "If it refuses", 1),
    ("cut", UnreachableError, "without sending complete message body", "doctor", 3),
    ("malformed-json", BadReplyError, "decode", "OpenAI protocol", 1),
    ("garbage", BadReplyError, "decode", "OpenAI protocol", 1),
    ("html", BadReplyError, "JSON", "OpenAI protocol", 1),
    ("not-openai", BadReplyError, "no choices", "OpenAI protocol", 1),
    ("error-in-200", BadReplyError, "the upstream is down", "OpenAI protocol", 1),
    ("empty-choices", BadReplyError, "no choices", "OpenAI protocol", 1),
    ("null-choices", BadReplyError, "no choices", "OpenAI protocol", 1),
    ("no-usage", BadReplyError, "usage", "OpenAI protocol", 1),
    ("no-usage+empty-text", BadReplyError, "usage", "OpenAI protocol", 1),
    ("zero-usage", BadReplyError, "usage", "OpenAI protocol", 1),
    ("negative-usage", BadReplyError, "usage", "OpenAI protocol", 1),
    ("odd-usage", BadReplyError, "usage", "OpenAI protocol", 1),
]


@pytest.mark.parametrize(("behaviour", "kind", "says", "advises", "attempts"), FAILURES)
async def test_a_failure_has_its_class_says_what_and_what_to_do(
    endpoint: Endpoint, behaviour: str, kind: type[CallError], says: str, advises: str, attempts: int
) -> None:
    del attempts
    with pytest.raises(CallError) as raised:
        await ask(model(endpoint, behaviour))
    error = raised.value
    assert type(error) is kind
    assert says in error.message
    assert advises in error.hint
    assert error.where == "alice"
    assert "\n" not in error.message
    assert len(error.message) <= 300
    assert len(endpoint.requests()) == 1
    assert error.retryable == (kind in {RateLimitedError, ServerError, UnreachableError})


@pytest.mark.parametrize(
    ("behaviour", "attempts"), [(row[0], row[4]) for row in FAILURES if row[0] not in {"429-always", "quota", "cut"}]
)
async def test_the_transport_tries_again_only_where_that_can_help(
    endpoint: Endpoint, behaviour: str, attempts: int
) -> None:
    with pytest.raises(CallError):
        await ask(model(endpoint, behaviour, manner=RETRIED))
    assert len(endpoint.requests()) == attempts


async def test_retry_after_is_waited_for_before_the_second_attempt(endpoint: Endpoint) -> None:
    with pytest.raises(RateLimitedError):
        await ask(model(endpoint, "429-always", manner=replace(RETRIED, retries=1)))
    first, second = endpoint.requests()
    assert second.at - first.at >= 1.0  # the endpoint asked for one second


@pytest.mark.parametrize("behaviour", ["429-then-good", "500-then-good"])
async def test_a_hiccup_is_ridden_out(endpoint: Endpoint, behaviour: str) -> None:
    reply = await ask(model(endpoint, behaviour, manner=RETRIED))
    assert reply.text.startswith("1. ")
    assert [one.status for one in endpoint.requests()] == [int(behaviour[:3]), 200]


async def test_no_endpoint_at_all_is_unreachable(endpoint: Endpoint) -> None:
    with pytest.raises(UnreachableError, match="ConnectError") as raised:
        await ask(model(endpoint, "good", base_url="http://127.0.0.1:9/v1"))
    assert raised.value.retryable


@pytest.mark.parametrize("url", ["http://host:abc/v1", "http://h\x00/v1"])
async def test_an_impossible_url_is_rejected_before_anything_is_sent(endpoint: Endpoint, url: str) -> None:
    with pytest.raises(RejectedError) as raised:
        await ask(model(endpoint, "good", base_url=url))
    assert "URL" in raised.value.hint


async def test_a_refused_parameter_names_the_setting_that_stops_asking_for_it(endpoint: Endpoint) -> None:
    refusing = model(endpoint, "reject-logprobs+reject-schema")
    with pytest.raises(RejectedError, match="logprobs are not supported") as raised:
        await ask(refusing, measure=True)
    assert "logprobs = 0" in raised.value.hint
    obliging = model(
        endpoint, "reject-logprobs+reject-schema", manner=SamplingOptions(logprobs=0, json_schema=False, retries=0)
    )
    reply = await obliging.generate(GenerationRequest(PLAN, max_tokens=50, schema=ballot_schema(["A"]), measure=True))
    assert reply.logprobs is None
    assert "response_format" not in endpoint.requests()[-1].body
    await obliging.aclose()


# --- time ---


@pytest.mark.parametrize("behaviour", ["hang", "stall", "slow-3000000"])
async def test_a_time_limit_is_kept_and_the_connection_dropped(endpoint: Endpoint, behaviour: str) -> None:
    found = model(endpoint, behaviour)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await found.generate(GenerationRequest(PLAN, max_tokens=50))
    assert await left(endpoint), "the endpoint goes on generating for nobody"
    await found.aclose()


async def test_cancellation_is_cancellation(endpoint: Endpoint) -> None:
    found = model(endpoint, "hang")
    call = asyncio.create_task(found.generate(GenerationRequest(PLAN, max_tokens=50)))
    assert await asyncio.to_thread(endpoint.wait, lambda: len(endpoint.requests()) == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()
    assert await left(endpoint)
    await found.aclose()


async def test_one_slow_answer_holds_up_no_other(endpoint: Endpoint) -> None:
    found = model(endpoint, "hang")
    calls = [asyncio.create_task(found.generate(GenerationRequest(PLAN, max_tokens=50))) for _ in range(8)]
    # None of them is ever answered, and all are asked.
    assert await asyncio.to_thread(endpoint.wait, lambda: len(endpoint.requests()) == len(calls))
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    await found.aclose()


# --- what is sent ---


async def test_an_imitator_is_sent_max_tokens_and_the_prompt_as_it_is(endpoint: Endpoint) -> None:
    await ask(model(endpoint, "good", manner=SamplingOptions(temperature=0.25, retries=0)), max_tokens=77)
    body = endpoint.requests()[0].body
    assert body["max_tokens"] == 77
    assert "max_completion_tokens" not in body
    assert body["temperature"] == 0.25
    assert [(message["role"], message["content"]) for message in body["messages"]] == [
        ("system", PLAN.system),
        ("user", PLAN.user),
    ]
    assert not {"logprobs", "top_logprobs", "response_format", "tools"} & set(body)


VENDORS = ["good", "qwen/good", "google/good", "mistralai/good", "meta-llama/good", "deepseek/good", "gpt-4o", "z-ai/x"]


@pytest.mark.parametrize("name", VENDORS)
async def test_the_schema_is_sent_word_for_word_whatever_the_model_is_called(endpoint: Endpoint, name: str) -> None:
    # Grammars are made of it: without minimum and maximum a small model answers 7 of 5.
    schema = ballot_schema(["A", "B"])
    found = model(endpoint, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.error_cases.TRAITS", {name})
        reply = await found.generate(GenerationRequest(PLAN, max_tokens=64, schema=schema, measure=True))
    assert reply.text == '{"A": 3, "B": 4}'
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    assert endpoint.requests()[0].body["response_format"] == wanted
    await found.aclose()


async def test_openai_itself_is_sent_max_completion_tokens() -> None:
    found = EndpointModel("alice", fixed_address(Address(base_url="https://api.openai.com/v1", model="gpt-4o-mini")))
    chat = await found.for_tools()
    assert chat.profile.get("openai_chat_supports_max_completion_tokens", True)
    await found.aclose()


@pytest.mark.parametrize("host", ["api.openai.com.example.org", "example.org/api.openai.com", "notapi.openai.com.de"])
async def test_a_host_that_only_looks_like_openai_is_an_imitator(host: str) -> None:
    found = EndpointModel("alice", fixed_address(Address(base_url=f"https://{host}/v1", model="gpt-4o-mini")))
    chat = await found.for_tools()
    assert not chat.profile.get("openai_chat_supports_max_completion_tokens", True)
    await found.aclose()


# --- what is read ---


async def test_usage_time_and_truncation_are_read(endpoint: Endpoint) -> None:
    whole = await ask(model(endpoint, "good"))
    assert whole.usage.input_tokens > 0
    assert whole.usage.output_tokens > 50
    assert not whole.truncated
    assert whole.seconds > 0
    assert whole.logprobs is None
    cut = await ask(model(endpoint, "good"), max_tokens=5)
    assert cut.truncated
    assert cut.usage.output_tokens == 5
    assert (await ask(model(endpoint, "truncated"))).truncated


async def test_log_probabilities_are_read_where_asked_for(endpoint: Endpoint) -> None:
    reply = await ask(model(endpoint, "good", manner=SamplingOptions(logprobs=5, retries=0)), measure=True)
    assert endpoint.requests()[0].body["top_logprobs"] == 5
    assert reply.logprobs is not None
    assert len(reply.logprobs) == reply.usage.output_tokens
    assert "".join(token.token for token in reply.logprobs) == reply.text
    assert all(len(token.top) == 5 and token.logprob == -0.1 for token in reply.logprobs)
    assert (await ask(model(endpoint, "no-logprobs"), measure=True)).logprobs is None


async def test_log_probabilities_that_are_none_cost_the_number_not_the_answer(endpoint: Endpoint) -> None:
    reply = await ask(model(endpoint, "weird-logprobs"), measure=True)
    assert reply.text.startswith("1. ")
    assert reply.logprobs is not None
    assert 0 < len(reply.logprobs) < reply.usage.output_tokens
    values = [logprob for token in reply.logprobs for _, logprob in (("", token.logprob), *token.top)]
    assert all(-1e6 <= value <= 0 for value in values)
    entropy = strategy_entropy(reply.logprobs)
    assert entropy is not None
    assert 0 <= entropy.normalised <= 1


@pytest.mark.parametrize("behaviour", ["thinking", "thinking-headless", "reasoning-field"])
async def test_thoughts_are_no_text_but_are_paid_for(endpoint: Endpoint, behaviour: str) -> None:
    plain = await ask(model(endpoint, "good"))
    reply = await ask(model(endpoint, behaviour))
    assert reply.text.startswith("1. Read the task")
    assert "guess" not in reply.text
    if behaviour != "reasoning-field":
        assert reply.usage.output_tokens > plain.usage.output_tokens


@pytest.mark.parametrize("behaviour", ["empty-text", "null-text", "thinking-cut", "refusal"])
async def test_an_answer_without_text_is_an_empty_text_with_its_usage(endpoint: Endpoint, behaviour: str) -> None:
    reply = await ask(model(endpoint, behaviour))
    assert reply.text == ""
    assert reply.usage.input_tokens > 0
    assert reply.truncated == (behaviour == "thinking-cut")


# --- opening and closing ---


async def test_closed_it_opens_again(endpoint: Endpoint) -> None:
    found = model(endpoint, "good")
    await found.generate(GenerationRequest(PLAN, max_tokens=20))
    await found.aclose()
    await found.aclose()
    assert (await found.generate(GenerationRequest(PLAN, max_tokens=20))).text
    await found.aclose()
    assert len(endpoint.requests()) == 2


async def test_many_first_calls_at_once_open_it_once(endpoint: Endpoint) -> None:
    located = released = 0

    async def locate() -> Address:
        nonlocal located
        located += 1
        await asyncio.sleep(0.02)
        return Address(base_url=endpoint.base_url, model="good")

    async def release() -> None:
        nonlocal released
        released += 1

    found = EndpointModel("alice", locate, manner=ONCE, release=release)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(found.generate(GenerationRequest(PLAN, max_tokens=20)))
    await found.aclose()
    await found.aclose()
    assert (located, released) == (1, 1)


async def test_the_address_of_a_dead_engine_is_released_once_and_found_anew(endpoint: Endpoint) -> None:
    """An engine that died is started again, and answers elsewhere."""
    seen: list[str] = []
    now = 0

    async def locate() -> Address:
        seen.append(f"locate {now}")
        return Address(base_url=endpoint.base_url, model=f"good@{now}")

    async def release() -> None:
        seen.append("release")

    found = EndpointModel(
        "alice", locate, manner=ONCE, release=release, alive=lambda address: address.model == f"good@{now}"
    )
    asked = GenerationRequest(PLAN, max_tokens=20)
    await found.generate(asked)
    await found.generate(asked)
    now = 1
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(found.generate(asked))
    assert (await found.address()).model == "good@1"
    now = 2
    assert (await found.address()).model == "good@2"
    await found.generate(asked)
    await found.aclose()
    assert seen == ["locate 0", "release", "locate 1", "release", "locate 2", "release"]
    assert [one.model for one in endpoint.requests()] == ["good@0"] * 2 + ["good@1"] * 3 + ["good@2"]


@pytest.mark.parametrize("trouble", [DigestError("the file is broken", hint="Fetch it again."), ConfigError("no room")])
async def test_a_model_that_cannot_be_made_ready_fails_its_call_and_nothing_else(
    trouble: DigestError | ConfigError,
) -> None:
    async def locate() -> Address:
        raise trouble

    found = EndpointModel("alice", locate)
    with pytest.raises(NotReadyError, match=trouble.message) as raised:
        await found.generate(GenerationRequest(PLAN, max_tokens=20))
    assert raised.value.hint == trouble.hint
    assert trouble.code in raised.value.message
    await found.aclose()


def test_one_event_loop_after_another(endpoint: Endpoint) -> None:
    found = model(endpoint, "good")

    async def twice() -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(found.generate(GenerationRequest(PLAN, max_tokens=20))) for _ in range(3)]
        return sum(len(task.result().text) > 0 for task in tasks)

    async def and_close() -> int:
        done = await twice()
        await found.aclose()
        return done

    with warnings.catch_warnings():
        # Nobody closed the model before its loop ended, so Python closes the sockets and says so.
        warnings.simplefilter("ignore", ResourceWarning)
        assert [asyncio.run(twice()) for _ in range(2)] == [3, 3]
        assert asyncio.run(and_close()) == 3
        asyncio.run(found.aclose())
        gc.collect()
    assert len(endpoint.requests()) == 9


def test_closed_in_time_it_leaves_nothing_open(endpoint: Endpoint) -> None:
    async def once() -> None:
        await ask(model(endpoint, "good"))
        with pytest.raises(CallError):
            await ask(model(endpoint, "cut"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ask(model(endpoint, "hang"))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(once())
        gc.collect()
    assert [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)] == []


async def test_an_error_of_the_address_names_it(endpoint: Endpoint) -> None:
    bare = endpoint.base_url.removesuffix("/v1")
    cases = [
        (
            "html",
            endpoint.base_url,
            f"{endpoint.base_url} sent a text, most likely a web page, in place of JSON",
        ),
        ("401", endpoint.base_url, f"(asked: {endpoint.base_url})"),
        ("404-model", endpoint.base_url, f"(asked: {endpoint.base_url})"),
        ("good", bare, f"(asked: {bare}; the URL usually ends in /v1)"),
        ("good", "http://127.0.0.1:1/v1", "(asked: http://127.0.0.1:1/v1)"),
    ]
    for name, url, said in cases:
        with pytest.raises(CallError) as caught:
            await ask(model(endpoint, name, base_url=url))
        assert caught.value.message.endswith(said), caught.value.message
        assert "endpoint chat completions endpoint" not in caught.value.message
    page = UnexpectedModelBehavior("Invalid response from endpoint, expected JSON data")
    assert to_call_error(page, "alice", url=bare).message.endswith("; the URL usually ends in /v1")
