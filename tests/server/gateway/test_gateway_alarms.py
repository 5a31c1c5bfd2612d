"""Alarms of the shadow at an address of the user's: begun and ended once each, whatever the address does."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from sale import config
from sale.errors import ConfigError
from sale.server.alarm_sender import AlarmNotice, AlarmSender
from sale.server.shadow_report import FEW, ShadowReport
from sale.server.store.shadow import ShadowConversation
from tests.server.gateway.conftest import Gateway, Opening
from tests.support.hang import HANG

SECRET = "a secret of the receiver"
TOKEN = {"X-Alarm-Token": "ALARM_TOKEN"}
BEGAN = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent, and answers the next statuses in order, then 204."""

    statuses: list[int] = field(default_factory=list[int])
    told: list[tuple[str, dict[str, str], Any]] = field(default_factory=list[tuple[str, dict[str, str], Any]])
    hangs: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def wait(self, count: int) -> list[Any]:
        """The documents, once there are so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.told) >= count, HANG)
            return [document for _, _, document in self.told]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with kept.arrived:
                kept.told.append((self.path, dict(self.headers), json.loads(body)))
                kept.arrived.notify_all()
            if kept.hangs:
                kept.released.wait(HANG)
            self.send_response(kept.statuses.pop(0) if kept.statuses else 204)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.url = f"http://127.0.0.1:{server.server_address[1]}/hook?team=a"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield kept
        kept.released.set()
        server.shutdown()
        thread.join(HANG)


def add(gateway: Gateway, prefix: str, count: int, auction: float) -> None:
    """Conversations whose auction cost so many dollars."""
    assert gateway.store is not None
    store = gateway.store

    async def begin() -> None:
        for number in range(count):
            store.shadow.begin(
                ShadowConversation(
                    id=f"{prefix}{number}",
                    session_id="s",
                    key_id=None,
                    arm="shadow",
                    began=datetime.now(UTC),
                    agent="large",
                    other="small",
                    turns=1,
                    work_dollars=1.0,
                    auction_dollars=auction,
                )
            )

    gateway.do(begin())


def look(gateway: Gateway) -> ShadowReport:
    assert gateway.state is not None
    found: ShadowReport = gateway.do(gateway.state.shadow.look(gateway.state.handle.market))
    return found


def ask(gateway: Gateway, text: str) -> None:
    body = {"model": "sale", "messages": [{"role": "user", "content": text}]}
    assert httpx2.post(f"{gateway.url}/chat/completions", json=body, timeout=HANG).status_code == 200


def notice(until: datetime | None = None) -> AlarmNotice:
    return AlarmNotice(kind="cost", days=7, since=BEGAN, until=until, report=None)


async def send(settings: config.ServerSettings, *notices: AlarmNotice, seconds: float = HANG) -> None:
    """Send them, three tries each, and wait until all are sent or given up."""
    sender = AlarmSender(lambda: settings, seconds=seconds, waits=(0.01, 0.01))
    for one in notices:
        sender.send(one)
    if sender._task is not None:
        await sender._task


def test_an_alarm_is_sent_when_it_begins_and_when_it_ends(
    opening: Opening, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALARM_TOKEN", SECRET)
    server = {"mode": "shadow", "alarm_url": receiver.url, "alarm_headers_env": TOKEN}
    with opening(server, small="good", large="good") as gateway:
        ask(gateway, "A text that is nobody else's business?")
        add(gateway, "dear", FEW, 1.5)
        assert look(gateway).alarms == look(gateway).alarms == ("cost",)
        (begun,) = receiver.wait(1)
        add(gateway, "cheap", 20 * FEW, 0.1)
        assert look(gateway).alarms == look(gateway).alarms == ()
        begun, ended = receiver.wait(2)
    assert len(receiver.told) == 2
    assert (begun["alarm"], begun["state"], begun["until"], begun["days"]) == ("cost", "begins", None, 7)
    assert begun["what"] == "the market costs more than the incumbent"
    assert begun["figures"]["shadow"]["conversations"] >= FEW
    assert begun["figures"]["shadow"]["saved"]["high"] < 0
    assert (ended["state"], ended["since"]) == ("ends", begun["since"])
    since, until = (datetime.fromisoformat(ended[name]) for name in ("since", "until"))
    assert timedelta() < until - since < timedelta(seconds=HANG)
    path, headers, _ = receiver.told[0]
    assert path == "/hook?team=a"
    assert (headers["X-Alarm-Token"], headers["Content-Type"]) == (SECRET, "application/json")
    assert "business" not in json.dumps([begun, ended])


def test_an_alarm_ends_with_the_shadow(opening: Opening, receiver: Receiver) -> None:
    with opening({"mode": "shadow", "alarm_url": receiver.url}, small="good", large="good") as gateway:
        assert gateway.state is not None
        state = gateway.state
        add(gateway, "dear", FEW, 1.5)
        look(gateway)
        state.settings = state.settings.model_copy(update={"mode": "market"})
        for _ in range(2):
            gateway.do(state._watch_shadow())
        _, ended = receiver.wait(2)
    assert (ended["state"], ended["figures"], len(receiver.told)) == ("ends", None, 2)


def test_an_address_that_does_not_answer_holds_up_no_request_and_no_end(
    opening: Opening, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.hangs = True
    with (
        caplog.at_level(logging.WARNING, "sale.server"),
        opening({"mode": "shadow", "alarm_url": receiver.url}, small="good", large="good") as gateway,
    ):
        add(gateway, "dear", FEW, 1.5)
        assert look(gateway).alarms == ("cost",)
        receiver.wait(1)
        ask(gateway, "Is anything held up?")
        assert gateway.state is not None
        task = gateway.state.shadow._sender._task
        assert task is not None
    assert task.done()
    assert any("as the server ends: 1" in line or "no answer within" in line for line in caplog.messages)


@pytest.mark.parametrize("status", [302, 404, 503])
def test_a_failure_is_logged_and_tried_again_in_order(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    receiver.statuses = [status, status]
    asyncio.run(send(config.ServerSettings(alarm_url=receiver.url), notice(), notice(BEGAN + timedelta(hours=1))))
    assert [document["state"] for document in receiver.wait(4)] == ["begins", "begins", "begins", "ends"]
    assert [path for path, _, _ in receiver.told] == ["/hook?team=a"] * 4
    assert [f"it answered {status}" in line for line in caplog.messages] == [True, True]
    assert "/hook" not in caplog.text


def test_a_slow_address_has_so_much_time_and_no_more(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.hangs = True
    asyncio.run(send(config.ServerSettings(alarm_url=receiver.url), notice(), seconds=0.2))
    assert [line.endswith("no answer within 0.2 s") for line in caplog.messages] == [True] * 3
    assert "is given up" in caplog.messages[-1]


def test_an_address_that_is_down_is_given_up_and_the_next_alarm_is_sent_all_the_same(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config.ServerSettings(alarm_url="http://127.0.0.1:1/hook")

    async def run() -> None:
        now = settings
        sender = AlarmSender(lambda: now, waits=(0.01, 0.01))
        sender.send(notice())
        assert sender._task is not None
        await sender._task
        now = config.ServerSettings(alarm_url=receiver.url)
        sender.send(notice(BEGAN))
        await sender._task

    asyncio.run(run())
    assert [document["state"] for document in receiver.wait(1)] == ["ends"]
    assert ["cannot be reached (ConnectError)" in line for line in caplog.messages] == [True] * 3


def test_a_header_that_cannot_be_sent_is_a_failure_and_is_not_shown(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.ServerSettings(alarm_url=receiver.url, alarm_headers_env=TOKEN)
    for value in (f"{SECRET}\r\nX-More: 1", f"{SECRET} é 中", ""):
        monkeypatch.setenv("ALARM_TOKEN", value)
        asyncio.run(send(settings, notice()))
    assert sum("is given up" in line for line in caplog.messages) == 3
    assert "the environment variable ALARM_TOKEN is not set" in caplog.messages[-1]
    assert SECRET not in caplog.text
    assert receiver.told == []


def test_nothing_is_sent_where_no_address_is_named() -> None:
    sender = AlarmSender(config.ServerSettings)
    sender.send(notice())
    assert sender._task is None


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ('alarm_url = "ftp://host/hook"', "must begin with http:// or https://"),
        ('alarm_url = "https://"', "alarm_url is no address"),
        ('alarm_url = "https://host:99999/hook"', "alarm_url is no address"),
        ('alarm_url = "https://me:hunter2@host/hook"', "alarm_headers_env"),
        ('alarm_url = "https://me:hunter2@host:99999/hook"', "alarm_url is no address"),
        ('alarm_headers_env = { A = "B" }', "goes with alarm_url only"),
        ('alarm_url = "https://host"\nalarm_headers_env = { "a b" = "B" }', "no names of headers: 'a b'"),
    ],
)
def test_an_address_that_cannot_be_is_refused(server: str, said: str) -> None:
    with pytest.raises(ConfigError, match="alarm_") as caught:
        config.parse(f"[server]\n{server}\n")
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
