"""The changes in a model's answer: found by their form, and taken as they are meant where that is clear."""

from __future__ import annotations

import pytest

from sale.agents.edits import apply_edits, edits_in
from sale.agents.prompts.repository import MARKS
from sale.agents.tools.workspace.tree import FileEntry, Tree, WorkingCopy

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
TREE: Tree = {
    "pkg/sums.py": FileEntry(SOURCE.encode()),
    "notes.txt": FileEntry(b"one\r\ntwo\r\n"),
    "test_sums.py": FileEntry(b""),
}
LIKELY = ("pkg/sums.py", "notes.txt")


def piece(old: str, new: str) -> str:
    return f"{MARKS[0]}\n{old}{MARKS[1]}\n{new}{MARKS[2]}\n"


def fenced(body: str, info: str = "") -> str:
    return f"```{info}\n{body}```\n"


def after(answer: str, *, fixed: frozenset[str] = frozenset()) -> tuple[dict[str, str], list[str]]:
    copy = WorkingCopy(TREE)
    faults = apply_edits(edits_in(answer, TREE, LIKELY), copy, fixed)
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


def change(path: str, data: bytes, answer: str, **others: bytes) -> tuple[dict[str, bytes], list[str]]:
    tree = {path: FileEntry(data), **{name.replace("__", "."): FileEntry(one) for name, one in others.items()}}
    copy = WorkingCopy(tree)
    faults = apply_edits(edits_in(answer, tree, sorted(tree)), copy, frozenset())
    return {name: entry.data for name, entry in copy.tree.items() if tree.get(name) != entry}, faults


HALF = "\n\ndef half(r):\n    return r\n"
SHAPES = "import math\n\nSCALE = 2\n\n\ndef area(r):\n    return r\n"


@pytest.mark.parametrize("data", [b"\xe4 = 1\n", b"\xff\xfe\x00", b"a\0b\n", "ä\n".encode("utf-16-le")])
def test_what_cannot_be_read_is_refused_and_not_taken_for_no_file(data: bytes) -> None:
    for body in ("def area(r):\n    return 2 * r\n", piece("a\n", "b\n")):
        changed, faults = change("shapes.py", data, "shapes.py\n" + fenced(body, "python"))
        assert changed == {}
        assert len(faults) == 1
        assert "'shapes.py' is no text" in faults[0]


def test_a_character_that_the_encoding_has_not_is_refused() -> None:
    data = f"# coding: latin-1\n# ä\n{SHAPES}".encode("latin-1")
    changed, faults = change("shapes.py", data, "shapes.py\n" + fenced("def area(r):\n    return '日'\n", "python"))
    assert changed == {}
    assert "shapes.py is in iso8859-1, which has no '日'" in faults[0]


def test_an_encoding_that_is_declared_anew_is_the_one_used() -> None:
    data = "# coding: latin-1\nname = 'ä'\n".encode("latin-1")
    answer = "a.py\n" + fenced(piece("# coding: latin-1\n", "# coding: utf-8\n"))
    assert change("a.py", data, answer) == ({"a.py": "# coding: utf-8\nname = 'ä'\n".encode()}, [])
    whole = "a.py\n" + fenced("name = 'ä'\nother = 1\n", "python")
    assert change("a.py", data, whole) == ({"a.py": "# coding: latin-1\nname = 'ä'\nother = 1\n".encode("latin-1")}, [])


@pytest.mark.parametrize(
    ("body", "right"),
    [
        ("def area(r):\n    return 2 * r\n", SHAPES.replace("return r", "return 2 * r")),
        ("import math\n\n\ndef area(r):\n    return 2 * r\n", SHAPES.replace("return r", "return 2 * r")),
        ("SCALE = 3\n", SHAPES.replace("= 2", "= 3")),
        (
            "SCALE = 3\n\n\ndef half(r):\n    return r\n",
            SHAPES.replace("= 2", "= 3") + "\n\ndef half(r):\n    return r\n",
        ),
        ("#!/bin/sh\n" + SHAPES.replace("2", "3"), "#!/bin/sh\n" + SHAPES.replace("2", "3")),
    ],
    ids=["all functions", "with imports", "an assignment", "both", "the file"],
)
def test_a_part_of_a_file_leaves_the_rest(body: str, right: str) -> None:
    assert change("shapes.py", SHAPES.encode(), "shapes.py\n" + fenced(body, "python")) == (
        {"shapes.py": right.encode()},
        [],
    )


def test_a_class_with_one_of_its_methods_keeps_the_others() -> None:
    body = "class Box:\n    def grow(self):\n        return 3\n\n    def shrink(self):\n        return 0\n"
    changed, faults = after("pkg/sums.py\n" + fenced(body, "python"))
    right = SOURCE.replace("return 2", "return 3\n\n    def shrink(self):\n        return 0")
    assert (changed, faults) == ({"pkg/sums.py": right}, [])


def test_a_part_of_what_is_no_python_is_refused() -> None:
    old = b"print 'two'\n\ndef area(r):\n    return r\n\ndef half(r):\n    return r\n"
    changed, faults = change("shapes.py", old, "shapes.py\n" + fenced("def area(r):\n    return 2 * r\n", "python"))
    assert changed == {}
    assert "is a part of it" in faults[0]
    lines = b"".join(b"line %d\n" % number for number in range(20))
    changed, faults = change("notes.js", lines, "notes.js\n" + fenced("line 3\nline four\n", "js"))
    assert changed == {}
    assert "would remove 19 of its 20 lines" in faults[0]


SCRIPT = "const a = 1;\n\nfunction area(w, h) {\n  return w + h;\n}\n\nfunction keep() { return a; }\n"
PROGRAM = "#include <stdio.h>\n\nint area(int w)\n{\n  return w;\n}\n\nint main(void) { return 0; }\n"


@pytest.mark.parametrize(
    ("path", "old", "body", "lost"),
    [
        ("s.js", SCRIPT, "function area(w, h) {\n  return w * h;\n}\n", "lacks a, keep"),
        ("s.ts", SCRIPT, "export async function area(w, h) {\n  return w * h;\n}\n", "lacks a, keep"),
        ("s.c", PROGRAM, "int area(int w)\n{\n  return 2 * w;\n}\n", "lacks main"),
    ],
)
def test_one_function_of_another_language_is_no_whole_file(path: str, old: str, body: str, lost: str) -> None:
    changed, faults = change(path, old.encode(), f"{path}\n" + fenced(body))
    assert changed == {}
    assert lost in faults[0]


@pytest.mark.parametrize("new", [SCRIPT.replace("+", "*"), SCRIPT.partition("function keep")[0], "let b = 2;\n"])
def test_a_file_that_begins_as_before_or_shares_no_name_is_whole(new: str) -> None:
    changed, faults = change("s.js", SCRIPT.encode(), "s.js\n" + fenced(new, "js"))
    assert (changed, faults) == ({"s.js": new.rstrip("\n").encode() + b"\n"}, [])


@pytest.mark.parametrize(
    ("head", "given", "right"),
    [
        ("@functools.cache\ndef area(w, h):", "def area(w, h):", "@functools.cache\ndef area(w, h):"),
        ("@functools.cache\ndef area(w, h):", "@cache\ndef area(w, h):", "@cache\ndef area(w, h):"),
        ("@staticmethod\ndef area(w, h):", "def area(self, w, h):", "def area(self, w, h):"),
    ],
    ids=["without any", "another", "another first argument"],
)
def test_decorators_stay_where_none_are_handed_in(head: str, given: str, right: str) -> None:
    old = "import functools\n\nUNIT = 1\n\n\n{}\n    return w {} h\n\n\ndef keep():\n    return UNIT\n"
    changed, faults = change("s.py", old.format(head, "+").encode(), "s.py\n" + fenced(f"{given}\n    return w * h\n"))
    assert (changed, faults) == ({"s.py": old.format(right, "*").encode()}, [])


@pytest.mark.parametrize(
    "mark", ["# ... rest of the code unchanged", "# existing code ...", "    # … other methods stay"]
)
def test_what_leaves_a_part_out_in_words_is_refused(mark: str) -> None:
    body = f"import math\n\nSCALE = 3\n{mark}\n\n\ndef area(r):\n    return r\n"
    changed, faults = change("shapes.py", SHAPES.encode(), "shapes.py\n" + fenced(body, "python"))
    assert changed == {}
    assert "leaves a part out" in faults[0]


def test_a_document_may_have_code_in_it() -> None:
    old = "# Title\n\n```sh\nmake\n```\n\nThe end.\n"
    answer = "README.md\n```markdown\n" + old.replace("make", "make test") + "```\n"
    assert change("README.md", old.encode(), answer) == ({"README.md": old.replace("make", "make test").encode()}, [])


def test_a_shorter_fence_within_a_block_is_content() -> None:
    old, new = (f"# Title\n\n```sh\nmake{word}\n```\n\nThe end.\n" for word in ("", " test"))
    answer = f"README.md\n````markdown\n{new}````\n\nnotes.txt\n```\nthree\n```\n\nThat is all.\n"
    changed, faults = change("README.md", old.encode(), answer)
    assert (changed, faults) == ({"README.md": new.encode(), "notes.txt": b"three\n"}, [])


@pytest.mark.parametrize(
    "label",
    ["my pkg/area.py", "**`my pkg/area.py`**", "File: my pkg/area.py", "`/w/my pkg/area.py`:", "Fix my pkg/area.py:"],
)
def test_a_path_with_a_space_is_its_own(label: str) -> None:
    answer = f"{label}\n" + fenced("def area(r):\n    return 2 * r\n", "python")
    changed, faults = change("my pkg/area.py", SHAPES.encode(), answer, area__py=SHAPES.encode())
    assert (list(changed), faults) == (["my pkg/area.py"], [])


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("AREA.py", "there is no file 'AREA.py'; there is 'area.py'"),
        ("../area.py", "is not a file within the copy"),
        ("This is like area.py:", "it is not clear whether 'area.py' is meant"),
    ],
)
def test_a_change_is_not_made_to_a_file_that_looks_like_it(label: str, why: str) -> None:
    changed, faults = change("area.py", SHAPES.encode(), f"{label}\n" + fenced("quite = 'other'\n", "python"))
    assert changed == {}
    assert why in faults[0]


def test_a_new_file_below_a_directory_is_not_one_above_it() -> None:
    answer = "new/area.py\n" + fenced("x = 1\n", "python")
    assert change("area.py", SHAPES.encode(), answer) == ({"new/area.py": b"x = 1\n"}, [])


def test_a_patch_is_read_as_one() -> None:
    patch = "--- a/notes.txt\n+++ b/notes.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"
    assert after(fenced(patch, "diff")) == ({"notes.txt": "one\r\nthree\r\n"}, [])
