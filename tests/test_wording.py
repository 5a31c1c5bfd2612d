"""A number and its noun agree, everywhere: one helper writes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sale.wording import quantity

SOURCE = Path(__file__).parents[1] / "src" / "sale"
NOUNS = (
    "agent|answer|attempt|auction|award|bid|call|execution|file|hour|juror|line|memory|message|minute|model|outcome|"
    "pair|passage|plan|point|record|request|row|score|session|step|task|token|turn|weight"
)
PLURAL = re.compile(
    rf"^ (?:(?:different|judged|new|right) )?(?:{NOUNS.replace('memory', 'memorie').replace('|', 's|')}s)\b"
)
IN_TEMPLATE = re.compile(rf"\}}\}} ?(?:{NOUNS.replace('memory', 'memorie').replace('|', 's|')}s)\b")
BY_HAND = re.compile(r"if [^{}]*== 1 else (?!.(?:are|were)\b)")
ELSEWHERE = (
    *("check.py", "agents/tools", "agents/edits.py", "bench/report", "bench/figures.py", "bench/metrics.py"),
    *("bench/stats.py", "bench/tasks", "bench/corpus.py", "bench/annotate", "storage/sqlite.py"),
)
"""Told to models and to programmers, or of many by the nature of the thing: tables of test tasks."""
NOT_NUMBERS = frozenset({"domain", "named", "own", "subject", "third"})


def always_many(value: ast.expr) -> bool:
    """True of a constant of the code, which whoever wrote the sentence knows, and of what is not a number."""
    return isinstance(value, ast.Name) and (value.id.isupper() or value.id in NOT_NUMBERS)


def written_by_hand(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for one, then in zip(node.values, node.values[1:], strict=False):
            if not (isinstance(one, ast.FormattedValue) and isinstance(then, ast.Constant)):
                continue
            fraction = one.format_spec is not None and re.search(r"[fge%]'", ast.unparse(one.format_spec))
            plain = one.conversion == -1 and not fraction
            if PLURAL.match(str(then.value)) and plain and not always_many(one.value):
                yield f"{path.relative_to(SOURCE)}:{node.lineno}: {ast.unparse(node)[:110]}"


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 tasks"), (1, "1 task"), (2, "2 tasks"), (1200, "1,200 tasks")], ids=str
)
def test_a_number_and_its_noun_agree(number: int, said: str) -> None:
    assert quantity(number, "task") == said


def test_a_plural_of_its_own() -> None:
    assert [quantity(number, "memory", "memories") for number in (1, 2)] == ["1 memory", "2 memories"]


def test_no_plural_is_written_after_a_number() -> None:
    files = [path for path in SOURCE.rglob("*.py") if not path.relative_to(SOURCE).as_posix().startswith(ELSEWHERE)]
    assert [line for path in sorted(files) for line in written_by_hand(path)] == []


def test_no_plural_is_written_after_a_number_in_a_page() -> None:
    found = [
        f"{path.name}: {line.strip()[:100]}"
        for path in sorted((SOURCE / "server").rglob("templates/*.j2"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if IN_TEMPLATE.search(line) or BY_HAND.search(line)
    ]
    assert found == []
