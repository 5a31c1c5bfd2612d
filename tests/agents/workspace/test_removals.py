"""What a patch removes without being asked for is noticed, and what was asked for is not held against it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.agents.tools.workspace.removals import find_removals
from sale.agents.tools.workspace.tree import FileEntry

CODE = "".join(f"def f{number}():\n    return {number}\n\n\n" for number in range(20))
FIRST = "def f0():\n    return 1\n"
FIX = "Fix f0 in shapes.py"


def tree(**files: str | bytes) -> dict[str, FileEntry]:
    named = {name.replace("__", "/").replace("_", "."): data for name, data in files.items()}
    return {name: FileEntry(data.encode() if isinstance(data, str) else data) for name, data in named.items()}


BEFORE = {
    **tree(shapes_py=CODE, other_py=CODE, tests__a_py=CODE, a_png=b"\0" * 4000),
    "link": FileEntry(b"other.py", "120000"),
}


def changed(**files: str | bytes | None) -> dict[str, FileEntry]:
    gone = [name.replace("__", "/").replace("_", ".") for name, data in files.items() if data is None]
    new = tree(**{name: data for name, data in files.items() if data is not None})
    return {name: entry for name, entry in {**BEFORE, **new}.items() if name not in gone}


@pytest.mark.parametrize(
    ("task", "after", "said"),
    [
        (FIX, changed(shapes_py=FIRST), ["shapes.py: 38 of 40 lines are removed"]),
        (FIX, changed(shapes_py=""), ["shapes.py: 40 of 40 lines are removed"]),
        (FIX, changed(other_py=None), ["other.py: the file is removed (40 lines)"]),
        ("Fix the failing test", changed(tests__a_py=None), ["tests/a.py: the file is removed (40 lines)"]),
        (FIX, changed(other_py=None, tests__a_py=None), ["other.py: the file is removed (40 lines)"]),
        (FIX, changed(a_png=None), ["a.png: the file is removed (4000 bytes)"]),
        (FIX, changed(a_png=b"\0"), ["a.png: 3999 of 4000 bytes are removed"]),
        (FIX, changed(link=None), ["link: the file is removed (8 bytes)"]),
        (FIX, changed(other_py=CODE.replace("f", "g").replace("n", "m")), ["other.py: 40 of 40 lines are replaced"]),
        (FIX, changed(shapes_py=b"\xff\0" * 50), ["shapes.py: the file is removed (40 lines)"]),
        (FIX, {**BEFORE, "shapes.py": FileEntry(b"other.py", "120000")}, ["shapes.py: the file is removed (40 lines)"]),
        ("Remove the unused code", changed(shapes_py=FIRST), ["shapes.py: 38 of 40 lines are removed"]),
    ],
)
def test_what_was_not_asked_for_is_said(task: str, after: Mapping[str, FileEntry], said: list[str]) -> None:
    assert list(find_removals(task, BEFORE, after))[: len(said)] == said


@pytest.mark.parametrize(
    ("task", "after"),
    [
        (FIX, changed(shapes_py=CODE.replace("return 0", "return 1"))),
        (FIX, changed(shapes_py=CODE.replace("return", "yield"))),
        (FIX, changed(shapes_py=CODE.replace("    ", "\t"))),
        (FIX, changed(shapes_py=CODE.replace("\n", "\r\n"))),
        (FIX, changed(shapes_py="x = 1\n" * 40)),
        (FIX, changed(new_py="new = 1\n")),
        ("Split shapes.py", changed(shapes_py=FIRST)),
        ("Remove all but f0 from shapes.py", changed(shapes_py=FIRST)),
        ("Delete tests/a.py", changed(tests__a_py=None)),
        ("Drop the tests", changed(tests__a_py=None)),
        ("Delete the module other", changed(other_py=None)),
        ("Tidy", changed(shapes_py=None, moved_py=CODE)),
        ("Tidy", changed(shapes_py=FIRST, half_py=CODE)),
        ("Tidy", changed(a_png=None, b_png=b"\0" * 4000)),
        ("Tidy", BEFORE),
    ],
)
def test_what_was_asked_for_moved_or_changed_is_not(task: str, after: Mapping[str, FileEntry]) -> None:
    assert find_removals(task, BEFORE, after) == ()


def test_much_of_a_long_file_is_said_though_it_is_no_half() -> None:
    long = "".join(f"line {number}\n" for number in range(1000))
    rest = "".join(f"line {number}\n" for number in range(900))
    assert find_removals(FIX, tree(a_py=long), tree(a_py=rest)) == ("a.py: 100 of 1,000 lines are removed",)
    assert find_removals(FIX, tree(a_py=long), tree(a_py=rest + "line 900\n")) == ()


contents = st.lists(st.sampled_from([f"line {number}" for number in range(12)]), max_size=60).map("\n".join)


@given(st.dictionaries(st.sampled_from("abcdef"), contents.map(lambda text: FileEntry(text.encode())), max_size=6))
def test_a_file_that_grows_or_moves_is_never_held_back(files: dict[str, FileEntry]) -> None:
    grown = {name: FileEntry(entry.data + b"\nmore\n") for name, entry in files.items()}
    assert find_removals("x", files, grown) == ()
    assert find_removals("x", files, {f"moved/{name}": entry for name, entry in files.items()}) == ()
