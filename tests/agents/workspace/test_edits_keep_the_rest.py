"""What a change does not speak of stays byte for byte as it is: in any encoding, with any line ends, under any name.

The right bytes are worked out apart from the code: the lines of a file with their ends, of which one is another.
"""

from __future__ import annotations

import asyncio
import codecs
import re
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sale.agents.edits import apply_edits, edits_in
from sale.agents.prompts.repository import MARKS
from sale.agents.tools.workspace.box import CommandBox
from sale.agents.tools.workspace.copy_tools import CopyActions
from sale.agents.tools.workspace.patching import apply_in, patch_between
from sale.agents.tools.workspace.texts import FileText, TextEdit, decode_file, new_text
from sale.agents.tools.workspace.tree import FileEntry, Mode, Tree, WorkingCopy
from tests.agents.workspace.test_workspace_patches import git
from tests.support.entries import put, read_entry

ENCODINGS = (
    ("utf-8", b"", "", "Größe 日本"),
    ("utf-8", codecs.BOM_UTF8, "", "Größe 日本"),
    ("utf-8", b"", "# -*- coding: utf-8 -*-", "Größe 日本"),
    ("latin-1", b"", "# -*- coding: latin-1 -*-", "Größe"),
    ("cp1252", b"", "# vim: set fileencoding=cp1252 :", "“Größe”"),
    ("shift_jis", b"", "# coding=shift_jis", "日本"),
    ("utf-16-le", codecs.BOM_UTF16_LE, "", "Größe 日本"),
    ("utf-16-be", codecs.BOM_UTF16_BE, "", "Größe 日本"),
)
NAMES = (
    "area",
    "my area",
    "a b  c",
    "ünï",
    "日本",
    "-d",
    "'q'",
    'd"q',
    "tab\there",
    "e[1]",
    "sub area",
    "Area2",
    "x.y",
)
FOLDERS = ("", "pkg/", "my pkg/", "a/", "b/", "-x/", "ü/")
WAYS = ("piece", "loose piece", "patch", "whole", "function", "edit_file", "write_file")


@dataclass(frozen=True)
class File:
    """A Python file of a few functions, as lines with their ends."""

    lines: tuple[tuple[str, str], ...]
    encoding: str
    mark: bytes
    mode: Mode

    @property
    def data(self) -> bytes:
        return self.mark + "".join(content + end for content, end in self.lines).encode(self.encoding)

    @property
    def shown(self) -> str:
        return re.sub(r"\r\n?", "\n", "".join(content + end for content, end in self.lines))

    def with_line(self, old: str, new: str) -> File:
        changed = tuple((new if content == old else content, end) for content, end in self.lines)
        return File(changed, self.encoding, self.mark, self.mode)


@st.composite
def files(draw: st.DrawFn) -> File:
    encoding, mark, declared, word = draw(st.sampled_from(ENCODINGS))
    lines = [declared] if declared else []
    lines += [f"# {word}", "import math"] if draw(st.booleans()) else [f'"""{word}."""']
    for number in range(draw(st.integers(2, 4))):
        lines += [*[""] * draw(st.integers(1, 3)), f"def f{number}(a):", f'    return "{word}{number}" + a  # {word}']
    ends = draw(st.sampled_from([("\n",), ("\r\n",), ("\r",), ("\n", "\r\n"), ("\n", "\r\n", "\r")]))
    found = [(line, draw(st.sampled_from(ends))) for line in lines]
    last = draw(st.integers(0, 3))
    found = [*found[:-1], (found[-1][0], ends[0] if last else ""), *[("", ends[0])] * (last - 1)]
    return File(tuple(found), encoding, mark, draw(st.sampled_from(["100644", "100755"])))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, File]:
    paths = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map(lambda parts: f"{''.join(parts)}.py")
    return draw(st.dictionaries(paths, files(), min_size=1, max_size=4))


def answer(way: str, path: str, file: File, old: str, new: str) -> str:
    """The change of one line as a model hands it in."""
    head = file.shown[: file.shown.index(old)].rstrip("\n").rpartition("\n")[2]
    indented = old.replace("    ", "  ", 1)
    body = {
        "piece": f"{MARKS[0]}\n{old}\n{MARKS[1]}\n{new}\n{MARKS[2]}\n",
        "loose piece": f"{MARKS[0]}\n{head} \n{indented}\n{MARKS[1]}\n{head}\n{new}\n{MARKS[2]}\n",
        "patch": f"--- a/{path}\n+++ b/{path}\n@@ -1,2 +1,2 @@\n {head}\n-{old}\n+{new}\n",
        "whole": file.shown.replace(old, new),
        "function": f"{head}\n{new}\n",
    }[way]
    label = "" if way == "patch" else f"{path}\n"
    return f"Here it is.\n\n{label}```{'diff' if way == 'patch' else 'python'}\n{body.strip(chr(10))}\n```\n"


def change(way: str, tree: Tree, path: str, file: File, old: str, new: str) -> tuple[WorkingCopy, list[str]]:
    copy = WorkingCopy(tree)
    hands = CopyActions(copy, cast("CommandBox", None))
    if way == "edit_file":
        asyncio.run(hands.edit_file(path, old, new))
    elif way == "write_file":
        asyncio.run(hands.write_file(path, file.shown.replace(old, new)))
    else:
        return copy, apply_edits(edits_in(answer(way, path, file, old, new), tree, sorted(tree)), copy, frozenset())
    return copy, []


def changed(drawn: dict[str, File], way: str, number: int) -> tuple[Tree, Tree, Tree]:
    """A tree, what a change makes of it, and what it should make of it."""
    path = sorted(drawn)[number % len(drawn)]
    file = drawn[path]
    old = next(content for content, _ in reversed(file.lines) if content.startswith("    return"))
    new = old.replace("+ a", "* a")
    tree = {name: FileEntry(one.data, one.mode) for name, one in drawn.items()}
    copy, faults = change(way, tree, path, file, old, new)
    assert faults == []
    return tree, copy.tree, {**tree, path: FileEntry(file.with_line(old, new).data, file.mode)}


@given(trees(), st.sampled_from(WAYS), st.integers(0, 3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_only_what_is_asked_for_is_changed(drawn: dict[str, File], way: str, number: int) -> None:
    _, made, right = changed(drawn, way, number)
    assert made == right


@given(trees(), st.sampled_from(WAYS), st.integers(0, 3))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_its_patch_gives_the_same_files_in_a_repository(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, File], way: str, number: int
) -> None:
    before, made, right = changed(drawn, way, number)
    patch = patch_between(before, made)
    by_git, by_us = tmp_path_factory.mktemp("git"), tmp_path_factory.mktemp("us")
    for name, entry in before.items():
        put(by_git, name, entry)
        put(by_us, name, entry)
    git(by_git, "init", "-q")
    git(by_git, "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-", given=patch.encode())
    apply_in(by_us, patch)
    for name, entry in right.items():
        assert read_entry(by_git, name) == read_entry(by_us, name) == entry, name


texts = st.text(alphabet=st.sampled_from("ab \n\r\ufeffü"), max_size=12)


@given(texts, st.integers(0, 12), st.integers(0, 12), texts)
@example("a\rb\nc", 2, 3, "")
@example("\r\n\r\r\n", 1, 2, "x")
@example("aaaa\ra\n\n", 0, 6, "\r")
@settings(max_examples=500)
def test_a_part_is_replaced_and_nothing_else(raw: str, one: int, other: int, new: str) -> None:
    """Whatever the line ends are, what is shown of the changed text is what was asked for."""
    text = FileText(raw)
    plain = text.plain
    start, end = sorted((min(one, len(plain)), min(other, len(plain))))
    given_new = re.sub(r"\r\n?", "\n", new)
    if start == 0 and not raw.startswith("\ufeff"):
        given_new = given_new.removeprefix("\ufeff")
    made = text.with_spans([TextEdit(start, end, new)])
    assert made.plain == plain[:start] + given_new + plain[end:]


@given(st.binary(max_size=30))
def test_bytes_are_text_only_where_they_come_back(data: bytes) -> None:
    found = decode_file(data)
    if found is not None:
        assert found.data("x") == data
        assert found.with_spans([]).data("x") == data


@pytest.mark.parametrize("name", ["punycode", "idna", "Punycode"])
def test_a_file_cannot_choose_an_encoding_that_takes_for_ever(name: str) -> None:
    """Punycode takes the square of a text's length: a large file of a stranger would hold up everything for hours."""
    said = f"# coding: {name} -"
    found = decode_file(said.encode())
    assert found is not None
    assert (found.encoding, found.plain) == ("utf-8", said)
    assert new_text(said).encoding == "utf-8"
