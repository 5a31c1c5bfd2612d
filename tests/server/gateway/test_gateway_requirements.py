"""Labels that a request or a key requires: no agent without them sees a word, on whichever way it might have."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sale.types.labels import NOTHING_REQUIRED, Requirements, read_labels
from tests.server.gateway.conftest import Gateway, Serving
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG

TOOL: Any = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"properties": {}}}}
LABELS: dict[str, dict[str, Any]] = {
    "eu-fails": {"region": "eu", "retention": "none"},
    "eu": {"region": "eu", "retention": "none"},
    "eu-keeps": {"region": ["eu", "ch"], "retention": "30 days"},
    "us": {"region": "us", "retention": "none"},
    "us-fails": {"region": "us"},
    "bare": {},
}
"""By agent. Those that fail do so at work, after a bid that wins."""


def pool(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "endpoint": endpoint.base_url,
            "model": f"{'500-at-work+score-5' if name.endswith('fails') else 'good'}@{name}",
            "price": 0.1 * 2**place,
            "labels": labels,
        }
        for place, (name, labels) in enumerate(LABELS.items())
    ]


def ask(
    gateway: Gateway, text: str, path: str = "chat/completions", headers: dict[str, str] | None = None, **more: Any
) -> httpx2.Response:
    said: list[Any] = more.pop("messages", [{"role": "user", "content": text}])
    body = {"input": said} if path == "responses" else {"messages": said}
    body |= {"max_tokens": 100} if path == "messages" else {}
    return httpx2.post(f"{gateway.url}/{path}", json={"model": "sale", **body, **more}, headers=headers, timeout=HANG)


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def saw(endpoint: Endpoint, text: str) -> set[str]:
    """The agents whose model was sent a text, whatever for."""
    return {sent.model.partition("@")[2] for sent in endpoint.requests() if text in str(sent.body)}


@pytest.fixture
def gateway(serving: Serving, endpoint: Endpoint) -> Iterator[Gateway]:
    with serving(*pool(endpoint)) as running:
        yield running


@pytest.mark.parametrize("path", ["chat/completions", "responses", "messages"])
@pytest.mark.parametrize("way", ["header", "metadata"])
def test_only_those_bid_judge_and_work(gateway: Gateway, endpoint: Endpoint, path: str, way: str) -> None:
    wish = "region=EU, retention=none"
    how: Any = {"headers": {"x-sale-require": wish}} if way == "header" else {"metadata": {"sale_require": wish}}
    answer = ask(gateway, "What is 6 × 7?", path, **how)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-sale-agent"] == "eu"
    assert saw(endpoint, "What is 6") == {"eu", "eu-fails"}
    assert "sale_require" not in str(endpoint.requests()[-1].body)


def test_a_repeated_header_counts_every_time(gateway: Gateway, endpoint: Endpoint) -> None:
    body = {"model": "sale", "messages": [{"role": "user", "content": "What is 6 × 7?"}]}
    headers = [("x-sale-require", "region=eu|us"), ("x-sale-require", "region=us")]
    assert httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=HANG).status_code == 200
    assert saw(endpoint, "What is 6") == {"us", "us-fails"}


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ("region=mars", "no agent has region=mars"),
        ("region=us, retention=30 days", "no agent has region=us, retention=30 days together"),
    ],
)
@pytest.mark.parametrize("model", ["sale", "eu"])
def test_if_nobody_is_left_the_request_is_refused_and_seen_by_none(
    gateway: Gateway, endpoint: Endpoint, wish: str, reason: str, model: str
) -> None:
    answer = ask(gateway, "What is 6 × 7?", headers={"x-sale-require": wish}, model=model)
    assert code(answer) == (400, "requirement_unmet")
    if model == "sale":
        assert reason in answer.json()["error"]["message"]
    assert endpoint.requests() == []
    (line,) = gateway.lines()
    assert (line.error, line.work_dollars, line.auction_dollars) == ("requirement_unmet", 0.0, 0.0)


@pytest.mark.parametrize("wish", ["region", "region=", "re gion=eu", "x" * 2000])
def test_what_cannot_be_read_is_refused_and_not_ignored(gateway: Gateway, endpoint: Endpoint, wish: str) -> None:
    answer = ask(gateway, "What is 6 × 7?", headers={"x-sale-require": wish})
    assert code(answer) == (400, "invalid_value")
    assert answer.json()["error"]["param"] == "x-sale-require"
    wrong = ask(gateway, "What is 6 × 7?", metadata={"sale_require": 5})
    assert wrong.json()["error"]["param"] == "metadata.sale_require"
    assert endpoint.requests() == []


def test_a_key_requires_for_all_its_requests(gateway: Gateway, endpoint: Endpoint) -> None:
    assert gateway.store is not None
    secret, made = gateway.do(gateway.store.create_key("team", require=" Region=EU|CH "))
    assert made.require == "region=ch|eu"
    headers = {"authorization": f"Bearer {secret}"}
    assert ask(gateway, "What is 6 × 7?", headers=headers).status_code == 200
    assert saw(endpoint, "What is 6") <= {"eu", "eu-fails", "eu-keeps"}
    assert code(ask(gateway, "Again?", headers=headers, model="us")) == (400, "requirement_unmet")
    # A request adds to what the key requires, and takes nothing away.
    assert code(ask(gateway, "Again?", headers=headers | {"x-sale-require": "region=us"})) == (400, "requirement_unmet")
    assert not saw(endpoint, "Again?")


def test_what_a_conversation_required_once_holds_to_its_end(serving: Serving, endpoint: Endpoint) -> None:
    with serving(*pool(endpoint), server={"reauction": "task"}) as running:
        first = ask(running, "What is 6 × 7?", headers={"x-sale-require": "region=eu, retention=none"})
        said = first.json()["choices"][0]["message"]
        turns: Any = [{"role": "user", "content": "What is 6 × 7?"}, said, {"role": "user", "content": "And 7 × 8?"}]
        second = ask(running, "", messages=turns)
    assert second.headers["x-sale-auction"] != first.headers["x-sale-auction"]
    assert saw(endpoint, "What is 6") == saw(endpoint, "And 7") == {"eu", "eu-fails"}


def test_it_holds_after_a_restart_too(serving: Serving, endpoint: Endpoint) -> None:
    made = serving(*pool(endpoint))
    named = {"x-sale-session": "mine"}
    with made as running:
        ask(running, "What is 6 × 7?", headers=named | {"x-sale-require": "retention=30 days"})
    again = serving(*[one | {"labels": {}} for one in pool(endpoint)])
    with again as running:
        assert code(ask(running, "And 7 × 8?", headers=named)) == (400, "requirement_unmet")
    assert not saw(endpoint, "And 7")


def test_a_conversation_that_begins_to_require_leaves_its_agent(gateway: Gateway, endpoint: Endpoint) -> None:
    named = {"x-sale-session": "mine"}
    first = ask(gateway, "What is 6 × 7?", headers=named)
    assert first.status_code == 200
    second = ask(gateway, "And 7 × 8?", headers=named | {"x-sale-require": "retention=30 days"})
    assert second.headers["x-sale-agent"] == "eu-keeps"
    assert saw(endpoint, "And 7") == {"eu-keeps"}


def test_its_texts_teach_nobody_later(gateway: Gateway, endpoint: Endpoint) -> None:
    headers = {"x-sale-require": "retention=none|30 days"}
    assert ask(gateway, "Sort the secret list of names.", headers=headers).status_code == 200
    assert ask(gateway, "Sort the list of names now.").status_code == 200
    seen = [str(sent.body) for sent in endpoint.requests() if "list of names now" in str(sent.body)]
    assert seen
    assert not any("secret list" in body for body in seen)


def test_an_endpoint_for_embeddings_has_labels(serving: Serving, endpoint: Endpoint) -> None:
    labelled = {"endpoint": endpoint.base_url, "model": "good", "labels": {"region": "eu"}}
    with serving(*pool(endpoint), server={"embeddings": labelled}) as running:
        for wish, status in (("region=eu", 200), ("region=us", 400)):
            answer = httpx2.post(
                f"{running.url}/embeddings",
                json={"input": f"a text for {wish}", "model": "x"},
                headers={"x-sale-require": wish},
                timeout=HANG,
            )
            assert answer.status_code == status
    assert code(answer) == (400, "requirement_unmet")
    assert not [sent for sent in endpoint.requests() if "region=us" in str(sent.body)]


@pytest.mark.parametrize("path", ["completions", "rerank"])
def test_what_is_passed_through_asks_for_labels_too(gateway: Gateway, endpoint: Endpoint, path: str) -> None:
    """By header and by metadata."""
    body: dict[str, Any] = {"model": "us", "prompt": "What is 6 × 7?", "query": "What is 6 × 7?", "documents": ["42"]}
    named: Any = {"metadata": {"sale_require": "region=eu"}}
    for more, headers in (({}, {"x-sale-require": "region=eu"}), (named, {})):
        sent = httpx2.post(f"{gateway.url}/{path}", json=body | more, headers=headers, timeout=HANG)
        assert code(sent) == (400, "requirement_unmet")
    assert endpoint.requests() == []


KEYS = ("", "region=eu|us", "retention=none", "region=eu")
TURNS = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from(["chat/completions", "responses", "messages"]),
            "model": st.sampled_from(["sale", "sale", "sale", *LABELS]),
            "stream": st.booleans(),
            "tools": st.booleans(),
            "aside": st.booleans(),
            "wish": st.sampled_from(
                ["", "", "region=eu", "region=us|ch", "retention=none", "region=eu, retention=30 days", "x=y"]
            ),
        }
    ),
    min_size=1,
    max_size=3,
)


@pytest.fixture
def keyed(gateway: Gateway) -> dict[str, str]:
    """The secrets of keys, by what they require."""
    assert gateway.store is not None
    return {key: gateway.do(gateway.store.create_key(f"of {key or 'anybody'}", require=key or None))[0] for key in KEYS}


@settings(
    max_examples=16,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(turns=TURNS, key=st.sampled_from(KEYS))
def test_no_way_leads_around_it(
    gateway: Gateway, keyed: dict[str, str], endpoint: Endpoint, turns: list[dict[str, Any]], key: str
) -> None:
    """Requests of every kind, and agents that fail at work: who was sent the text?"""
    session = uuid.uuid4().hex
    conversation = of_key = _read(key)
    for turn in turns:
        text = f"What is {uuid.uuid4().hex}?"
        headers = {"authorization": f"Bearer {keyed[key]}", "x-sale-session": session}
        headers |= {"x-sale-require": turn["wish"]} if turn["wish"] else {}
        more: Any = {"stream": turn["stream"], "model": turn["model"]}
        more |= {"tools": [_tool_for(turn["path"])]} if turn["tools"] else {}
        aside = turn["aside"] and turn["path"] == "messages"
        more |= {"max_tokens": 1} if aside else {}
        answer = ask(gateway, text, turn["path"], headers, **more)
        # An agent asked by name is in no conversation.
        required = (conversation if turn["model"] == "sale" else of_key) | _read(turn["wish"])
        able = {name for name, labels in LABELS.items() if required.met_by(read_labels(labels))}
        assert saw(endpoint, text) <= able, (turn, key, answer.text)
        if not able & ({turn["model"]} if turn["model"] != "sale" else set(LABELS)):
            assert answer.status_code == 400
        elif turn["model"] == "sale" and not aside:
            conversation = required


def _read(text: str) -> Requirements:
    return Requirements.parse(text) if text else NOTHING_REQUIRED


def _tool_for(path: str) -> Any:
    if path == "messages":
        return {"name": "add", "description": "Adds.", "input_schema": {"type": "object", "properties": {}}}
    return TOOL if path == "chat/completions" else {"type": "function", **TOOL["function"]}
