"""Sessions: found again, settled when they end, re-auctioned for a new task, and what a dead process left."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from sale.server.events import EventHub
from sale.server.gateway.active_session import ActiveSession
from sale.server.gateway.conversation import task_of
from sale.server.gateway.identity import read_thread
from sale.server.gateway.sessions import FIRST_DIGESTS, LATEST_DIGESTS, MAX_ALIKE, SIDE_BY_SIDE, ActiveSessions
from sale.server.store.types import Session
from tests.server.gateway.conftest import Gateway, Opening, Serving
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.replies import Ask
from tests.support.wire import Out, Request, Wire, chunk

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]
SAID: Any = {"role": "assistant", "content": "42"}
SURE: Any = {"role": "user", "content": "Sure?"}


def ask(gateway: Gateway, messages: list[Any], headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
    body = {"model": "sale", "messages": messages, **more}
    return httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=HANG)


def judge(gateway: Gateway, **body: Any) -> httpx2.Response:
    return httpx2.post(f"{gateway.url}/feedback", json=body, timeout=HANG)


def record(gateway: Gateway, auction_id: str) -> Any:
    async def load() -> Any:
        assert gateway.state is not None
        memory = await gateway.state.handle.market.memory()
        assert memory is not None
        return await memory.load(auction_id)

    return gateway.do(load())


class TestPrefixes:
    def test_a_conversation_that_goes_on_has_the_digests_it_left(self) -> None:
        before = read_thread(HELLO, "k")
        left = before.serve(SAID)
        after = read_thread([*HELLO, SAID, SURE], "k")
        assert (before.fresh, after.fresh) == (True, False)
        assert [prefix.digest for prefix in after.prefixes] == [left.talk, left.tail]
        assert (left.tail, left.link) == (before.whole, "")
        later = read_thread([*HELLO, SAID, SURE, SAID, SURE], "k")
        assert [prefix.digest for prefix in later.prefixes[1:]] == [after.whole, left.talk, left.tail]

    def test_it_is_nobody_elses(self) -> None:
        assert read_thread(HELLO, "k").whole != read_thread(HELLO, "l").whole

    def test_marks_for_caches_are_no_part_of_it(self) -> None:
        marked: Any = [
            {"role": "user", "content": [{"type": "text", "text": "What is 6 × 7?", "cache_control": {"type": "x"}}]}
        ]
        assert read_thread(marked, "k").whole == read_thread(HELLO, "k").whole

    def test_what_the_assistant_said_and_called_is_part_of_it(self) -> None:
        calls: Any = {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}
        longest = [
            read_thread([*HELLO, one, SURE], "k").prefixes[0] for one in (SAID, calls, {**SAID, "content": "43"})
        ]
        assert len(set(longest)) == 3

    @pytest.mark.parametrize("role", ["user", "system", "tool"])
    def test_who_said_it_matters(self, role: str) -> None:
        others = {"user", "system", "tool"} - {role}
        mine = read_thread([{"role": role, "content": "x"}], "k").whole
        assert all(read_thread([{"role": other, "content": "x"}], "k").whole != mine for other in others)

    def test_an_example_before_the_first_question_is_no_answer(self) -> None:
        assert read_thread([{"role": "system", "content": "x"}, SAID, *HELLO], "k").fresh

    @pytest.mark.parametrize(
        ("messages", "new"),
        [
            (HELLO, False),
            ([*HELLO, SAID, SURE], True),
            ([*HELLO, {"role": "assistant", "tool_calls": [{}]}, SURE], False),
            ([*HELLO, SAID, {"role": "tool", "content": "5"}], False),
        ],
    )
    def test_a_new_task(self, messages: list[Any], new: bool) -> None:
        assert read_thread(messages, "k").new_task is new

    def test_the_task_says_what_is_wanted_and_with_what(self) -> None:
        tools: Any = [{"type": "function", "function": {"name": "add", "description": "Adds\nnumbers."}}, "odd", {}]
        text = task_of([{"role": "system", "content": "Be brief."}, *HELLO], tools).text
        assert text.startswith("What is 6 × 7?")
        assert "Be brief." in text
        assert "- add: Adds numbers." in text

    def test_a_long_request_keeps_its_beginning_and_its_end(self) -> None:
        text = task_of([{"role": "user", "content": "begin " + "x" * 50_000 + " end"}], None).text
        assert len(text) < 9000
        assert text.startswith("begin ")
        assert text.endswith(" end")

    def test_no_words_are_a_task_all_the_same(self) -> None:
        picture: Any = [{"type": "image_url", "image_url": {"url": "data:,"}}]
        assert "[image_url]" in task_of([{"role": "user", "content": picture}], None).text
        assert task_of([{"role": "user", "content": "\ud800\0"}], None).text


def test_an_explicit_session_begins_and_goes_on(opening: Opening) -> None:
    with opening(only="good") as gateway:
        first = ask(gateway, HELLO, {"x-sale-session": "mine"})
        other: list[Any] = [{"role": "user", "content": "Something else"}]
        second = ask(gateway, other, metadata={"sale_session": "mine"})
        assert first.headers["x-sale-session"] == second.headers["x-sale-session"] == "mine"
        assert first.headers["x-sale-auction"] == second.headers["x-sale-auction"]
        assert ask(gateway, HELLO, {"x-sale-session": "x" * 129}).status_code == 400


def test_another_keys_session_is_not_found(opening: Opening) -> None:
    with opening(only="good") as gateway:
        assert gateway.store is not None
        keys = [gateway.do(gateway.store.create_key(name))[0] for name in ("a", "b")]
        mine, yours = [{"authorization": f"Bearer {key}"} for key in keys]
        assert ask(gateway, HELLO).status_code == 401
        first = ask(gateway, HELLO, {**mine, "x-sale-session": "s"})
        assert first.status_code == 200
        prefix = ask(gateway, [*HELLO, SAID, SURE], yours)
        assert prefix.headers["x-sale-session"] != "s"
        judged = httpx2.post(f"{gateway.url}/feedback", json={"session_id": "s", "verdict": "failure"}, headers=yours)
        assert judged.status_code == 404
        named = ask(gateway, HELLO, {**yours, "x-sale-session": "s"})
        assert named.status_code == 200, "a name is taken from nobody"
        assert named.headers["x-sale-auction"] != first.headers["x-sale-auction"]
        again = ask(gateway, [*HELLO, SAID, SURE], {**mine, "x-sale-session": "s"})
        assert again.headers["x-sale-auction"] == first.headers["x-sale-auction"]


def test_feedback_is_for_ones_own_auctions(opening: Opening) -> None:
    """Also for one that no session is known of any more, by its whole id."""
    with opening({"session_seconds": 1.0}, only="good") as gateway:
        assert gateway.store is not None
        keys = [gateway.do(gateway.store.create_key(name))[0] for name in ("a", "b")]
        mine, yours = [{"authorization": f"Bearer {key}"} for key in keys]
        auction = ask(gateway, HELLO, mine).headers["x-sale-auction"]
        until = time.monotonic() + 60
        while (kept := record(gateway, auction)).status != "settled" and time.monotonic() < until:
            time.sleep(0.2)
        assert kept.status == "settled"
        said = {"auction_id": auction, "verdict": "failure"}
        assert httpx2.post(f"{gateway.url}/feedback", json=said, headers=yours).status_code == 404
        assert record(gateway, auction).outcomes[-1].outcome.verdict == "unknown"
        assert httpx2.post(f"{gateway.url}/feedback", json=said, headers=mine).status_code == 200
        assert record(gateway, auction).outcomes[-1].outcome.verdict == "failure"


def test_two_that_begin_a_session_at_the_same_time_share_it(opening: Opening) -> None:
    """The second waits for the first one's auction, and is told that it has not been forgotten."""
    with opening(only="slow-300") as gateway, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, gateway, HELLO, {"x-sale-session": "both"}, stream=True) for _ in range(6)]
        answers = [one.result() for one in asked]
        assert [answer.status_code for answer in answers] == [200] * 6
        assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers)
        assert gateway.state is not None
        held = list(gateway.state.sessions._held.values())
        assert len(held) == 1
        until = time.monotonic() + HANG
        while held[0].session.turns < 6 and time.monotonic() < until:  # a turn is noted just after its last byte
            time.sleep(0.02)
        assert held[0].session.turns == 6
        opened = [event for _, event in gateway.state.hub.recent if type(event).__name__ == "AuctionOpened"]
        assert len(opened) == 1


def test_who_gives_up_a_session_leaves_it_to_who_waits(opening: Opening) -> None:
    with opening(only="slow-500") as gateway, ThreadPoolExecutor(1) as pool:
        assert gateway.state is not None
        sessions = gateway.state.sessions
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(
                f"{gateway.url}/chat/completions",
                json={"model": "sale", "messages": HELLO},
                headers={"x-sale-session": "both"},
                timeout=httpx2.Timeout(60, read=0.2),
            )
        later = pool.submit(ask, gateway, HELLO, {"x-sale-session": "both"})
        assert later.result().status_code == 200
        assert not sessions._beginning


def test_a_session_that_rests_is_settled_with_all_its_turns(opening: Opening) -> None:
    with opening({"session_seconds": 60.0}, only="good") as gateway:
        first = ask(gateway, HELLO)
        ask(gateway, [*HELLO, SAID, SURE])
        auction = first.headers["x-sale-auction"]
        assert gateway.state is not None
        gateway.state.sessions._seconds = 0.0  # from now on it has rested long enough at the next look
        until = time.monotonic() + HANG
        while (kept := record(gateway, auction)).status != "settled" and time.monotonic() < until:
            time.sleep(0.2)
        assert kept.status == "settled"
        (execution,) = kept.executions
        assert len(execution.calls) == 2
        assert execution.answer == "The answer is 42."
        assert kept.outcomes[-1].outcome.verdict == "unknown"
        again = ask(gateway, [*HELLO, SAID, SURE, SAID, SURE])
        assert again.headers["x-sale-auction"] == auction, "it is found in the store"


@pytest.mark.parametrize("name", ["session_id", "auction_id", "response_id"])
def test_feedback_by_any_id_settles_the_record(opening: Opening, name: str) -> None:
    with opening(only="good") as gateway:
        first = ask(gateway, HELLO)
        ids = {
            "session_id": first.headers["x-sale-session"],
            "auction_id": first.headers["x-sale-auction"],
            "response_id": first.json()["id"],
        }
        answer = judge(gateway, **{name: ids[name]}, score=0.2, detail="no")
        assert answer.json() == {"object": "feedback", "auction_id": ids["auction_id"]}
        outcome = record(gateway, ids["auction_id"]).outcomes[-1].outcome
        assert (outcome.verdict, outcome.judged_by, outcome.detail) == ("failure", "user", "score 0.2: no")
        assert judge(gateway, session_id=ids["session_id"], verdict="success").status_code == 200
        assert record(gateway, ids["auction_id"]).outcomes[-1].outcome.verdict == "success"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"session_id": "nobody", "verdict": "success"}, 404),
        ({"auction_id": "0" * 32, "verdict": "success"}, 404),
        ({"auction_id": "", "verdict": "success"}, 400),
        ({"verdict": "success"}, 400),
        ({"session_id": "a", "auction_id": "b", "verdict": "success"}, 400),
        ({"session_id": "a", "verdict": "good"}, 400),
        ({"session_id": "a", "score": 2}, 400),
        ({"session_id": "a", "score": True}, 400),
        ({"session_id": "a"}, 400),
        ({"session_id": "a", "verdict": "success", "detail": 5}, 400),
    ],
)
def test_feedback_that_is_wrong(gateway: Gateway, body: dict[str, Any], status: int) -> None:
    assert judge(gateway, **body).status_code == status


def test_an_answer_stands_for_the_auction_it_came_of(opening: Opening) -> None:
    """Its session may have been auctioned again since."""
    with opening({"reauction": "task"}, only="good") as gateway:
        first = ask(gateway, HELLO)
        second = ask(gateway, [*HELLO, SAID, SURE])
        answers = {answer.headers["x-sale-auction"]: answer for answer in (first, second)}
        assert len(answers) == 2
        earlier, later = answers
        assert judge(gateway, response_id=first.json()["id"], verdict="failure").json()["auction_id"] == earlier
        assert record(gateway, earlier).outcomes[-1].outcome.verdict == "failure"
        assert record(gateway, later).status == "awarded", "nothing was said of the later task"


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/messages"])
def test_an_answer_is_known_by_its_id_after_a_restart(opening: Opening, path: str) -> None:
    said: dict[str, Any] = {"input": "What is 6 × 7?"} if path == "/responses" else {"messages": HELLO}
    body = {"model": "sale", "max_tokens": 50, **said} if path == "/messages" else {"model": "sale", **said}
    with opening(only="good") as gateway:
        answer = httpx2.post(f"{gateway.url}{path}", json=body, timeout=HANG)
        assert answer.status_code == 200, answer.text
    with opening(only="good") as gateway:
        taken = judge(gateway, response_id=answer.json()["id"], verdict="success")
        assert taken.json() == {"object": "feedback", "auction_id": answer.headers["x-sale-auction"]}
        assert record(gateway, answer.headers["x-sale-auction"]).outcomes[-1].outcome.verdict == "success"


def test_a_new_task_is_auctioned_again_where_the_settings_say_so(opening: Opening, endpoint: Endpoint) -> None:
    with opening({"reauction": "task"}, only="good") as gateway:
        first = ask(gateway, HELLO)
        second = ask(gateway, [*HELLO, SAID, SURE])
        assert second.headers["x-sale-session"] == first.headers["x-sale-session"]
        assert second.headers["x-sale-auction"] != first.headers["x-sale-auction"]
        assert record(gateway, first.headers["x-sale-auction"]).status == "settled"
        notes = record(gateway, second.headers["x-sale-auction"]).auction.bids[0].notes
        assert not any("prompt cache" in note for note in notes), "the incumbent pays nothing more"


def test_shutting_down_settles_and_the_next_process_goes_on(opening: Opening, endpoint: Endpoint) -> None:
    with opening(only="good") as gateway:
        first = ask(gateway, HELLO)
    with opening(only="good") as gateway:
        assert record(gateway, first.headers["x-sale-auction"]).status == "settled"
        calls = len(endpoint.requests())
        second = ask(gateway, [*HELLO, SAID, SURE])
        assert second.headers["x-sale-session"] == first.headers["x-sale-session"]
        assert len(endpoint.requests()) == calls + 1


def test_many_sessions_stay_within_bounds(opening: Opening) -> None:
    with opening({"sessions": 2, "session_seconds": 4.0}, only="good") as gateway:
        for number in range(4):
            assert ask(gateway, [{"role": "user", "content": f"Task {number}"}]).status_code == 200
        assert gateway.state is not None
        until = time.monotonic() + HANG
        while len(gateway.state.sessions) > 2 and time.monotonic() < until:
            time.sleep(0.1)
        assert len(gateway.state.sessions) <= 2


def test_reading_the_settings_again_drops_no_stream(serving: Serving) -> None:
    released = asyncio.Event()

    async def held(_: Request, out: Out) -> None:
        await out.events(chunk({"content": "fi"}), done=False)
        await released.wait()
        await out.events(chunk({"content": "ne"}), chunk(finish="stop"), head=False)

    with Wire(old=held) as wire, serving(wire.agent("old")) as gateway:
        state, later = gateway.state, serving(wire.agent("old"), wire.agent("new"))
        assert state is not None
        first = state.handle
        body = {"model": "old", "messages": HELLO, "stream": True}
        with (
            httpx2.Client(base_url=gateway.base, timeout=HANG) as client,
            client.stream("POST", "/v1/chat/completions", json=body) as stream,
        ):
            pieces = stream.iter_text()
            begun = next(pieces)
            gateway.do(state.reload(later.market(later.settings), later.settings.server))
            other = client.post("/v1/chat/completions", json={"model": "new", "messages": HELLO})
            wire.call_soon(released.set)
            text = "".join([begun, *pieces])
        assert other.status_code == 200
        assert "ne" in text.removeprefix(begun)
        assert text.endswith("data: [DONE]\n\n")
        assert state.handle is not first


async def test_the_hub_tells_everybody_and_waits_for_nobody() -> None:
    hub = EventHub()
    quick, slow = hub.listen(), hub.listen()
    event: Any = object()
    for number in range(1500):
        hub.publish(str(number), event)
    assert (await anext(slow))[0] == "500", "who is behind misses the oldest"
    hub.publish("last", event)
    hub.close()
    assert [told async for told, _ in quick][-1] == "last"
    assert len(hub.recent) == 1000
    del slow
    assert [told async for told, _ in hub.listen()] == []


# What clients change, and what they call a conversation


def talked(gateway: Gateway, *systems: str, path: str = "/chat/completions", **more: Any) -> list[str]:
    """The auctions of the turns of one conversation, each under a system message of its own."""
    messages: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]
    auctions: list[str] = []
    for number, system in enumerate(systems):
        body = {"model": "sale", "messages": [{"role": "system", "content": system}, *messages], **more}
        answer = httpx2.post(f"{gateway.url}{path}", json=body, timeout=HANG)
        assert answer.status_code == 200, answer.text
        auctions.append(answer.headers["x-sale-auction"])
        messages += [{"role": "assistant", "content": "42"}, {"role": "user", "content": f"And {number}?"}]
    return auctions


def test_a_clock_in_the_system_message_makes_no_other_conversation(gateway: Gateway) -> None:
    assert len(set(talked(gateway, "It is 9:59.", "It is 10:00.", "It is 10:01."))) == 1


def test_another_system_message_makes_another_conversation(gateway: Gateway) -> None:
    assert len(set(talked(gateway, "Be brief.", "Be polite."))) == 2


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/messages"])
@pytest.mark.parametrize("again", [False, True], ids=["one process", "after a restart"])
def test_two_people_who_begin_alike_are_two_conversations(
    opening: Opening, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, path: str, again: bool
) -> None:
    """Under one key and without a name; each finds its own, after a restart and over every protocol."""
    told = iter(range(1000))

    def count(asked: Ask) -> str | None:
        return None if asked.judging or "numbered" in asked.prompt else f"Number {next(told)}."

    monkeypatch.setattr(endpoint, "say", count)
    people: list[list[Any]] = [[{"role": "user", "content": "hi"}] for _ in range(3)]
    sessions: list[list[str]] = [[] for _ in people]
    for _ in range(3 if again else 1):
        with opening(only="good") as gateway:
            for _ in range(1 if again else 3):
                for messages, names in zip(people, sessions, strict=True):
                    answer, name = said_over(gateway, path, messages)
                    names.append(name)
                    messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "Go on."}]
    assert [len(set(names)) for names in sessions] == [1, 1, 1]
    assert [len(names) for names in sessions] == [3, 3, 3]
    assert len({names[0] for names in sessions}) == 3


def begun(sessions: ActiveSessions, number: int, auction: Any = None) -> ActiveSession:
    """A session that has begun; with an auction its record is open."""
    hello = read_thread(HELLO, "k")
    session = Session(
        id=str(number),
        market="sale",
        tail=hello.whole,
        agent="a",
        auction_id="a",
        plan="",
        turns=0,
        dollars=0.0,
        prompt_tokens=0,
        began=datetime.now(UTC),
        seen=datetime.now(UTC),
        key_id=None,
    )
    held = ActiveSession(session=session, auction=auction, open=auction is not None)
    sessions.begin(held, hello)
    return held


@pytest.mark.parametrize("closing", [False, True])
async def test_sessions_that_have_ended_are_settled_side_by_side(*, closing: bool) -> None:
    """Each waits for the disk. One after another they fell behind a busy gateway, which kept ever more of them."""
    meeting = asyncio.Barrier(SIDE_BY_SIDE)  # none is settled before so many are at it
    settled: list[str] = []

    async def settle(*_: object) -> None:
        async with asyncio.timeout(HANG):
            await meeting.wait()
        settled.append("one")

    async def none(*_: object, **__: object) -> list[Any] | None:
        return []

    async def unknown(*_: object, **__: object) -> None: ...

    store: Any = SimpleNamespace(put_session=[].append, recent_requests=none, session=unknown)
    sessions = ActiveSessions(store, seconds=1.0, most=1000, settle=settle)
    auction = SimpleNamespace(id="a")
    ended = [begun(sessions, number, auction) for number in range(2 * SIDE_BY_SIDE)]
    busy = begun(sessions, 999)
    busy.busy = 1
    for held in (*ended, busy):
        held.seen -= 60.0
    await (sessions.aclose() if closing else sessions.settle_rested())
    assert len(settled) == len(ended)
    assert len(sessions) == (0 if closing else 1), "one with a request under way stays, unless all must go"


async def test_a_session_that_cannot_be_settled_holds_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    settled: list[str] = []

    async def settle(auction: Any, *_: object) -> None:
        if auction.id == "0":
            raise KeyError("no such agent")
        await asyncio.sleep(0)
        settled.append(auction.id)

    async def none(*_: object, **__: object) -> list[Any]:
        return []

    store: Any = SimpleNamespace(put_session=[].append, recent_requests=none)
    sessions = ActiveSessions(store, seconds=60.0, most=10, settle=settle)
    for number in range(3):
        begun(sessions, number, SimpleNamespace(id=str(number)))
    await sessions.aclose()
    assert settled == ["1", "2"]
    assert "no such agent" in caplog.text


def test_digests_are_bounded_and_go_with_their_session() -> None:
    """However long a conversation is, and however many begin with the same words."""

    async def nothing(*_: object) -> None: ...

    kept: list[Session] = []
    store: Any = SimpleNamespace(put_session=kept.append)
    sessions = ActiveSessions(store, seconds=60.0, most=10, settle=nothing)
    hello = read_thread(HELLO, "k")
    held = [begun(sessions, number) for number in range(MAX_ALIKE + 9)][-1]
    assert [place[1] for place in sessions._by_digest[hello.whole]] == [str(place) for place in range(9, MAX_ALIKE + 9)]
    messages, served = list(HELLO), hello.serve()
    for turn in range(100):
        served = read_thread(messages, "k").serve({**SAID, "content": f"{turn} {'x' * 99}"})
        sessions.record_turn(held, served, answer_id="", dollars=0.0, prompt_tokens=1)
        messages += [{**SAID, "content": f"{turn}"}, SURE]
    assert (len(kept), kept[-1].turns) == (MAX_ALIKE + 9 + 100, 100), "each turn is the store's at once"
    assert len(held.digests) == FIRST_DIGESTS + LATEST_DIGESTS
    assert hello.whole in held.digests, "the first turn is kept"
    assert {served.tail, served.talk, served.link} <= held.digests.keys()
    for one in tuple(sessions._held.values()):
        sessions._forget(one)
    assert not sessions._by_digest
    assert not sessions._unanswered


def said_over(gateway: Gateway, path: str, messages: list[Any]) -> tuple[str, str]:
    """The answer, and the conversation's id."""
    body: Any = {"model": "sale", "messages": messages, "max_tokens": 100}
    if path == "/responses":
        body = {"model": "sale", "input": messages}
    done = httpx2.post(f"{gateway.url}{path}", json=body, timeout=HANG)
    assert done.status_code == 200, done.text
    value = done.json()
    if path == "/responses":
        answer = value["output"][0]["content"][0]["text"]
    else:
        answer = value["content"][0]["text"] if path == "/messages" else value["choices"][0]["message"]["content"]
    return answer, done.headers["x-sale-session"]


def test_a_cache_key_names_a_conversation_by_its_first_words(gateway: Gateway) -> None:
    first = talked(gateway, "Be brief.", "Be polite.", prompt_cache_key="app")
    assert len(set(first)) == 1
    body = {"model": "sale", "messages": [{"role": "user", "content": "Something else."}], "prompt_cache_key": "app"}
    other = httpx2.post(f"{gateway.url}/chat/completions", json=body, timeout=HANG)
    assert other.headers["x-sale-auction"] not in first
    assert len(set(talked(gateway, "Be brief.", prompt_cache_key="another") + first[:1])) == 2


@pytest.mark.parametrize("header", ["session-id", "session_id"])
def test_a_session_of_codex_is_one_conversation(gateway: Gateway, header: str) -> None:
    auctions: list[str] = []
    for words in ("Begin.", "A compacted history."):
        answer = httpx2.post(
            f"{gateway.url}/responses",
            json={"model": "sale", "input": words},
            headers={header: "0199-abc"},
            timeout=HANG,
        )
        assert answer.headers["x-sale-session"] == "0199-abc"
        auctions.append(answer.headers["x-sale-auction"])
    assert len(set(auctions)) == 1


def test_a_session_of_opencode_is_one_conversation_and_its_title_none(gateway: Gateway) -> None:
    headers = {"user-agent": "opencode/1.18.33 ai-sdk/provider-utils/4.0.23", "x-session-affinity": "ses_abc"}
    tool = {"type": "function", "function": {"name": "read", "parameters": {"type": "object", "properties": {}}}}

    def posted(words: str, headers: dict[str, str], **more: Any) -> Any:
        body = {"model": "sale", "messages": [{"role": "user", "content": words}], **more}
        return httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=HANG)

    title = posted("Write a title.", headers)
    assert title.status_code == 200
    assert "x-sale-auction" not in title.headers
    turns = [posted(words, headers, tools=[tool]) for words in ("Begin.", "A compacted history.")]
    assert {one.headers["x-sale-session"] for one in turns} == {"ses_abc"}
    assert len({one.headers["x-sale-auction"] for one in turns}) == 1
    # The same header of another client may stand for anything: all of a user's requests, say.
    other = posted("Begin.", {"x-session-affinity": "ses_abc"})
    assert other.headers["x-sale-auction"] != turns[0].headers["x-sale-auction"]
