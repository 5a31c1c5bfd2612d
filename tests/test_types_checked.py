"""Nouns that refuse what cannot be, and say what was wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sale.types import Settlement, SuccessModel, TrackRecord
from sale.types.calls import Call, Usage
from sale.types.mcp import McpRules, check_servers, may_use
from sale.types.search import SearchRules
from sale.types.tools import FREE, Budget, Fee

MODEL = SuccessModel(
    worth=1.0,
    intercepts={},
    newcomer=0.0,
    rates={},
    newcomer_rate=0.5,
    coefficients={},
    means={},
    work={},
    newcomer_tokens=1.0,
)


mcp = partial(replace, McpRules(name="files", command="server"))
over_http = partial(replace, McpRules(name="files", url="https://example.org/mcp"))
searxng = partial(replace, SearchRules(provider="searxng", endpoint="https://example.org"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replace(MODEL, rates={"a": math.nan}), "a of a success model must be a finite number"),
        (
            lambda: replace(MODEL, intercepts={"a": math.nan}, work={"a": 1.0}),
            "a of a success model must be a finite number",
        ),
        (
            lambda: replace(MODEL, coefficients={"track": math.inf}, means={"track": 0.0}),
            "track of a success model must be a finite number",
        ),
        (lambda: replace(MODEL, worth=-1.0), "worth and difficulty must not be negative"),
        (lambda: replace(MODEL, prior_evidence=0.0), "prior_evidence must be above 0"),
        (lambda: Fee(per_call=-0.1), "per_call must be a price from 0 up, got -0.1"),
        (lambda: Fee(per_second=math.inf), "per_second must be a price from 0 up, got inf"),
        (lambda: Budget(dollars=0.0), "dollars must be above 0, got 0.0"),
        (lambda: Budget(seconds=math.nan), "seconds must be above 0, got nan"),
        (lambda: mcp(name="-x"), "name must be letters, digits and dashes, at most 24, got '-x'"),
        (lambda: mcp(url="https://example.org"), "exactly one of command and url is needed"),
        (lambda: McpRules(name="files"), "exactly one of command and url is needed"),
        (lambda: over_http(url="ftp://example.org"), "url must begin with http:// or https://"),
        (lambda: over_http(env=("KEY",)), "args and env go with command only"),
        (lambda: mcp(token_env="TOKEN"), "token_env goes with url only"),
        (lambda: mcp(env=("KEY=secret",)), "env and token_env hold names of environment variables, not their values"),
        (lambda: over_http(token_env="a secret!"), "env and token_env hold names of environment variables"),
        (lambda: mcp(price_per_call=-1.0), "price_per_call and price_per_second must be prices from 0 up"),
        (lambda: mcp(timeout_seconds=0.0), "timeout_seconds must be above 0"),
        (lambda: mcp(max_result_chars=1), "max_result_chars from 100 to 1000000"),
        (lambda: check_servers([mcp()], [("other.tool",)]), "agents name MCP servers that are not there: other.tool"),
        (lambda: check_servers([mcp(), over_http()], [None]), "MCP servers share a name: files, files"),
        (lambda: SearchRules(provider="brave"), "brave needs api_key_env"),
        (lambda: SearchRules(provider="corpus", corpus=Path("c"), endpoint="https://x"), "corpus takes no endpoint"),
        (lambda: searxng(endpoint="example.org"), "endpoint must begin with http:// or https://"),
        (lambda: SearchRules(provider="tavily", api_key_env="a key"), "the name of an environment variable, not the"),
        (lambda: searxng(results=21), "results must be from 1 to 20, got 21"),
        (lambda: searxng(seconds=math.nan), "seconds must be from 0.1 to 600, got nan"),
        (lambda: searxng(ports=(80, 70_000)), "ports must be from 1 to 65535, got (80, 70000)"),
    ],
)
def test_what_cannot_be_is_refused_and_named(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        make()
    assert "secret" not in str(caught.value)


def test_what_can_be_is_taken() -> None:
    assert over_http(token_env="TOKEN").allow is None
    assert mcp(args=("--root",), env=("KEY",)).command == "server"
    check_servers([mcp(), mcp(name="web")], [None, ("files", "web.search")])
    assert SearchRules(provider="brave", api_key_env="KEY", endpoint="https://example.org").calls == 20
    assert SearchRules(provider="duckduckgo").pages == "any"


@pytest.mark.parametrize(
    ("wanted", "tool", "may"),
    [
        (None, "read", True),
        (["files"], "read", True),
        (["files.read"], "read", True),
        (["files.read"], "write", False),
        (["files.read"], None, True),
        (["filesystem.read"], None, False),
        ([], None, False),
    ],
)
def test_who_may_use_which_tool(wanted: list[str] | None, tool: str | None, may: bool) -> None:
    assert may_use(wanted, "files", tool) == may


def test_a_tool_costs_by_the_call_if_it_answers_and_by_the_second_if_not() -> None:
    fee = Fee(per_call=0.25, per_second=0.5)
    assert fee.dollars(2.0, answered=True) == 1.25
    assert fee.dollars(2.0, answered=False) == 1.0
    assert FREE.dollars(2.0, answered=True) == 0.0


def test_tools_are_apart_on_a_settlement() -> None:
    model = Call(stage="execute", agent="a", usage=Usage(), dollars=1.0, seconds=0.1)
    tool = Call(stage="execute", agent="a", usage=Usage(), dollars=0.25, seconds=0.1, tool="search")
    assert Settlement(calls=(model, tool)).tool_dollars == 0.25


def test_evidence_is_what_was_judged() -> None:
    assert TrackRecord(agent="a", successes=2.5, failures=1.0, costed=9.0).evidence == 3.5
