"""What is handed in is often a part: nothing else of the file may go with it, and none of it may get lost."""

from __future__ import annotations

import pytest

from sale.agents.edits import Replacement, UnplacedChange, WholeFile, apply_edits, edits_in
from sale.agents.merging import without_itself
from sale.agents.tools.workspace.tree import FileEntry, WorkingCopy
from tests.agents.workspace.test_edits import fenced, piece

NUMBERS = "".join(f"def f{number}():\n    return {number}\n\n\n" for number in range(9))
CIRCLE = """import math


class Circle:
    def __init__(self, r):
        self.r = r

    def area(self):
        return self.r

    def length(self):
        return 2 * math.pi * self.r
"""
PROPERTY = """class Box:
    \"\"\"A box.\"\"\"

    @property
    def size(self):
        return self._size

    @size.setter
    def size(self, value):
        self._size = value
"""
HANDLERS = """from functools import singledispatch


@singledispatch
def show(value):
    return "?"


@show.register
def _(value: int):
    return "int"


@show.register
def _(value: str):
    return "text"
"""


def change(old: str, answer: str, path: str = "a.py", *, cut: bool = False) -> tuple[str, list[str]]:
    tree = {path: FileEntry(old.encode())}
    copy = WorkingCopy(tree)
    faults = apply_edits(edits_in(answer, tree, [path], cut=cut), copy, frozenset())
    return copy.tree[path].data.decode(), faults


def handed_in(old: str, body: str, path: str = "a.py") -> tuple[str, list[str]]:
    return change(old, f"{path}\n{fenced(body, 'python')}", path)


@pytest.mark.parametrize("length", [10, 60, len(NUMBERS) - 1])
@pytest.mark.parametrize("path", ["a.py", "a.js", "new.py"])
def test_the_first_part_of_a_file_is_not_the_file(length: int, path: str) -> None:
    tree = {"a.py": FileEntry(NUMBERS.encode()), "a.js": FileEntry(NUMBERS.encode())}
    found = edits_in(f"{path}\n```python\n{NUMBERS[:length]}", tree, ["a.py"], cut=True)
    assert [type(one) for one in found] == [UnplacedChange]
    assert [type(one) for one in edits_in(f"{path}\n```python\n{NUMBERS}", tree, ["a.py"])] == [WholeFile]


def test_an_answer_too_long_to_be_read_is_cut_as_well() -> None:
    found = edits_in("a.py\n```python\n" + "x = 1\n" * 50_000 + "```\n", {"a.py": FileEntry(b"x = 2\n")}, ["a.py"])
    assert [type(one) for one in found] == [UnplacedChange]


def test_of_a_cut_answer_the_pieces_that_are_whole_stay() -> None:
    whole = "a.py\n```\n" + piece("    return 1\n", "    return 10\n")
    half = piece("    return 2\n", "    return 20\n    return 30\n")[:-30]
    right = NUMBERS.replace("return 1", "return 10")
    for answer in (whole + half, whole, whole.replace("```\n", "") + half):
        made, faults = change(NUMBERS, answer, cut=True)
        assert made == right
        assert [fault.startswith("the answer was cut") for fault in faults] == [True]
    patch = "a.py\n```diff\n@@ -1 +1 @@\n-    return 1\n+    return 10\n@@ -9 +9 @@\n-    return 2\n+    return 20\n"
    made, faults = change(NUMBERS, patch, cut=True)
    assert (made, len(faults)) == (right, 1)


@pytest.mark.parametrize("head", ["import math\n\n\n", ""])
def test_a_class_with_one_method_is_not_the_file(head: str) -> None:
    body = head + "class Circle:\n    def area(self):\n        return math.pi * self.r**2\n"
    right = CIRCLE.replace("        return self.r\n", "        return math.pi * self.r**2\n")
    assert handed_in(CIRCLE, body) == (right, [])


def test_a_class_with_some_of_its_attributes_is_not_the_file() -> None:
    old = "from enum import Enum\n\n\nclass Color(Enum):\n    RED = 1\n    GREEN = 2\n"
    body = "from enum import Enum\n\n\nclass Color(Enum):\n    GREEN = 3\n"
    assert handed_in(old, body) == (old.replace("2", "3"), [])
    assert handed_in(CIRCLE, CIRCLE.replace("2 * math.pi", "6.28")) == (CIRCLE.replace("2 * math.pi", "6.28"), [])


@pytest.mark.parametrize(
    ("old", "body", "right"),
    [
        ("class A:\n    x = 1\n    y = 2\n", "class A:\n    z = 3\n", "class A:\n    x = 1\n    y = 2\n    z = 3\n"),
        ("import os\n\nx = 1\ny = 2\n", "z = 3\n", "import os\nz = 3\n\nx = 1\ny = 2\n"),
        (
            "x = 1\ny = 2\n\n\ndef f():\n    return 1\n",
            "x = 1\n\n\ndef f():\n    return x\n",
            "x = 1\ny = 2\n\n\ndef f():\n    return x\n",
        ),
    ],
    ids=["attributes", "assignments", "functions"],
)
def test_some_of_the_names_of_a_file_are_not_the_file(old: str, body: str, right: str) -> None:
    assert handed_in(old, body) == (right, [])


SETTINGS = '''"""Settings."""

LIMIT = 3
NAMES = ("a", "b")


class Settings:
    """All of them."""

    debug = True

    def limit(self):
        return LIMIT


start(Settings())
'''


@pytest.mark.parametrize(
    "gone",
    ["    debug = True\n\n", "LIMIT = 3\n", 'NAMES = ("a", "b")\n'],
)
@pytest.mark.parametrize(("was", "now"), [("start(Settings())", "start(Settings(), 2)"), ("return LIMIT", "return 4")])
def test_a_whole_file_may_lack_a_name(gone: str, was: str, now: str) -> None:
    body = SETTINGS.replace(gone, "").replace(was, now)
    assert handed_in(SETTINGS, body) == (body, [])


def test_a_statement_that_would_be_lost_is_refused() -> None:
    body = "class Settings:\n    def limit(self):\n        return 4\n\n\nstart(Settings(), 2)\n"
    made, faults = handed_in(SETTINGS, body)
    assert made == SETTINGS
    assert [("start(Settings(), 2)" in fault) for fault in faults] == [True]


def test_a_class_on_one_line_is_not_put_into_itself() -> None:
    old = "class A:\n    x = 1\n    y = 2\n\n    def f(self):\n        return 1\n"
    made, faults = handed_in(old, "class A: y = 5\n")
    assert made == old
    assert [("on one line" in fault) for fault in faults] == [True]


def test_a_part_of_what_is_no_python_may_be_of_a_class() -> None:
    old = "print 'two'\n\nclass A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
    made, faults = handed_in(old, "class A:\n    def f(self):\n        return 2\n")
    assert (made, len(faults)) == (old, 1)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("role", ["@property", "@size.setter"])
def test_a_getter_is_not_its_setter(role: str, wrapped: bool) -> None:
    head = f"{role}\ndef size(self{', value' if 'setter' in role else ''}):\n"
    line = "self._size = value" if "setter" in role else "return self._size"
    function = f"{head}    {line} + 1\n"
    body = "class Box:\n" + "".join(f"    {one}\n" for one in function.splitlines()) if wrapped else function
    assert handed_in(PROPERTY, body) == (PROPERTY.replace(line, f"{line} + 1"), [])


def test_a_setter_that_is_new_comes_after_its_getter() -> None:
    old, setter = PROPERTY[: PROPERTY.index("\n    @size.setter")], PROPERTY[PROPERTY.index("    @size.setter") :]
    assert handed_in(old, f"class Box:\n{setter}") == (PROPERTY, [])


def test_handlers_are_told_apart_by_what_they_take() -> None:
    body = '@show.register\ndef _(value: int):\n    return "number"\n'
    assert handed_in(HANDLERS, body) == (HANDLERS.replace('"int"', '"number"'), [])
    new = '@show.register\ndef _(value: list):\n    return "list"\n'
    assert handed_in(HANDLERS, new) == (f"{HANDLERS}\n\n{new}", [])


def test_a_name_that_stands_for_several_is_refused() -> None:
    old = "def f():\n    return 1\n\n\ndef f():\n    return 2\n\n\ndef g():\n    return 3\n"
    made, faults = handed_in(old, "def f():\n    return 4\n")
    assert made == old
    assert "it is not clear which 'f' of a.py is meant" in faults[0]
    methods = "class A:\n    def f(self):\n        return 1\n"
    twice = f"{methods}\n\n{methods.replace('A', 'B')}"
    made, faults = handed_in(twice, "def f(self):\n    return 4\n")
    assert made == twice
    assert "to which class" in faults[0]


def test_a_heading_in_a_piece_is_not_its_middle() -> None:
    old = "Title\n=====\n\nold text\n"
    answer = "a.rst\n" + fenced(piece(old, old.replace("old", "new")))
    assert change(old, answer, "a.rst") == (old.replace("old", "new"), [])
    assert change(old, "a.rst\n" + fenced(old.replace("old", "new")), "a.rst") == (old.replace("old", "new"), [])
    seven = "Heading\n=======\n\nold text\n"
    made, faults = change(seven, "a.rst\n" + fenced(piece(seven, seven.replace("old", "new"))), "a.rst")
    assert made == seven
    assert "it is not clear where the lines as they are end" in faults[0]


def test_a_middle_of_another_length_counts_where_it_is_alone() -> None:
    answer = "a.py\n" + fenced(piece("x = 1\n", "x = 2\n").replace("=======", "====="))
    assert change("x = 1\n", answer) == ("x = 2\n", [])


def replaced(old: str, was: str, becomes: str, path: str = "a.py") -> tuple[str, list[str]]:
    made, faults = change(old, f"{path}\n{fenced(piece(was, becomes))}", path)
    return made, [fault.partition(";")[0].partition(" (")[0] for fault in faults]


def test_a_piece_does_not_go_into_the_middle_of_a_line() -> None:
    sums = "subtotal = 0\ntotal = 0  # all\n"
    assert replaced(sums, "total = 0\n", "total = 1\n")[0] == sums
    hunk = "a.py\n" + fenced("@@ -1 +1 @@\n-total = 0\n+total = 1\n", "diff")
    assert change(sums, hunk)[0] == sums
    assert replaced("x = 1.5\n", "x = 1\n", "x = 2\n")[0] == "x = 1.5\n"
    assert replaced("y = 0\nif y: x = 1\n", "x = 1\n", "x = 2\n")[0] == "y = 0\nif y: x = 1\n"


def test_a_line_without_its_comment_is_that_line() -> None:
    assert replaced("x = 1  # one\n", "x = 1\n", "x = 2\n") == ("x = 2  # one\n", [])
    assert replaced('{\n  "a": 1,\n}\n', '"a": 1\n', '"a": 2\n', "a.json") == ('{\n  "a": 2,\n}\n', [])


def test_whole_lines_come_before_parts_of_others() -> None:
    old = "subtotal = 0\ntotal = 0\n"
    assert replaced(old, "total = 0\n", "total = 1\n") == ("subtotal = 0\ntotal = 1\n", [])


def test_lines_move_to_the_indentation_there() -> None:
    old = "def f(a):\n    return a\n"
    right = "def f(a):\n    if a:\n        a += 1\n    return a\n"
    new = "if a:\n    a += 1\nreturn a\n"
    for gap in ("", "  ", " " * 8):
        moved = "".join(f"{gap}{line}\n" for line in new.splitlines())
        assert replaced(old, f"{gap}return a\n", moved) == (right, [])
    assert replaced(old, "return a\n", "    return 2\n") == (old.replace("return a", "return 2"), [])
    assert replaced(old, f"{' ' * 8}return a\n", "  return 2\n")[0] == old
    inner = "def f(a):\n  if a:\n    return a\n"
    assert replaced(right, inner.replace("return a", "a += 1"), inner.replace("return a", "a += 2"))[
        0
    ] == right.replace("1", "2")


def test_a_piece_that_would_break_the_indentation_is_refused() -> None:
    old = "def f(a):\n\tif a:\n\t\treturn a\n\treturn 0\n"
    made, faults = replaced(old, "  if a:\n    return a\n", "  if a:\n      return a\n   return 1\n")
    assert made == old
    assert "indentation" in faults[0]


def test_the_file_need_not_be_python_between_two_pieces() -> None:
    old = "def f():\n    a()\n    b()\n"
    answer = "a.py\n" + fenced(piece("a()\n", "try:\n    a()\n") + piece("b()\n", "finally:\n    b()\n"))
    assert change(old, answer) == ("def f():\n    try:\n        a()\n    finally:\n        b()\n", [])


def test_a_line_that_stands_twice_is_not_changed() -> None:
    old = "def f():\n    return a\n\n\ndef g():\n    return a\n"
    assert replaced(old, "return a\n", "return b\n") == (
        old,
        ["that is in a.py 2 times. Give more of the lines around it."],
    )


def test_the_last_line_may_have_no_end() -> None:
    assert replaced("a = 1\nb = 1", "b = 1\n", "b = 2\n") == ("a = 1\nb = 2", [])
    assert replaced("a = 1\nb = 1\n", "b = 1\n\n", "b = 2\n") == ("a = 1\nb = 2\n", [])


def test_attributes_of_a_class_are_put_in_with_its_methods() -> None:
    old = "class A:\n    x = 1\n\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
    body = "class A:\n    x = 2\n    y = 3\n\n    def f(self):\n        return self.y\n"
    right = old.replace("x = 1\n", "x = 2\n    y = 3\n").replace("return 1", "return self.y")
    assert handed_in(old, body) == (right, [])
    bare = CIRCLE.replace("class Circle:\n", "class Circle:\n    # made\n")
    body = "class Circle:\n    unit = 1\n\n    def area(self):\n        return self.unit\n"
    right = bare.replace("Circle:\n", "Circle:\n    unit = 1\n\n").replace(
        "        return self.r\n", "        return self.unit\n"
    )
    assert handed_in(bare, body) == (right, [])


def test_new_methods_and_new_functions_do_not_get_into_each_other() -> None:
    body = "class Circle:\n    def half(self):\n        return 1\n\n\ndef unit():\n    return Circle(1)\n"
    right = CIRCLE + "\n    def half(self):\n        return 1\n\n\ndef unit():\n    return Circle(1)\n"
    assert handed_in(CIRCLE, body) == (right, [])


def test_new_assignments_come_after_what_they_need() -> None:
    old = '"""Doc."""\n\nimport math\n\n\ndef f():\n    return 1\n\n\ndef g():\n    return 2\n'
    body = (
        "PI = math.pi\nONE = f()\nTWO = ONE + PI\n\n\ndef g():\n    return 3\n\n\ndef h():\n    return 4\n\n\nH = h()\n"
    )
    made, faults = handed_in(old, body)
    assert faults == []
    assert made.startswith('"""Doc."""\n\nimport math\nPI = math.pi\n')
    names: dict[str, object] = {}
    exec(made, names)
    assert (names["ONE"], names["H"]) == (1, 4)


def test_a_name_assigned_to_several_times_is_refused() -> None:
    old = "x = 1\nx = x + 1\n\n\ndef f():\n    return x\n\n\ndef g():\n    return x\n"
    made, faults = handed_in(old, "x = 5\n\n\ndef f():\n    return -x\n")
    assert (made, len(faults)) == (old, 1)


@pytest.mark.parametrize(
    ("path", "line", "old", "own"),
    [
        ("app/types.py", "from types import TracebackType", "", False),
        ("types.py", "from types import kind", "def kind(): ...", True),
        ("app/types.py", "from app.types import kind", "def kind(): ...", True),
        ("app/shapes.py", "from shapes import area", "def area(): ...", True),
        ("app/requests.py", "from requests import Session", "from requests import Session", False),
        ("app/requests.py", "from requests import Session", "def get(): ...", False),
    ],
)
def test_a_module_of_the_same_name_is_another_one(path: str, line: str, old: str, own: bool) -> None:
    assert without_itself(f"{line}\nx = 1\n", path, f"{old}\n") == ("x = 1\n" if own else f"{line}\nx = 1\n")


def test_a_piece_is_read_as_one() -> None:
    found = edits_in("a.py\n" + fenced(piece("x = 1\n", "")), {"a.py": FileEntry(b"x = 1\n")}, ["a.py"])
    assert found == (Replacement("a.py", "x = 1\n", ""),)
