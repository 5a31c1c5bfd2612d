"""The language of the package: one name for one thing, names that say what is done, docstrings that are sentences."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_house import PROGRAMS, ROOT, SOURCES, name_of

TESTS = sorted((ROOT / "tests").rglob("*.py"))

SUPERLATIVE = re.compile(r"_?(MOST|LEAST|LONGEST|SHORTEST|FEWEST|LARGEST|SMALLEST|HIGHEST|LOWEST)(_|$)")
"""A limit is a maximum or a minimum; one word for it, and the quantity after it: `MAX_BYTES`."""

# Participles, adjectives and prepositions: they tell of a state or a place, and not of what a function does. A pure
# function may be called by the noun of its result (`mean`, `work_prompt`, `probability_of_yes`), as those of numpy and
# scikit-learn are, and a context manager by what goes on inside it (`reading`); a function called `told` says neither.
STATES = re.compile(
    r"""
    able|across|after|anywhere|around|at_most|because|before|behind|broken|brought|cut|dead|dearest|done|drawn|each
    |every|everybody|exactly|fitting|found|given|gone|grown|harmless|heard|held|implausible|informal|kept|known|least
    |learnt|led_out|left|legible|longest|made|many|met|most|nobody|none|one|paid|quoted|readable|said|sent|shown|silent
    |sold|somebody|spare|spent|stacked|storable|taken|together|told|took|tried|usable|where|whole|within|without|won
    |worse|worst|written|(?!feed$|embed$|need$|seed$|speed$|shed$)[a-z]+ed
    """,
    re.VERBOSE,
)
STATES_KEPT = {
    "src/sale/agents/contractor.py: Contractor.within": "the protocol of agents that users write (`Movable`)",
    "src/sale/agents/protocol.py: Movable.within": "the protocol of agents that users write",
    "src/sale/market.py: Market.within": "public, and reads as `market.within(workspace)`",
    "src/sale/agents/protocol.py: OpenedTool.opened": "the protocol of tools that users write",
    "src/sale/agents/tools/python.py: PythonTool.opened": "as the protocol has it",
    "src/sale/agents/tools/bubblewrap.py: BubblewrapSandbox.within": "reads as `sandbox.within(mounts)`",
    "src/sale/server/dashboard/palette.py: AgentPalette.sorted": "as the built-in function is called",
}
"""Each with the reason; a list to make shorter."""
FOREIGN_PROGRAMS = {"harness.py", "example_run.py", "inside.py", "cells.py", "extract.py", "launcher.py"}
"""Programs that run in a sandbox of their own and are given to it as text: no other module imports them."""

OPENING = re.compile(r"(What|Who|Whom|Whose|Whether|How)\b")
PERSON = re.compile(r"\b([Hh]e|[Hh]im|[Hh]is|[Ss]he|[Ss]omebody|[Ss]omeone|[Nn]obody)('s)?\b")
IS_NO = re.compile(r"(?<![Tt]here )\bis no\b(?! (more|less|longer|larger|dearer|worse|better|later|earlier)\b)")


def names_of_functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions of the module and methods of its public classes, properties aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for one in node.body:
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(one):
                    yield f"{node.name}.{one.name}", one


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(one) or ast.unparse(one).endswith("setter") for one in node.decorator_list)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Every text that documents something: of modules, classes, functions, and of the name above it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for one in (
            node.body if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else ()
        ):
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str):
                yield one.lineno, one.value.value.strip()


def test_one_class_name_has_one_meaning() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(f"{name_of(path)}:{node.lineno}")
    assert len(homes) > 500
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


@pytest.mark.parametrize("path", [*PROGRAMS, *TESTS], ids=name_of)
def test_limits_are_called_maximum_and_minimum(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    assert [name for name in named if SUPERLATIVE.match(name)] == []


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name not in FOREIGN_PROGRAMS], ids=name_of)
def test_functions_are_called_by_what_they_do(path: Path) -> None:
    found = {
        f"{name_of(path)}: {name}"
        for name, node in names_of_functions(path)
        if STATES.fullmatch(node.name) and not (node.returns is not None and ast.unparse(node.returns) == "bool")
    }
    kept = {name for name in STATES_KEPT if name.startswith(f"{name_of(path)}: ")}
    assert found == kept


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_docstrings_are_sentences_about_things(path: Path) -> None:
    """They begin with what the thing is or does, speak of no process as of a person, and say `is not a`."""
    found = [
        f"{line}: {text[:80]}"
        for line, text in docstrings(path)
        if OPENING.match(text) or PERSON.search(text) or IS_NO.search(text)
    ]
    assert found == []
