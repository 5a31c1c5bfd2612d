"""Neighbours: what one key says reaches no prompt, page or answer of another's, on any path, on either database.

The endpoint's models are as obedient as can be: a plan repeats every secret word of its prompt, an answer the whole of
it. Whatever one key's agents are shown of another's would be said aloud, and would stand in what came to the endpoint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.endpoint import Endpoint, endpoint, running_endpoint
from tests.support.gateway_process import Served, gateway
from tests.support.postgres import Server, started
from tests.support.replies import Ask, text_for

__all__ = ["endpoint", "running_endpoint"]

TASK = "Write a function that sorts the names of our customers by their last purchase; the project is called {secret}."
OTHER = "Write a function that sorts the names of our customers by their last purchase; the project is called {secret}!"
ALICE, BOB = "zanzibarine", "quillfeather"
"""Words that nobody says by chance."""
RULES = """
[auction]
jury = "per-bid"
refine = true
examples = 4

[weights]
cost = 0.0

[weights.jurors]
small = 1.0
large = 1.0
"""
BEST = "with all my experience"


def obedient(ask: Ask) -> str | None:
    """Says all it knows. The jury likes the large one's plan, so the small one looks into the memory and refines."""
    if ask.judging:
        return text_for(replace(ask, traits=("score-5" if BEST in ask.prompt else "score-1",)))
    if "numbered steps" in ask.prompt:
        heard = sorted(set(re.findall(f"{ALICE}|{BOB}", ask.prompt)))
        way = BEST if str(ask.body.get("model")).endswith("large") else "quickly"
        return f"1. Remember {' and '.join(heard)}.\n2. Sort the names {way}.\n3. Look at the result."
    return f"I was told: {ask.prompt}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with started() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where the memory and the server's store are."""
    if request.param == "sqlite":
        return str(tmp_path / "memory.sqlite3"), str(tmp_path / "server.sqlite3")
    server: Server = request.getfixturevalue("postgres")
    return server.database(), server.database()


Starting = Callable[..., Any]


@pytest.fixture
def starting(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starting:
    """A real server over an obedient endpoint."""
    endpoint.say = obedient
    monkeypatch.setenv("DASHBOARD_PASSWORD", "open sesame")

    def start(places: tuple[str, str] | None = None, more: str = "", **server: Any) -> Any:
        agents = [
            {"name": "small", "endpoint": endpoint.base_url, "model": "good@small", "price": 0.1},
            {"name": "large", "endpoint": endpoint.base_url, "model": "good@large", "price": 1.0},
        ]
        memory, store = places or (str(tmp_path / "memory.sqlite3"), str(tmp_path / "server.sqlite3"))
        settings = {"database": store, "password_env": "DASHBOARD_PASSWORD", **server}
        return gateway(tmp_path, agents, server=settings, more=RULES + more, memory=memory)

    return start


class Client:
    """One key's client; keeps all that it was ever answered."""

    def __init__(self, served: Served, secret: str | None) -> None:
        headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
        self.http = httpx2.Client(base_url=served.origin, headers=headers, trust_env=False, timeout=120)
        self.told: list[str] = []

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        answer = self.http.request(method, path, **more)
        self.told.append(f"{path} {answer.status_code} {dict(answer.headers)} {answer.text}")
        return answer

    def chat(self, text: str, session: str | None = None, **more: Any) -> httpx2.Response:
        headers = {} if session is None else {"x-sale-session": session}
        body = {"model": "sale", "messages": [{"role": "user", "content": text}], **more}
        return self.ask("POST", "/v1/chat/completions", json=body, headers=headers)

    def respond(self, text: str, **more: Any) -> httpx2.Response:
        return self.ask("POST", "/v1/responses", json={"model": "sale", "input": text, **more})

    def judge(self, name: str, reference: str, verdict: str = "success") -> httpx2.Response:
        return self.ask("POST", "/v1/feedback", json={name: reference, "verdict": verdict, "detail": "as it should be"})


Entering = Callable[[Served, str | None], Client]


@pytest.fixture
def entering() -> Iterator[Entering]:
    made: list[Client] = []

    def enter(served: Served, secret: str | None) -> Client:
        made.append(Client(served, secret))
        return made[-1]

    yield enter
    for client in made:
        client.http.close()


def prompts(endpoint: Endpoint, after: int = 0) -> list[str]:
    return [json.dumps(one.body, ensure_ascii=False) for one in endpoint.requests()[after:]]


def refining(found: list[str]) -> list[str]:
    return [one for one in found if "Another candidate's plan leads" in one]


def use_everything(client: Client, secret: str) -> dict[str, str]:
    """One key's day; gives back the ids by which it knows things."""
    first = client.chat(TASK.format(secret=secret), "notes")
    assert first.status_code == 200, first.text
    assert client.chat(OTHER.format(secret=secret), stream=True).status_code == 200
    response = client.respond(f"{secret}: {TASK.format(secret=secret)}")
    assert response.status_code == 200, response.text
    assert client.judge("session_id", "notes").status_code == 200
    assert client.chat(f"Again: {TASK.format(secret=secret)}").status_code == 200, "refines from its own"
    vector = client.ask("POST", "/v1/embeddings", json={"model": "any", "input": secret})
    assert vector.status_code == 200
    return {
        "session": "notes",
        "auction": first.headers["x-sale-auction"],
        "answer": first.json()["id"],
        "response": response.json()["id"],
    }


def pry(client: Client, known: dict[str, str]) -> None:
    """Everything a neighbour may try who has come to know the ids of another's."""
    for name in ("session_id", "auction_id", "response_id"):
        for reference in known.values():
            answer = client.judge(name, reference, "failure")
            own = reference == known["session"]  # by that name it knows one, too
            assert answer.status_code == (200 if own else 404), (name, reference, answer.text)
    gone_on = client.respond("What did I say before?", previous_response_id=known["response"])
    assert gone_on.status_code == 404
    for path in ("/v1/models", "/v1/models/sale", f"/v1/models/{known['auction']}", "/metrics", "/healthz", "/readyz"):
        client.ask("GET", path)
    for path in ("/", "/live", "/memory", f"/auctions/{known['auction']}", "/agents", "/money", "/sessions", "/keys"):
        assert client.ask("GET", path, headers={"accept": "text/html"}).status_code in {303, 401}
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/feedback"):
        client.ask("POST", path, content=b"{")
        client.ask("POST", path, json={"model": "no such", "messages": [{"role": "user", "content": "x"}], "input": ""})


def test_nothing_of_one_key_reaches_another(
    starting: Starting, entering: Entering, places: tuple[str, str], endpoint: Endpoint
) -> None:
    with starting(places) as served:
        alice, bob = (entering(served, served.new_key("--agent", "small", "--agent", "large")) for _ in range(2))
        known = use_everything(alice, ALICE)
        assert any(ALICE in one for one in refining(prompts(endpoint))), "refinement quotes one's own past"
        before = len(endpoint.requests())
        use_everything(bob, BOB)
        found = prompts(endpoint, before)
        assert any(BOB in one for one in refining(found)), "there is something to compare with"
        pry(bob, known)
        assert not [one for one in prompts(endpoint, before) if ALICE in one]
        assert not [one for one in bob.told if ALICE in one]
        listed = json.loads(served.command("memory", "list", "--json"))["summaries"]
        assert len({one["tenant"] for one in listed}) == 2
        ours = {one["id"]: one["verdict"] for one in listed if ALICE in one["task"]}
        assert ours[known["auction"]] == "success", "nor did the neighbour judge it"


def test_keys_of_one_tenant_share_and_the_command_line_does_not(
    starting: Starting, entering: Entering, endpoint: Endpoint
) -> None:
    with starting() as served:
        alice, friend = (entering(served, served.new_key("--tenant", "team")) for _ in range(2))
        first = alice.chat(TASK.format(secret=ALICE))
        assert friend.judge("auction_id", first.headers["x-sale-auction"]).status_code == 200
        before = len(endpoint.requests())
        friend.chat(TASK.format(secret=BOB))
        assert any(ALICE in one for one in refining(prompts(endpoint, before)))
        before = len(endpoint.requests())
        served.command("bid", TASK.format(secret="nothing"))
        assert not [one for one in prompts(endpoint, before) if ALICE in one or BOB in one]


def test_an_operator_may_share_with_everybody(starting: Starting, entering: Entering, endpoint: Endpoint) -> None:
    with starting(more="[memory]\nshare = true\n") as served:
        alice, bob = (entering(served, served.new_key()) for _ in range(2))
        alice.chat(TASK.format(secret=ALICE))
        before = len(endpoint.requests())
        bob.chat(TASK.format(secret=BOB))
        assert any(ALICE in one for one in refining(prompts(endpoint, before)))


def test_each_key_has_names_of_its_own_for_sessions(starting: Starting, entering: Entering) -> None:
    """Whoever comes first takes nothing from the other, however close they come."""
    with starting() as served:
        clients = [entering(served, served.new_key()) for _ in range(2)]
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(client.chat, TASK.format(secret=BOB), "main") for client in clients for _ in range(2)]
            answers = [one.result() for one in asked]
        assert [answer.status_code for answer in answers] == [200] * 4, [answer.text for answer in answers]
        auctions = [answer.headers["x-sale-auction"] for answer in answers]
        assert auctions[0] == auctions[1] != auctions[2] == auctions[3], (
            "of two at a time, the second finds the first's"
        )
        assert {answer.headers["x-sale-session"] for answer in answers} == {"main"}
        on = [client.chat("And now backwards.", "main") for client in clients]
        assert [answer.headers["x-sale-auction"] for answer in on] == [auctions[0], auctions[2]]
