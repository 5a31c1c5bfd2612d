"""Two gateways on one PostgreSQL: what they share, the kill of one under load, and restarts one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import httpx2
import psycopg
import pytest

from tests.support.gateway_process import Served, gateway
from tests.support.hang import HANG
from tests.support.live_window import Window
from tests.support.postgres import Server
from tests.support.preloaded import PLAIN
from tests.support.sse_client import Heard, chat, listen
from tests.support.wire import Json, Out, Request, Wire, chunk, usage

PIECES = 5
FINITE = "[auction]\nallowance = 0.05"


async def streams(request: Request, out: Out) -> None:
    """A stream of a second and a half, with its usage at the end."""
    await out.events(chunk({"role": "assistant", "content": ""}), done=False)
    for number in range(PIECES):
        await asyncio.sleep(0.3)
        await out.events(chunk({"content": f"{number} "}), done=False, head=False)
    await out.events(chunk({}, "stop"), {**chunk(), "choices": [], "usage": usage(100, 7)}, head=False)


@dataclass
class Pair:
    """Two gateways."""

    url: str
    postgres: Server
    wire: Wire
    folder: Path
    more: str = ""
    server: dict[str, object] = field(default_factory=dict[str, object])
    open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self, name: str, *, stopped: bool = False) -> Served:
        """One more gateway."""
        agents = [self.wire.agent("large", price=20.0), self.wire.agent("small", price=1.0)]
        made = gateway(
            self.folder / name,
            agents,
            server={"database": self.url, "ledger": "before", **self.server},
            more=self.more,
            memory=self.url,
            stopped=stopped,
            command=PLAIN,
        )
        return self.open.enter_context(made)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Of the database."""
        return self.postgres.run(query, url=self.url)


@pytest.fixture
def pair(tmp_path: Path, postgres: Server) -> Iterator[Pair]:
    with Wire(large=streams, small=streams) as wire:
        made = Pair(url=postgres.database(), postgres=postgres, wire=wire, folder=tmp_path)
        with made.open:
            yield made


def ask(served: Served, words: Sequence[str], session: str) -> httpx2.Response:
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(words)]
    body: Json = {"model": "sale", "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    answer = httpx2.post(
        f"{served.base_url}/chat/completions", json=body, headers={"x-sale-session": session}, timeout=HANG
    )
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("data: [DONE]\n\n"), answer.text
    return answer


async def test_a_session_begun_at_both_at_once_is_auctioned_once(pair: Pair) -> None:
    both = pair.start("a"), pair.start("b")
    names = [f"s{number}" for number in range(6)]
    asked = [
        asyncio.to_thread(ask, served, [f"Say something about {name}."], name) for name in names for served in both
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in asked]
    told = [one.result().text + str(one.result().headers) for one in tasks]
    assert len(told) == 12
    auctions = pair.rows("SELECT DISTINCT session_id, auction_id FROM server_requests WHERE session_id IS NOT NULL")
    assert Counter(str(session) for session, _ in auctions) == Counter(dict.fromkeys(names, 1))
    assert pair.rows("SELECT count(*) FROM auctions") == [(6,)]
    assert pair.rows("SELECT count(*) FROM server_beginnings") == [(0,)]


def test_the_record_holds_the_turns_of_both_and_takes_a_verdict_at_either(pair: Pair) -> None:
    one, two = pair.start("a"), pair.start("b")
    ask(one, ["Plan the work."], "talk")
    ask(two, ["Plan the work.", "0 1 2 3 4 ", "Go on."], "talk")
    ask(one, ["Plan the work.", "0 1 2 3 4 ", "Go on.", "0 1 2 3 4 ", "And on."], "talk")
    ask(one, ["Write a poem."], "poem")
    ask(two, ["Write a poem.", "0 1 2 3 4 ", "A longer one."], "poem")
    for served, session in ((one, "talk"), (two, "poem")):  # who began it, and who did not
        said = httpx2.post(
            f"{served.base_url}/feedback", json={"session_id": session, "verdict": "success"}, timeout=HANG
        )
        assert said.status_code == 200, said.text
    for session, turns in (("talk", 3), ("poem", 2)):
        ((auction,),) = pair.rows(f"SELECT DISTINCT auction_id FROM server_requests WHERE session_id = '{session}'")
        found = pair.rows(
            "SELECT count(*), sum(c.dollars) FROM calls c JOIN auctions a ON a.key = c.auction "
            f"WHERE a.id = '{auction}' AND a.status = 'settled' AND c.stage = 'execute'"
        )
        ledger = pair.rows(f"SELECT count(*), sum(work_dollars) FROM server_requests WHERE session_id = '{session}'")
        assert found[0][0] == ledger[0][0] == turns
        assert found[0][1] == pytest.approx(ledger[0][1])
        verdicts = pair.rows(
            f"SELECT o.verdict FROM outcomes o JOIN auctions a ON a.key = o.auction WHERE a.id = '{auction}'"
        )
        assert verdicts == [("success",)]


SPOKEN = {
    "/chat/completions": {"messages": [{"role": "user", "content": "Plan the work."}]},
    "/responses": {"input": "Plan the work."},
    "/messages": {"messages": [{"role": "user", "content": "Plan the work."}], "max_tokens": 100},
}
"""Ways to ask, each with an id of its own for the answer."""


def test_a_verdict_by_the_id_of_an_answer_is_taken_where_it_was_not_made(pair: Pair) -> None:
    one, two = pair.start("a"), pair.start("b")
    mine, yours = [{"authorization": f"Bearer {one.new_key()}"} for _ in range(2)]

    def judge(reference: str, key: dict[str, str], verdict: str) -> httpx2.Response:
        said = {"response_id": reference, "verdict": verdict}
        return httpx2.post(f"{two.base_url}/feedback", json=said, headers=key, timeout=HANG)

    for path, words in SPOKEN.items():
        body = {"model": "sale", "stream": True, **words}
        answer = httpx2.post(f"{one.base_url}{path}", json=body, headers=mine, timeout=HANG)
        assert answer.status_code == 200, answer.text
        named = re.search(r'"id": ?"([^"]+)"', answer.text)
        assert named is not None, answer.text
        auction = answer.headers["x-sale-auction"]

        unknown = "x" * len(named[1])
        strange, pried = judge(unknown, yours, "failure"), judge(named[1], yours, "failure")
        assert strange.status_code == pried.status_code == 404, "another key's is not known"
        assert pried.text.replace(named[1], unknown) == strange.text, "and nothing tells that it is there"

        taken = judge(named[1], mine, "success")
        assert taken.status_code == 200, taken.text
        assert taken.json()["auction_id"] == auction
        found = pair.rows(
            "SELECT a.status, o.verdict, o.execution FROM auctions a JOIN outcomes o ON o.auction = a.key "
            f"WHERE a.id = '{auction}' ORDER BY o.position"
        )
        assert found == [("settled", "success", 0)], "it is the work that was judged, not an award that waits for it"
        assert judge(named[1], mine, "failure").status_code == 200, "another verdict counts, too"


def test_a_verdict_by_an_auction_is_of_its_work_where_another_holds_it(pair: Pair) -> None:
    one, two = pair.start("a"), pair.start("b")
    auction = ask(one, ["Plan the work."], "talk").headers["x-sale-auction"]
    said = httpx2.post(f"{two.base_url}/feedback", json={"auction_id": auction, "verdict": "failure"}, timeout=HANG)
    assert said.status_code == 200, said.text
    found = pair.rows(
        "SELECT a.status, o.verdict, o.execution FROM auctions a JOIN outcomes o ON o.auction = a.key "
        f"WHERE a.id = '{auction}'"
    )
    assert found == [("settled", "failure", 0)]


def test_the_live_page_shows_the_auctions_of_both(pair: Pair) -> None:
    one, two = pair.start("a"), pair.start("b")
    said: list[str] = []
    with psycopg.connect(pair.url, autocommit=True) as listener, Window(two.origin) as late:
        listener.execute("LISTEN sale_live")
        ask(one, ["Plan a secret garden."], "garden")
        ((auction,),) = pair.rows("SELECT DISTINCT auction_id FROM server_requests WHERE session_id = 'garden'")
        with Window(two.origin) as later:  # of an auction that was held before it was opened
            for window in (late, later):
                assert two.wait(lambda window=window: bool(bids_of(window, str(auction))))
                card = bids_of(window, str(auction))[-1]
                assert "Plan a secret garden." in card, "the task, from the memory they share"
                assert 'class=" won"' in card
        said += [notice.payload for notice in listener.notifies(timeout=1)]
    told = [one for one in said if str(auction) in one]
    assert told
    assert not any("garden" in one for one in said), "whoever may connect can listen: no text is told"
    assert httpx2.post(
        f"{two.base_url}/feedback", json={"session_id": "garden", "verdict": "success"}, timeout=HANG
    ).is_success
    with Window(two.origin) as last:
        assert two.wait(lambda: bool(last.of(str(auction))))
        assert "card live" not in last.of(str(auction))[0], "its record is closed"


def bids_of(window: Window, auction: str) -> list[str]:
    """Cards of an auction under way that say who won, with the bids, as only events tell them."""
    return [card for card in window.of(auction) if "card live" in card and 'class=" won"' in card]


@dataclass
class Balancer:
    """Sends a request to a gateway that says it is ready, as a balancer does, and never again what has failed."""

    up: list[Served]
    heard: dict[str, list[Heard | str]] = field(default_factory=dict[str, "list[Heard | str]"])
    turn: int = 0
    ended: int = 0
    """Tries that have come to an end, whichever."""
    unanswered: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Gateway and session of requests of which not even the head of an answer has come."""

    def has_ended(self, tries: int) -> bool:
        return self.ended >= tries

    def has_answered(self, served: Served) -> bool:
        """To all that was sent there, if only that the answer begins."""
        return not any(origin == served.origin for origin, _ in self.unanswered)

    def client(self, streams: int) -> httpx.AsyncClient:
        """One for so many streams at once, that tells when an answer begins."""

        async def begun(response: httpx.Response) -> None:
            url, session = response.url, response.request.headers["x-sale-session"]
            self.unanswered.discard((f"{url.scheme}://{url.netloc.decode()}", session))

        limits = httpx.Limits(max_connections=streams, max_keepalive_connections=20)
        return httpx.AsyncClient(limits=limits, event_hooks={"response": [begun]})

    async def ask(self, client: httpx.AsyncClient, session: str, *, again: bool) -> None:
        """One stream; with `again` once more at another gateway where it broke."""
        tries: list[Heard | str] = self.heard.setdefault(session, [])
        body = chat("sale", f"Say {session}.", stream=True, stream_options={"include_usage": True})
        while not tries or (again and not whole(tries[-1])):
            served = self.up[self.turn % len(self.up)]
            self.turn += 1
            self.unanswered.add((served.origin, session))
            try:
                tries.append(await listen(client, served.base_url, body, patience=HANG, **{"x-sale-session": session}))
            except httpx.HTTPError as error:
                tries.append(repr(error))
            self.unanswered.discard((served.origin, session))
            self.ended += 1


def whole(heard: Heard | str) -> bool:
    return isinstance(heard, Heard) and heard.status == 200 and heard.done and heard.error is None


def is_leaving(served: Served) -> bool:
    return httpx2.get(f"{served.origin}/readyz", timeout=HANG).status_code == 503


async def test_forty_streams_survive_the_kill_of_one_gateway(pair: Pair) -> None:
    await kill_one_of_two(pair, 40)


@pytest.mark.release
async def test_two_hundred_streams_survive_the_kill_of_one_gateway(pair: Pair) -> None:
    await kill_one_of_two(pair, 200)


async def kill_one_of_two(pair: Pair, streams: int) -> None:
    """Have so many, kill one gateway once a few have ended, and compare the ledger with what the clients saw."""
    pair.more = FINITE
    one, two = await asyncio.to_thread(pair.start, "a", stopped=True), await asyncio.to_thread(pair.start, "b")
    balancer, sessions = Balancer([one, two]), [f"s{number}" for number in range(streams)]
    async with balancer.client(streams) as client, asyncio.TaskGroup() as group:
        for session in sessions:
            group.create_task(balancer.ask(client, session, again=True))
        assert await asyncio.to_thread(one.wait, partial(balancer.has_ended, 5))
        one.process.send_signal(signal.SIGKILL)
        balancer.up = [two]
    heard = balancer.heard
    assert all(whole(tries[-1]) for tries in heard.values()), "every stream came to its end"
    broken = {session for session, tries in heard.items() if len(tries) > 1}
    assert broken, "streams were under way at the one that was killed"

    query = "SELECT session_id, status, error, input_tokens, output_tokens FROM server_requests"
    assert await asyncio.to_thread(two.wait, lambda: len(pair.rows(f"{query} WHERE status = 200")) >= len(sessions))
    lines = pair.rows(query)
    answered = Counter(str(session) for session, status, *_ in lines if status == 200)
    for session in sessions:
        # One that broke may have been whole at the gateway that was killed, which could not send its end any more.
        assert answered[session] in ((1, 2) if session in broken else (1,)), (session, answered[session])
    seen = {session: last.usage for session, (*_, last) in heard.items() if isinstance(last, Heard)}
    assert all(found == usage(100, 7) for found in seen.values())
    assert {(read, written) for _, status, _, read, written in lines if status == 200} == {(100, 7)}
    assert sum(answered.values()) <= len(pair.wire.work()), "nothing is billed that was not asked"
    assert "Traceback" not in two.said


async def test_a_rolling_restart_under_load_fails_no_request(pair: Pair) -> None:
    pair.more, pair.server = FINITE, {"leave_seconds": HANG}
    served = [await asyncio.to_thread(pair.start, name, stopped=True) for name in ("a", "b")]
    balancer, over, pair.server = Balancer(list(served)), asyncio.Event(), {}

    async def load(client: httpx.AsyncClient, place: int) -> None:
        number = 0
        while not over.is_set():
            await balancer.ask(client, f"s{place}-{number}", again=False)
            number += 1

    async with balancer.client(20) as client, asyncio.TaskGroup() as group:
        for place in range(20):
            group.create_task(load(client, place))
        for name, old in zip(("c", "d"), served, strict=True):
            new = await asyncio.to_thread(pair.start, name)
            balancer.up = [*balancer.up, new]
            old.process.send_signal(signal.SIGTERM)
            # It still answers while it says that it leaves; then the balancer has noticed.
            assert await asyncio.to_thread(old.wait, partial(is_leaving, old))
            assert await asyncio.to_thread(old.wait, partial(balancer.has_ended, balancer.ended + 20))
            balancer.up = [one for one in balancer.up if one is not old]
            assert await asyncio.to_thread(old.wait, partial(balancer.has_answered, old))
            old.process.send_signal(signal.SIGTERM)  # waits no longer for balancers
            assert await asyncio.to_thread(old.process.wait, HANG) == 0, old.said
        over.set()
    failed = {session: tries for session, tries in balancer.heard.items() if not whole(tries[-1])}
    assert not failed, f"{len(failed)} of {len(balancer.heard)}: {dict(list(failed.items())[:2])}"
    ends = "SELECT count(*) FROM server_requests WHERE status = 200"
    assert pair.rows(ends) == [(len(balancer.heard),)]
    for one in served:
        assert "Traceback" not in one.said
