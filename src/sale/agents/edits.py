"""The changes in a model's answer: whole files and replaced pieces, found by their form. Pure functions of text.

What small models write is taken as it is meant where that is clear: a piece whose indentation or white space is not
the file's, functions without the file around them, a block without a path where there is one file to change.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from sale.agents.tools.workspace.kit import replaced
from sale.agents.tools.workspace.listing import named_in
from sale.agents.tools.workspace.tree import Copy, Tree, checked
from sale.errors import InputError

MAX_ANSWER = 100_000
_FENCED = re.compile(
    r"^(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)\n(?P<body>.*?)(?:^(?P=fence)[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_PIECE = re.compile(
    r"^<{3,} *SEARCH[^\n]*\n(?P<old>.*?)^={3,}[^\n]*\n(?P<new>.*?)^>{3,} *REPLACE", re.DOTALL | re.MULTILINE
)
_MARK = re.compile(r"^(<{3,} *SEARCH|={5,} *$|>{3,} *REPLACE)", re.MULTILINE)
_TEST = "test_"
_TALK = frozenset({"sh", "bash", "shell", "zsh", "console", "text", "txt", "output", "log", "cmd", "powershell"})
_FROM = re.compile(r"from ([\w.]+) import [\w, ]+$")
_NEW_PATH = re.compile(r"[\w][\w./-]*\.\w{1,8}")


@dataclass(frozen=True, slots=True)
class Whole:
    """A file, whole, or some of its functions and classes."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a file and what takes its place."""

    path: str
    old: str
    new: str


Edit = Whole | Piece


def edits_in(answer: str, tree: Tree, likely: Sequence[str]) -> tuple[Edit, ...]:
    """The changes an answer hands in, in order.

    Args:
        answer: Any text.
        tree: The files there are.
        likely: Files that a change without a path may be meant for, likeliest first.
    """
    text = answer[:MAX_ANSWER].replace("\r\n", "\n")
    found: list[Edit] = []
    before = 0
    for block in _FENCED.finditer(text):
        path = _path(text[before : block.start()], block["info"], block["body"], tree, likely)
        before = block.end()
        if path is not None and not _is_talk(block["info"], path):
            found += _edits(path, block["body"])
    if not found:
        path = _path(text.partition("<<<")[0], "", "", tree, likely)
        found = [] if path is None else [Piece(path, piece["old"], piece["new"]) for piece in _PIECE.finditer(text)]
    return tuple(found)


def applied(edits: Sequence[Edit], copy: Copy, fixed: frozenset[str]) -> list[str]:
    """Make the changes; why some could not be made.

    Args:
        edits: The changes.
        copy: What is changed.
        fixed: Files that are not to be changed.
    """
    faults: list[str] = []
    for edit in edits:
        if edit.path in fixed:
            faults.append(f"{edit.path} is a test, and is not to be changed")
            continue
        try:
            copy.write(edit.path, _changed(edit, copy).encode(errors="replace"))
        except InputError as error:
            faults.append(str(error))
    return faults


def _changed(edit: Edit, copy: Copy) -> str:
    old = _text(copy, edit.path)
    if isinstance(edit, Piece):
        if old is None:
            raise InputError(f"there is no file {edit.path!r}")
        return _replaced(old, edit)
    new = edit.text if edit.text.endswith("\n") else f"{edit.text}\n"
    if old is None:
        return new
    if edit.path.endswith(".py"):
        if _parsed(old) is not None and _parsed(new) is None:
            raise InputError(f"what is handed in for {edit.path} is not Python")
        new = _merged(old, _without_itself(new, edit.path))
    return new.replace("\n", "\r\n") if "\r\n" in old and "\r" not in new else new


def _text(copy: Copy, path: str) -> str | None:
    try:
        return copy.read(path).text
    except InputError:
        return None


def _edits(path: str, body: str) -> list[Edit]:
    pieces = [Piece(path, piece["old"], piece["new"]) for piece in _PIECE.finditer(body)]
    if pieces:
        return list(pieces)
    if _MARK.search(body) or not body.strip():
        return []  # half a replacement is none
    lines = body.split("\n")
    if lines and _only_a_path(lines[0], path):
        body = "\n".join(lines[1:])
    return [Whole(path, body.lstrip("\n"))]


def _is_talk(info: str, path: str) -> bool:
    """Whether a block shows a command or its output, and no file."""
    tag = info.strip().split(" ")[0].casefold()
    return tag in _TALK and not path.endswith((".sh", ".bash", ".txt", ".md"))


def _only_a_path(line: str, path: str) -> bool:
    plain = line.strip().lstrip("#/*- ").rstrip("*/ :")
    return bool(plain) and (plain == path or path.endswith(f"/{plain}") or plain.endswith(f"/{path}"))


def _path(before: str, info: str, body: str, tree: Tree, likely: Sequence[str]) -> str | None:
    """The file a block is for: named where it opens, just before it, in its first line, or the likeliest."""
    above = [line for line in before.splitlines() if line.strip()]
    line = above[-1] if above else ""
    first = body.lstrip().split("\n", 1)[0]
    paragraph = before.rstrip().rpartition("\n\n")[2]
    for text in (info, line, first if first.startswith(("#", "//")) else "", paragraph, before):
        if known := named_in(text, tree):
            return known[0]
        alone = text.rpartition(":")[2].strip("`*# ") if text is info else text.strip().strip("`*#: ")
        if _NEW_PATH.fullmatch(alone):
            return _new(alone)
    return likely[0] if likely else None


def _new(path: str) -> str | None:
    try:
        return checked(path)
    except InputError:
        return None


def _replaced(text: str, piece: Piece) -> str:
    """The text with a piece replaced: as it stands there, or else with the white space the file has."""
    try:
        return replaced(text, piece.old, piece.new, piece.path)
    except InputError:
        lines, wanted = text.split("\n"), piece.old.rstrip("\n").split("\n")
        plain = [line.strip() for line in wanted]
        places = [
            at
            for at in range(len(lines) - len(wanted) + 1)
            if plain != [""] and [line.strip() for line in lines[at : at + len(wanted)]] == plain
        ]
        if len(places) != 1:
            raise
        there = lines[places[0] : places[0] + len(wanted)]
        new = _indented(piece.new.rstrip("\n"), wanted, there)
        return "\n".join(
            [*lines[: places[0]], *([new] if piece.new.strip() else []), *lines[places[0] + len(wanted) :]]
        )


def _indented(new: str, wanted: Sequence[str], there: Sequence[str]) -> str:
    """New lines, moved as far to the right as the old ones have to be to stand where they stand."""
    at = next((index for index, line in enumerate(wanted) if line.strip()), 0)
    gap = _indent(there[at])[len(_indent(wanted[at])) :]
    return textwrap.indent(new, gap) if gap else new


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _without_itself(new: str, path: str) -> str:
    """A Python file without imports of itself: small models copy them from the tests they are shown."""
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    lines = new.split("\n")
    own = [line for line in lines if (found := _FROM.match(line)) and f".{module}".endswith(f".{found[1]}")]
    return "\n".join(line for line in lines if line not in own).lstrip("\n") if own else new


def _merged(old: str, new: str) -> str:
    """A Python file with the functions and classes of `new` in place of its own; `new` alone where it is whole."""
    before, after = _parsed(old), _parsed(new)
    if before is None or after is None:
        return new
    theirs, ours = _defined(before), _defined(after)
    if not ours or not theirs or set(theirs) <= set(ours):
        return new
    if not any(name.startswith(_TEST) for name in theirs) and all(name.startswith(_TEST) for name in ours):
        return old  # a usage example, not a change
    lines = old.split("\n")
    fresh: list[str] = []
    # From the last to the first, so that lines further up stay where they are.
    for name, node in sorted(ours.items(), key=lambda item: -_first(theirs.get(item[0], item[1]))):
        text = ast.get_source_segment(new, node) or ""
        text = "\n".join(new.split("\n")[_first(node) - 1 : node.end_lineno]) or text
        place = theirs.get(name) or _method(before, name)
        if place is None:
            fresh.insert(0, text)
            continue
        moved = textwrap.indent(textwrap.dedent(text), " " * place.col_offset)
        lines[_first(place) - 1 : place.end_lineno] = moved.split("\n")
    merged = "\n".join(lines)
    needed = [line for line in _imports(after, new) if line not in old]
    head = "".join(f"{line}\n" for line in needed)
    tail = "".join(f"\n\n{text}\n" for text in fresh)
    return f"{_with_head(merged, head)}{tail}"


Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _parsed(source: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _defined(module: ast.Module) -> dict[str, Defined]:
    return {node.name: node for node in module.body if isinstance(node, Defined)}


def _method(module: ast.Module, name: str) -> Defined | None:
    """The one method of this name, where there is just one."""
    found = [
        node
        for one in module.body
        if isinstance(one, ast.ClassDef)
        for node in one.body
        if isinstance(node, Defined) and node.name == name
    ]
    return found[0] if len(found) == 1 else None


def _first(node: Defined) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _imports(module: ast.Module, source: str) -> list[str]:
    found = [node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return [segment for node in found if (segment := ast.get_source_segment(source, node)) and "\n" not in segment]


def _with_head(source: str, head: str) -> str:
    """Imports put after what has to come first: the docstring, and imports from the future."""
    module = _parsed(source)
    if not head or module is None:
        return source
    at = 0
    for index, node in enumerate(module.body):
        docstring = index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        at = node.end_lineno or at
    lines = source.split("\n")
    return "\n".join([*lines[:at], *head.rstrip("\n").split("\n"), *lines[at:]])
