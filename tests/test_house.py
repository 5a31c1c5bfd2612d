"""Conventions of the house that no linter knows: budgets of size, names, exemptions, and where things may be said."""

from __future__ import annotations

import ast
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "sale").rglob("*.py"))
PROGRAMS = [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "scripts").rglob("*.py"))]
WRITTEN = [
    path
    for folder in ("src", "tests", "docs", "benchmarks", "scripts")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".md", ".toml", ".j2"}
] + sorted(ROOT.glob("*.md"))

FILE_LINES = 400
FUNCTION_LINES = 60
VAGUE = re.compile(r"_?(utils?|helpers?|common|misc)(\.py)?")
# Exemptions from the linters. None is for size or complexity; the rest are counted, so that a new one is a decision.
EXEMPT_FROM_SIZE = re.compile(r"noqa:[^#]*(C901|PLR09)")
UNTYPED = re.compile(r"(pyright: ignore|type: ignore)")
MAX_UNTYPED = 12
# A way of saying that something is not done, or where it was done.
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|WIP)\b|^(<{7}|>{7}|={7})( |$)", re.MULTILINE)
SOMEBODYS_MACHINE = re.compile(r"(?<![\w.*])/(?:home|Users)/[a-z]\w*/|(?<![\w.*/\d])/root/\w")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def comments(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        yield from (token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length of each function, without its docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                said = node.body[0]
                length -= (said.end_lineno or said.lineno) - said.lineno + 1
            yield node.name, length


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 40
    assert len(WRITTEN) > len(SOURCES)


@pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES
    assert {name: length for name, length in functions(path) if length > FUNCTION_LINES} == {}


def test_modules_are_named_for_what_they_do() -> None:
    vague = [path for path in PROGRAMS if any(VAGUE.fullmatch(part) for part in path.relative_to(ROOT).parts)]
    assert [name_of(path) for path in vague] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path in PROGRAMS if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert [name_of(path) for path in silent] == []


def test_nothing_is_exempt_from_the_budgets_of_size() -> None:
    found = [f"{name_of(path)}: {comment}" for path in PROGRAMS for comment in comments(path)]
    assert [line for line in found if EXEMPT_FROM_SIZE.search(line)] == []


def test_exemptions_name_a_rule() -> None:
    blanket = re.compile(r"noqa(?!: [A-Z]+\d+)|(pyright|type): ignore(?!\[)|ruff: noqa|pyright: (basic|off)")
    found = [f"{name_of(path)}: {comment}" for path in PROGRAMS for comment in comments(path)]
    assert [line for line in found if blanket.search(line)] == []


def test_little_is_left_untyped() -> None:
    count = Counter(name_of(path) for path in SOURCES for comment in comments(path) if UNTYPED.search(comment))
    assert count.total() <= MAX_UNTYPED, count


def test_nothing_is_left_unfinished_or_tied_to_a_machine() -> None:
    here = Path(__file__)
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in WRITTEN if path != here}
    assert {name: found[0] for name, text in texts.items() if (found := UNFINISHED.search(text))} == {}
    assert {name: found[0] for name, text in texts.items() if (found := SOMEBODYS_MACHINE.search(text))} == {}


def test_every_package_has_a_face() -> None:
    """Without `__init__.py` a folder would be left out of the wheel's checks and of the import contracts."""
    folders = {path.parent for path in SOURCES}
    assert [name_of(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_nobody_but_the_settings_reads_the_environment() -> None:
    reading = re.compile(r"\bos\.(environ|getenv)\b|\bfrom os import .*\b(environ|getenv)\b")
    found = [name_of(path) for path in SOURCES if reading.search(path.read_text(encoding="utf-8"))]
    assert found in ([], ["src/sale/config/environment.py"]), found


def test_no_module_changes_what_it_holds() -> None:
    """Module-level names are constants: no `global`, and no container made empty to be filled later."""
    filled: list[str] = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.Global) for node in ast.walk(tree)), name_of(path)
        for node in tree.body:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if isinstance(value, ast.Dict | ast.List | ast.Set) and not (
                value.keys if isinstance(value, ast.Dict) else value.elts
            ):
                filled.append(f"{name_of(path)}:{node.lineno}")
    assert filled == []
