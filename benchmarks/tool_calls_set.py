"""The requests of `benchmarks.tool_calls`, and the seven tools they are made to. The tools do nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sale.types import ToolInfo

SET = Path(__file__).with_name("tool_calls.json")


@dataclass(frozen=True)
class Offered:
    """A tool by its description and signature."""

    info: ToolInfo
    run: Callable[..., Awaitable[str]]
    long_input: bool = False


async def search(query: str) -> str:
    """Search.

    Args:
        query: What to look for, in a few words.
    """
    return query


async def read_page(address: str) -> str:
    """Read a page.

    Args:
        address: Where it is.
    """
    return address


async def python(code: str) -> str:
    """Run Python.

    Args:
        code: A complete program.
    """
    return code


async def read_file(path: str, first_line: int = 1, last_line: int = 200) -> str:
    """Read a file.

    Args:
        path: Its path in the repository.
        first_line: Where to begin.
        last_line: Where to stop.
    """
    return f"{path} {first_line} {last_line}"


async def write_file(path: str, text: str) -> str:
    """Write a file.

    Args:
        path: Its path in the repository.
        text: All that it is to hold.
    """
    return f"{path} {text}"


async def convert(amount: float, from_unit: str, to_unit: str) -> str:
    """Convert.

    Args:
        amount: How many.
        from_unit: Of what.
        to_unit: Into what.
    """
    return f"{amount} {from_unit} {to_unit}"


async def add_event(title: str, day: str, time: str) -> str:
    """Add an event.

    Args:
        title: What it is.
        day: YYYY-MM-DD.
        time: HH:MM, of 24 hours.
    """
    return f"{title} {day} {time}"


TOOLS = (
    Offered(ToolInfo(name="search", description="searches the web; the input is a short query"), search),
    Offered(ToolInfo(name="read_page", description="opens a web page; the input is its address"), read_page),
    Offered(ToolInfo(name="python", description="runs a Python program and shows what it prints"), python, True),
    Offered(ToolInfo(name="read_file", description="shows a file of the repository, or some lines of it"), read_file),
    Offered(ToolInfo(name="write_file", description="makes a file in the repository"), write_file, True),
    Offered(ToolInfo(name="convert", description="converts an amount from one unit to another"), convert),
    Offered(
        ToolInfo(name="add_event", description="puts an event into the calendar; day YYYY-MM-DD, time HH:MM"), add_event
    ),
)


def requests() -> list[dict[str, Any]]:
    """All requests: `id`, `text`, the right `tool`, and a check for each of its `arguments` that matters."""
    return json.loads(SET.read_text(encoding="utf-8"))
