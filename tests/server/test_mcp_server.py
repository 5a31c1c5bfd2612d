"""`sale mcp` as a user runs it, with the real client of the `mcp` package over both transports."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult

from sale import FunctionAgent, Market, Price, Task
from sale.memory.handle import MemoryHandle
from sale.server.mcp import create_server
from sale.types import Outcome
from tests.support.endpoint import Endpoint, endpoint, running_endpoint
from tests.support.hang import HANG
from tests.support.preloaded import sale_command

__all__ = ["endpoint", "running_endpoint"]

AGENTS = """
[[agents]]
name = "small"
endpoint = "{url}"
model = "{small}"
price = 0.1

[[agents]]
name = "large"
endpoint = "{url}"
model = "{large}"
price = 1.0
"""


@pytest.fixture
def written(endpoint: Endpoint, tmp_path: Path) -> Path:
    return write(endpoint, tmp_path)


def write(endpoint: Endpoint, folder: Path, small: str = "good@small", large: str = "good@large") -> Path:
    path = folder / "sale.toml"
    memory = f'[memory]\npath = "{folder / "memory.sqlite3"}"\n'
    path.write_text(AGENTS.format(url=endpoint.base_url, small=small, large=large) + memory, encoding="utf-8")
    return path


def over_streams(settings: Path) -> Client:
    return Client(
        StdioServerParameters(command=sale_command()[0], args=[*sale_command()[1:], "mcp", "--config", str(settings)])
    )


@asynccontextmanager
async def over_http(settings: Path) -> AsyncGenerator[Client]:
    server = await asyncio.create_subprocess_exec(
        *(*sale_command(), "mcp", "--config", str(settings), "--http", "--port", "0"), stderr=subprocess.PIPE
    )
    try:
        assert server.stderr is not None
        line = (await asyncio.wait_for(server.stderr.readline(), 60)).decode()
        found = re.search(r"serving (http://127\.0\.0\.1:\d+/mcp)", line)
        assert found, line
        async with Client(found[1]) as client:
            yield client
    finally:
        server.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(server.wait(), HANG) in {0, 130}


@asynccontextmanager
async def connected(kind: str, settings: Path) -> AsyncGenerator[Client]:
    async with over_streams(settings) if kind == "streams" else over_http(settings) as client:
        yield client


KINDS = pytest.mark.parametrize("kind", ["streams", "http"])


def text_of(result: CallToolResult) -> str:
    return " ".join(getattr(block, "text", "") for block in result.content)


@KINDS
async def test_a_client_delegates_a_task_and_watches_it(kind: str, written: Path) -> None:
    told: list[tuple[float, str | None]] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with connected(kind, written) as client:
        (tool,) = (await client.list_tools()).tools
        assert tool.name == "delegate"
        assert list(tool.input_schema["properties"]) == ["task"]
        assert tool.output_schema is not None
        assert set(tool.output_schema["properties"]) == {
            *("answer", "agent", "cost", "auction_id", "verdict", "judged_by", "detail", "error")
        }
        result = await client.call_tool("delegate", {"task": "What is 6 × 7?"}, progress_callback=watch)
    assert not result.is_error
    done = result.structured_content
    assert done["answer"] == "The answer is 42."
    assert done["agent"] in {"small", "large"}
    assert done["cost"] > 0
    assert done["error"] is None
    assert "42" in text_of(result)
    assert [progress for progress, _ in told] == sorted(range(1, len(told) + 1))
    messages = [message for _, message in told]
    assert messages[0] == "bidding has begun among 2 agents"
    assert f"{done['agent']} is at work" in messages
    assert messages[-1] == "outcome: unknown"
    shown = await asyncio.to_thread(on_record, written, done["auction_id"])
    assert done["answer"] in shown


def on_record(settings: Path, auction_id: str) -> str:
    command = [*sale_command(), "memory", "show", auction_id, "--json", "--config", str(settings)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=True).stdout


@KINDS
async def test_several_tasks_at_once(kind: str, written: Path) -> None:
    async with connected(kind, written) as client, asyncio.TaskGroup() as group:
        calls = [group.create_task(client.call_tool("delegate", {"task": f"What is {n} × 7?"})) for n in range(4)]
    ids = {call.result().structured_content["auction_id"] for call in calls}
    assert len(ids) == 4


async def test_failures_are_told_and_the_server_stays(endpoint: Endpoint, tmp_path: Path) -> None:
    settings = write(endpoint, tmp_path, "401@small", "401@large")
    async with over_streams(settings) as client:
        for task in ("What is 6 × 7?", ""):
            result = await client.call_tool("delegate", {"task": task})
            assert result.is_error
            assert "Traceback" not in text_of(result)
        assert "no agent made a bid" in text_of(await client.call_tool("delegate", {"task": "Again."}))


async def test_work_without_an_answer_is_a_failed_call(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.say = lambda ask: " " if "numbered steps" not in ask.prompt and not ask.judging else None
    async with over_streams(write(endpoint, tmp_path)) as client:
        result = await client.call_tool("delegate", {"task": "What is 6 × 7?"})
    assert result.is_error
    assert "did the task without success" in text_of(result)
    assert "(auction " in text_of(result)


@KINDS
async def test_a_client_that_gives_up_stops_the_work(kind: str, endpoint: Endpoint, tmp_path: Path) -> None:
    settings = write(endpoint, tmp_path, "hang@small", "hang@large")
    async with connected(kind, settings) as client:
        call = asyncio.create_task(client.call_tool("delegate", {"task": "What is 6 × 7?"}))
        assert await asyncio.to_thread(endpoint.wait, lambda: len(endpoint.requests()) == 2, 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(endpoint.wait, lambda: all(one.cancelled for one in endpoint.requests()), 10)
        assert (await client.list_tools()).tools


class Check:
    """Finds every answer wrong."""

    async def verify(self, task: Task, answer: str) -> Outcome:
        return Outcome(verdict="failure", judged_by="sums", detail=f"{answer} is not 42")


async def plan(task: Task) -> str:
    return "1. Add."


async def work(task: Task, strategy: str | None) -> str:
    return "43"


async def test_an_answer_that_was_found_wrong_says_so() -> None:
    adder = FunctionAgent("adder", price=Price(input=0.1, output=0.1, blended=0.1), bid=plan, execute=work)
    async with Market([adder]) as market, Client(create_server(market)) as client:
        market.verifier = Check()
        assert client.server_info is not None
        assert client.server_info.version == version("sale")
        done = (await client.call_tool("delegate", {"task": "What is 6 × 7?"})).structured_content
    assert (done["answer"], done["verdict"], done["judged_by"]) == ("43", "failure", "sums")
    assert done["detail"] == "43 is not 42"


async def test_an_answer_that_is_not_on_record_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: MemoryHandle, step: object) -> str:
        return "the auction is not on record: the disk is full"

    monkeypatch.setattr(MemoryHandle, "keep", fail)
    adder = FunctionAgent("adder", price=Price(input=0.1, output=0.1, blended=0.1), bid=plan, execute=work)
    async with Market([adder]) as market, Client(create_server(market)) as client:
        done = (await client.call_tool("delegate", {"task": "What is 6 × 7?"})).structured_content
    assert "the disk is full" in done["error"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_the_input_is_open(written: Path, number: int) -> None:
    command = [*sale_command(), "mcp", "--config", str(written)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
            process.stdin.flush()
            assert b'"id":1' in process.stdout.readline()
            process.send_signal(number)
            assert process.wait(HANG) == 128 + number
        finally:
            process.kill()


def test_nothing_but_the_protocol_is_on_standard_output(written: Path) -> None:
    done = subprocess.run(
        [*sale_command(), "mcp", "--config", str(written)],
        input="",
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_port_that_is_taken_is_a_line(written: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*sale_command(), "mcp", "--config", str(written), "--http", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )
    assert done.returncode == 2
    assert f"port {port} cannot be had" in done.stderr
    assert "Traceback" not in done.stderr
