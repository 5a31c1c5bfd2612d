"""Patterns that foreign text meets: what they cost grows as the text does, not as its square.

A pattern of quadratic cost holds the interpreter, and with it all other requests, for seconds on a text of some
10,000 letters. Ratios of processor time of the same search in texts of four times the length tell, on any machine.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import sale

PIECES = (
    "a", "A", "1", " ", "\n", "\t", "-", "#", "`", "~", "(", "[", "'", ".", "=", "<", "\\", "{", "*", "/", "_", "…",
    '"', '\\"', "a-", "a.", "a ", "1,", "\n ", "[]", "<a ", "a(", "assert ", "function ", "import ", "answer ", "a\n",
    "<parameter=a>", "<parameter=a ", "<function=a>", "a://", "a=>", "1. ", "```\n", "a:1", "the rest ", "rest...",
    "/*", ": ", "(a", "<!--", "<think>", "{%", "\n- ",
)  # fmt: skip
BEGINNINGS = ("", "#", "```", '"', "the rest")
ENDS = ("", "!`x")
SEARCHING = frozenset({"search", "finditer", "findall", "sub", "subn", "split"})
ANCHORED = ("match", "fullmatch")
FOREIGN = frozenset({"sale.server.inspect_ai", "sale.storage.migrations.env"})
"""Modules that another program loads."""
EXCEPT = {
    "sale.cli.allow:_USER": "a command's, of one URL; a bound would show a longer password",
    "sale.agents.written_calls:_PARAMETER": "asked only up to the last mark that closes one",
    "sale.bench.tasks.loaders.times:_DURATION": "reads published tables of times",
    "sale.bench.tasks.loaders.times:_QUANTITY": "reads published tables of times",
    "sale.bench.tasks.loaders.times:_RANGE": "reads published tables of times",
    "sale.bench.tasks.loaders.times:_SHORT_RANGE": "reads published tables of times",
}
"""Patterns that may cost more, and why."""


def uses() -> dict[tuple[Path, str], set[str]]:
    """The methods that are called of each name, by file and name."""
    found: dict[tuple[Path, str], set[str]] = defaultdict(set)
    for path in Path(sale.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found[path, node.value.id].add(node.attr)
    return found


def patterns() -> Iterator[tuple[str, re.Pattern[str], str]]:
    """The patterns of all modules: where, the pattern, and how it is asked."""
    used, seen = uses(), set[re.Pattern[str]]()
    for module in pkgutil.walk_packages(sale.__path__, "sale."):
        if module.name in FOREIGN:
            continue
        loaded = importlib.import_module(module.name)
        for name, value in list(vars(loaded).items()):
            for one in value if isinstance(value, tuple) else (value,):
                if not isinstance(one, re.Pattern) or not isinstance(one.pattern, str) or one in seen:
                    continue
                seen.add(one)
                ways = used.get((Path(str(loaded.__file__)), name), set())
                anchored = [way for way in ANCHORED if way in ways]
                for way in [*anchored, "sub"] if ways & SEARCHING or not anchored else anchored:
                    yield f"{module.name}:{name}", one, way


def seconds(ask: Callable[[str], object], text: str) -> float:
    began = time.thread_time()
    ask(text)
    return time.thread_time() - began


def grows_with_the_square(ask: Callable[[str], object], begin: str, piece: str, end: str) -> bool:
    """True where four times the text costs more than ten times as much, measured again and again."""

    def text_of(length: int) -> str:
        return begin + (piece * length)[:length] + end

    for length in (1_500, 6_000):
        if (cost := seconds(ask, text_of(length))) > 0.004:
            least = min(seconds(ask, text_of(length // 4)) for _ in range(3))
            if cost > 10 * least and min(seconds(ask, text_of(length)) for _ in range(5)) > 10 * least:
                return True
    return False


def test_a_pattern_costs_as_much_as_the_text_is_long() -> None:
    found = list(patterns())
    assert len(found) > 120
    slow: dict[str, tuple[str, str, str]] = {}
    for where, pattern, way in found:
        ask: Callable[[str], object] = partial(pattern.sub, "") if way == "sub" else getattr(pattern, way)
        for begin, piece, end in itertools.product(BEGINNINGS, PIECES, ENDS):
            if where not in EXCEPT and grows_with_the_square(ask, begin, piece, end):
                slow[f"{where} {way}"] = begin, piece, end
    assert slow == {}
