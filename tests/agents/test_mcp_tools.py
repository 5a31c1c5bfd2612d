"""Real MCP servers, over their streams and over HTTP, well behaved and otherwise."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sale import Market, config
from sale.agents.checkup import examine
from sale.agents.pool import build_agents
from sale.agents.tools.mcp.server import McpServer, McpTool, Secrets
from sale.errors import CallTimeoutError, ConfigError, ExecutionError, NotReadyError, SaleError, UnreachableError
from sale.types import Task, ToolInfo
from sale.types.mcp import McpRules
from tests.support.endpoint import Endpoint, endpoint, running_endpoint
from tests.support.hang import HANG
from tests.support.mcp_server import make

__all__ = ["endpoint", "running_endpoint"]

ROOT = Path(__file__).parents[2]
RUN = "runpy.run_module('tests.support.mcp_server', run_name='__main__')"
HERE = f"import sys, runpy; sys.path.insert(0, {str(ROOT)!r}); {RUN}"


def rules(marker: str = "server", **more) -> McpRules:
    made = McpRules(name="box", command=sys.executable, args=("-c", HERE, marker), timeout_seconds=20.0)
    return replace(made, **more)


def server(marker: str = "server", environment: dict[str, str] | None = None, **more) -> McpServer:
    return McpServer(rules(marker, **more), Secrets(environment=environment or {}))


@pytest.mark.parametrize("goodbye", [HANG, 0.0])
async def test_closing_that_is_cancelled_ends_and_leaves_no_connection(
    monkeypatch: pytest.MonkeyPatch, goodbye: float
) -> None:
    """Whether it waits for the server's goodbye, or for the connection that it has given up."""
    monkeypatch.setattr("sale.agents.tools.mcp.server.GOODBYE_SECONDS", goodbye)
    told, given_up, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    one = server()

    async def keep() -> None:
        await one._over.wait()
        told.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
            await ended.wait()

    one._keeper = keeper = asyncio.create_task(keep())
    closing = asyncio.create_task(one.__aexit__(None, None, None))
    await (told if goodbye else given_up).wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    ended.set()
    await asyncio.wait([keeper])
    assert keeper.cancelled()


class TestOverStreams:
    async def test_lists_what_it_has_and_the_rules_allow(self) -> None:
        async with server() as one:
            offers = {offer.own_name: offer for offer in await one.offers()}
        assert offers["add"].info.name == "box_add"
        assert offers["add"].info.description == "Add two numbers. And nothing else."
        assert offers["add"].schema["required"] == ["a"]
        assert offers["odd.name/with signs"].info.name == "box_odd_name_with_signs"
        async with server(allow=("add", "absent")) as one:
            assert [offer.own_name for offer in await one.offers()] == ["add"]

    async def test_calls_by_the_server_s_own_name(self) -> None:
        async with server() as one:
            offers = {offer.own_name: offer for offer in await one.offers()}
            assert await McpTool(one, offers["add"]).run(a=40, b=2) == "42"
            assert await McpTool(one, offers["odd.name/with signs"]).run() == "called"

    async def test_gives_it_only_the_environment_it_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CANARY_API_KEY", "sk-canary")
        async with server(environment={"MINE": "1"}) as one:
            assert await one.call("environment", {}) == "MINE"

    async def test_a_tool_that_fails_is_told_and_the_server_stays(self) -> None:
        async with server() as one:
            with pytest.raises(ExecutionError, match="this tool is broken"):
                await one.call("fail", {})
            keeper = one._keeper
            assert await one.call("add", {"a": 1}) == "1"
            assert one._keeper is keeper

    async def test_bad_arguments_and_unknown_tools_are_told(self) -> None:
        async with server() as one:
            with pytest.raises(SaleError, match="a"):
                await one.call("add", {"a": "many"})
            with pytest.raises(SaleError, match="no_such"):
                await one.call("no_such", {})
            assert await one.call("add", {"a": 1}) == "1"

    async def test_a_long_result_is_clipped(self) -> None:
        async with server(max_result_chars=1000) as one:
            text = await one.call("long", {"characters": 50_000})
        assert len(text) < 1100
        assert "characters left out" in text

    @pytest.mark.parametrize(
        ("tool", "arguments", "error"),
        [
            ("hang", {}, CallTimeoutError),
            ("die", {}, UnreachableError),
            ("flood", {}, UnreachableError),
            ("long", {"characters": 3_000_000}, UnreachableError),
        ],
    )
    async def test_misbehaviour_costs_its_call_only(
        self, tool: str, arguments: dict[str, object], error: type[SaleError], running: Callable[[str], list[int]]
    ) -> None:
        marker = f"canary-mcp-{tool}-{len(arguments)}"
        async with server(marker) as one:
            assert await one.call("add", {"a": 1}) == "1"
            one._rules = replace(one._rules, timeout_seconds=3.0)
            with pytest.raises(error) as caught:
                await one.call(tool, arguments)
            assert caught.value.where == "box"
            one._rules = rules(marker)
            assert await one.call("add", {"a": 2}) == "2"
        assert running(marker) == []

    async def test_a_call_that_hangs_does_not_take_another_with_it(self) -> None:
        async with server() as one:
            assert await one.call("add", {"a": 1}) == "1"
            one._rules = replace(one._rules, timeout_seconds=2.0)
            hanging = asyncio.create_task(one.call("hang", {}))
            await asyncio.sleep(1.0)
            other = asyncio.create_task(one.call("wait", {"seconds": 1.5}))
            with pytest.raises(CallTimeoutError):
                await hanging
            assert await other == "there"

    async def test_a_cancelled_call_leaves_nothing(self, running: Callable[[str], list[int]]) -> None:
        async def work() -> None:
            async with server("canary-mcp-cancelled") as one:
                await one.call("hang", {})

        task = asyncio.create_task(work())
        await asyncio.sleep(2.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(HANG):
            while running("canary-mcp-cancelled"):  # noqa: ASYNC110  what the system lists tells of no event
                await asyncio.sleep(0.05)

    async def test_what_is_no_server_says_so(self, tmp_path: Path) -> None:
        async with McpServer(McpRules(name="x", command="no-such-program"), Secrets(environment={})) as one:
            with pytest.raises(NotReadyError, match="there is no program 'no-such-program'"):
                await one.offers()
        silent = McpRules(name="x", command="cat", timeout_seconds=2.0)
        async with McpServer(silent, Secrets(environment={})) as one:
            with pytest.raises(SaleError):
                await one.offers()
        gone = McpRules(name="x", command="true", timeout_seconds=5.0)
        async with McpServer(gone, Secrets(environment={})) as one:
            with pytest.raises(SaleError):
                await one.offers()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The same server at an address, and one that is none beside it."""

    async def endless(request: Request) -> Response:
        async def parts():
            for _ in range(2000):
                yield b" " * 65536

        return StreamingResponse(parts(), media_type="application/json")

    app: Starlette = make().streamable_http_app()
    app.router.routes.append(Route("/flood", endless, methods=["POST", "GET", "DELETE"]))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        running = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not running.started and time.monotonic() < until:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        running.should_exit = True
        thread.join(HANG)


class TestOverHttp:
    def at(self, url: str, token: str | None = None, **more) -> McpServer:
        made = McpRules(name="web", url=url, timeout_seconds=more.pop("timeout_seconds", 20.0))
        return McpServer(replace(made, **more), Secrets(environment={}, token=token))

    async def test_lists_and_calls(self, address: str) -> None:
        async with self.at(f"{address}/mcp") as one:
            assert "web_add" in {offer.info.name for offer in await one.offers()}
            assert await one.call("add", {"a": 40, "b": 2}) == "42"

    async def test_sends_its_token(self, address: str) -> None:
        async with self.at(f"{address}/mcp", "sk-canary") as one:
            assert await one.call("headers", {}) == "Bearer sk-canary"

    async def test_hanging_costs_the_call_only(self, address: str) -> None:
        async with self.at(f"{address}/mcp", timeout_seconds=2.0) as one:
            with pytest.raises(CallTimeoutError):
                await one.call("hang", {})
            assert await one.call("add", {"a": 1}) == "1"

    async def test_what_is_no_server_says_so(self, address: str) -> None:
        for url in (f"{address}/nowhere", "http://127.0.0.1:9/mcp", f"{address}/flood"):
            async with self.at(url, timeout_seconds=10.0) as one:
                with pytest.raises(SaleError):
                    await one.offers()


TOML = """
[[agents]]
name = "handy"
endpoint = "{url}"
model = "tool-caller"
price = 1.0
execution = "tools"
{more}
[[agents]]
name = "plain"
endpoint = "{url}"
model = "good"
price = 1.0

[tools]
python = false

[[tools.mcp]]
name = "box"
command = {program}
args = ["-c", {code}]
allow = ["add"]

[[tools.mcp]]
name = "gone"
command = "no-such-program"
"""


def settings(endpoint: Endpoint, more: str = "") -> config.Settings:
    text = TOML.format(url=endpoint.base_url, more=more, program=json.dumps(sys.executable), code=json.dumps(HERE))
    return config.parse(text)


class TestInAPool:
    async def test_an_agent_plans_and_works_with_the_tools_of_its_servers(self, endpoint: Endpoint) -> None:
        handy, plain = build_agents(settings(endpoint))
        async with Market([handy]) as market:
            result = await market.run("What is 2 + 2?")
        assert [tool.name for tool in handy.tools] == ["box_add"]
        assert "box_add: Add two numbers." in str(endpoint.requests()[0].body["messages"])
        assert result.execution.mode == "tools"
        assert "The tool said: 4" in result.answer
        offered = next(one.body["tools"] for one in endpoint.requests() if one.body.get("tools"))
        assert offered[0]["function"]["parameters"]["properties"]["a"]["type"] == "integer"
        assert plain.tools == ()
        await plain.aclose()

    async def test_an_agent_may_be_kept_from_them(self, endpoint: Endpoint) -> None:
        handy, _ = build_agents(settings(endpoint, 'mcp = ["box.hang"]'))
        await handy.prepare()
        assert handy.tools == ()
        handy, _ = build_agents(settings(endpoint, "mcp = []"))
        await handy.prepare()
        assert handy.tools == ()

    async def test_one_of_its_own_named_like_one_of_a_server_stands_in_its_place(
        self, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        handy, _ = build_agents(settings(endpoint), tools=[OwnAdd()])
        async with Market([handy]) as market:
            result = await market.run("What is 2 + 2?")
        assert [tool.description for tool in handy.tools] == ["adds"]
        assert result.execution.error is None
        assert "box_add" in caplog.text


class OwnAdd:
    """A tool with the name of one of the server's."""

    info = ToolInfo(name="box_add", description="adds")

    async def run(self, a: int, b: int = 0) -> str:
        """Add."""
        return f"{a + b}"


FAILING = "import sys; print('first', file=sys.stderr); print('cannot open database', file=sys.stderr); sys.exit(3)"


class TestServersThatDoNotStart:
    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (FAILING, ["it ended with status 3", "first | cannot open database"]),
            ("import sys; sys.stderr.write('x' * 10**6 + '\\nthe end'); sys.exit(1)", ["status 1", "the end"]),
            ("import sys; sys.stderr.buffer.write(bytes([255, 10])); sys.exit(1)", ["status 1"]),
            ("import os, sys; sys.stderr.write('have ' + os.environ['TOKEN']); sys.exit(1)", ["have ‹hidden›"]),
        ],
        ids=["status", "flood", "no text", "secret"],
    )  # fmt: skip
    async def test_the_server_its_command_and_its_last_words_are_named(self, code: str, words: list[str]) -> None:
        made = McpRules(name="files", command=sys.executable, args=("-c", code), timeout_seconds=60.0)
        async with McpServer(made, Secrets(environment={"TOKEN": "a-long-secret"})) as one:
            with pytest.raises(SaleError) as caught:
                await one.offers()
        said = str(caught.value)
        assert said.startswith("files: ")
        assert f"reached by {sys.executable} -c" in said
        assert all(word in said for word in words), said
        assert "a-long-secret" not in said
        assert len(said) < 1500

    async def test_an_agent_says_what_it_goes_without(
        self, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        found = settings(endpoint)
        broken = McpRules(name="files", command=sys.executable, args=("-c", FAILING), timeout_seconds=60.0)
        found = found.model_copy(update={"tools": found.tools.model_copy(update={"mcp": (broken,)})})
        handy, plain = build_agents(found)
        await handy.prepare()
        await handy.prepare()
        (record,) = caplog.records  # once, though it was asked twice
        assert record.levelname == "WARNING"
        said = record.getMessage()
        assert "no tools of the MCP server 'files'" in said
        assert "cannot open database" in said
        done = await handy.execute(Task(text="What is 6 times 7?"), None)
        assert "cannot open database" in str(done.trace[0])
        checkup = await examine(handy)
        assert checkup.reachable
        assert any("cannot open database" in lack.what and "'files'" in lack.what for lack in checkup.lacks)
        for agent in (handy, plain):
            await agent.aclose()

    async def test_one_that_says_nothing_in_time_is_named_with_what_it_wrote(self) -> None:
        made = McpRules(
            name="slow", command="/bin/sh", args=("-c", "echo waiting >&2; exec sleep 60"), timeout_seconds=5.0
        )
        async with McpServer(made, Secrets(environment={})) as one:
            with pytest.raises(CallTimeoutError, match=r"^slow: no answer within 5 s; reached by /bin/sh .*: waiting"):
                await one.offers()

    async def test_an_address_that_nobody_serves_is_named(self) -> None:
        made = McpRules(name="far", url="http://127.0.0.1:9/mcp", timeout_seconds=5.0)
        async with McpServer(made, Secrets(environment={})) as one:
            with pytest.raises(SaleError, match=r"^far: .*reached by http://127\.0\.0\.1:9/mcp"):
                await one.offers()


class TestSettings:
    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ('name = "a"', "exactly one of command and url"),
            ('name = "a"\ncommand = "x"\nurl = "http://x"', "exactly one of command and url"),
            ('name = "a b"\ncommand = "x"', "letters, digits and dashes"),
            ('name = "a"\nurl = "ftp://x"', "http://"),
            ('name = "a"\nurl = "http://x"\nargs = ["y"]', "go with command only"),
            ('name = "a"\ncommand = "x"\ntoken_env = "Y"', "goes with url only"),
            ('name = "a"\ncommand = "x"\nenv = ["sk-123"]', "not their values"),
            ('name = "a"\ncommand = "x"\ntimeout_seconds = 0', "above 0"),
            ('name = "a"\ncommand = "x"\ntimeout = 3', "did you mean 'timeout_seconds'"),
        ],
    )
    def test_mistakes_are_named(self, table: str, message: str) -> None:
        head = '[[agents]]\nname = "a"\nlocal = "x"\nprice = 1\n'
        with pytest.raises(ConfigError) as caught:
            config.parse(f"{head}[[tools.mcp]]\n{table}\n")
        assert message in caught.value.message
        assert "sk-123" not in caught.value.message

    def test_servers_are_known_and_unique(self) -> None:
        head = '[[agents]]\nname = "a"\nlocal = "x"\nprice = 1\n'
        one = '[[tools.mcp]]\nname = "a"\ncommand = "x"\n'
        with pytest.raises(ConfigError, match="share a name"):
            config.parse(head + one + one)
        with pytest.raises(ConfigError, match=r"not there: b\.c"):
            config.parse(head + 'mcp = ["a", "b.c"]\n' + one)

    def test_a_variable_that_is_not_set_is_named(self, endpoint: Endpoint) -> None:
        found = settings(endpoint)
        servers = tuple(replace(one, env=("NO_SUCH_VARIABLE",)) for one in found.tools.mcp)
        found = found.model_copy(update={"tools": found.tools.model_copy(update={"mcp": servers})})
        with pytest.raises(ConfigError, match="NO_SUCH_VARIABLE is not set"):
            build_agents(found)
