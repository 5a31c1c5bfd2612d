"""The changes in a model's answer: found by their form, and taken as they are meant where that is clear."""

from __future__ import annotations

import pytest

from sale.agents.edits import applied, edits_in
from sale.agents.prompts.repository import MARKS
from sale.agents.tools.workspace.tree import Copy, Entry, Tree

SOURCE = '''"""Sums."""

import os


class Box:
    def size(self):
        return 1

    def grow(self):
        return 2


def add(a, b):
    return a - b


def twice(a):
    return add(a, a)
'''
TREE: Tree = {"pkg/sums.py": Entry(SOURCE.encode()), "notes.txt": Entry(b"one\r\ntwo\r\n"), "test_sums.py": Entry(b"")}
LIKELY = ("pkg/sums.py", "notes.txt")


def piece(old: str, new: str) -> str:
    return f"{MARKS[0]}\n{old}{MARKS[1]}\n{new}{MARKS[2]}\n"


def fenced(body: str, info: str = "") -> str:
    return f"```{info}\n{body}```\n"


def after(answer: str, *, fixed: frozenset[str] = frozenset()) -> tuple[dict[str, str], list[str]]:
    copy = Copy(TREE)
    faults = applied(edits_in(answer, TREE, LIKELY), copy, fixed)
    return {path: entry.data.decode() for path, entry in copy.tree.items() if TREE.get(path) != entry}, faults


FIXED = SOURCE.replace("a - b", "a + b")


@pytest.mark.parametrize(
    "answer",
    [
        "pkg/sums.py\n" + fenced(piece("    return a - b\n", "    return a + b\n")),
        "The bug is in `add`.\n\n**pkg/sums.py**\n\n" + fenced(piece("return a - b\n", "return a + b\n"), "python"),
        fenced(piece("    return a - b\n", "    return a + b\n"), "python:pkg/sums.py"),
        "pkg/sums.py\n" + piece("    return a - b\n", "    return a + b\n"),
        "pkg/sums.py\n" + fenced(piece("def add(a, b):\n  return a - b\n", "def add(a, b):\n    return a + b\n")),
        "pkg/sums.py\n" + fenced(FIXED, "python"),
        "### File: sums.py\n\n" + fenced(FIXED),
        fenced("# pkg/sums.py\n" + FIXED, "python"),
        fenced(FIXED),
        "pkg/sums.py\n" + fenced("def add(a, b):\n    return a + b\n", "python"),
        "pkg/sums.py\n```python\n" + FIXED,
    ],
    ids=[
        "piece",
        "prose",
        "info",
        "unfenced",
        "other indentation",
        "whole",
        "name",
        "comment",
        "bare",
        "function",
        "cut",
    ],
)
def test_the_same_change_in_many_forms(answer: str) -> None:
    changed, faults = after(answer)
    assert faults == []
    assert changed == {"pkg/sums.py": FIXED}


def test_a_method_alone_goes_where_it_belongs() -> None:
    changed, _ = after("pkg/sums.py\n" + fenced("def grow(self):\n    return 3\n", "python"))
    assert changed == {"pkg/sums.py": SOURCE.replace("        return 2", "        return 3")}


def test_what_a_function_newly_imports_comes_with_it() -> None:
    changed, _ = after(
        "pkg/sums.py\n" + fenced("import math\n\n\ndef add(a, b):\n    return math.fsum([a, b])\n", "python")
    )
    assert changed["pkg/sums.py"].startswith('"""Sums."""\nimport math\n\nimport os\n')
    assert "return math.fsum" in changed["pkg/sums.py"]
    assert "def twice" in changed["pkg/sums.py"]


def test_a_file_does_not_import_itself() -> None:
    changed, _ = after(
        "pkg/sums.py\n" + fenced(f"from pkg.sums import add\nfrom sums import twice\n\n{FIXED}", "python")
    )
    assert changed == {"pkg/sums.py": FIXED}


def test_commands_and_what_is_not_python_change_nothing() -> None:
    changed, faults = after("pkg/sums.py\n" + fenced("def add(a, b):\n    return a + b\n", "python")
                            + "\nRun it:\n\n" + fenced("python -m pytest -q\n", "sh"))  # fmt: skip
    assert (changed, faults) == ({"pkg/sums.py": FIXED}, [])
    changed, faults = after("pkg/sums.py\n" + fenced("def add(a, b:\n    return\n"))
    assert (changed, faults) == ({}, ["what is handed in for pkg/sums.py is not Python"])


def test_a_test_shown_as_an_example_is_no_change() -> None:
    example = fenced("from pkg.sums import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n", "python")
    assert after("Now this passes:\n\n" + example) == ({}, [])


def test_several_files_and_line_ends() -> None:
    answer = "notes.txt\n" + fenced(piece("two\n", "three\n")) + "\npkg/new.py\n" + fenced("x = 1\n", "python")
    changed, faults = after(answer)
    assert faults == []
    assert changed == {"notes.txt": "one\r\nthree\r\n", "pkg/new.py": "x = 1\n"}


def test_what_cannot_be_done_is_said() -> None:
    missing = "pkg/sums.py\n" + fenced(piece("    return a * b\n", "    return a + b\n"))
    changed, faults = after(missing)
    assert changed == {}
    assert "the nearest is, from line 15" in faults[0]
    changed, faults = after("test_sums.py\n" + fenced("x = 1\n"), fixed=frozenset({"test_sums.py"}))
    assert (changed, faults) == ({}, ["test_sums.py is a test, and is not to be changed"])


@pytest.mark.parametrize("answer", ["", "I cannot do that.", "```\n```", fenced(MARKS[0] + "\nhalf a piece\n")])
def test_no_change_is_none(answer: str) -> None:
    assert edits_in(answer, TREE, LIKELY) == ()


@pytest.mark.parametrize("path", ["../../etc/passwd", ".git/hooks/x.sh", "/etc/cron.d/x.conf"])
def test_a_path_that_leads_out_is_not_followed(path: str) -> None:
    changed, faults = after(f"{path}\n" + fenced("x = 1\n"))
    assert changed == {}
    assert len(faults) == 1
    assert path in faults[0]
