"""Pieces to be replaced, as models write them: where one begins and ends, and where in a file it goes.

A piece is whole lines. It goes where these lines stand, else where they stand but for white space, moved to the
indentation there; a part of a line is taken only at the line's beginning, and only where nothing but the line's end is
left of it. Where more than one place or one reading is left, none is taken. Pure functions of text in which every line
ends in a line feed.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sale.agents.definitions import is_indented, parse_module
from sale.agents.tools.workspace.copy_tools import NUMBERED, nearest_lines
from sale.agents.tools.workspace.texts import TextEdit
from sale.errors import InputError

_MARKED = re.compile(r"^(?:(?P<opening><{3,} *SEARCH)|>{3,} *REPLACE)[^\n]*$", re.MULTILINE)
_BETWEEN = tuple(re.compile(mark, re.MULTILINE) for mark in (r"^={7}[ \t]*$", r"^={3,}[ \t]*$", r"^={3,}[^\n]*$"))
"""The line between the two halves, in the form asked for and in others; headings of documents look like them."""
_LINE_BEGINS = re.compile(r"[ \t]*+[\[{(]*+[ \t]*+")
_LINE_ENDS = re.compile(r"[ \t]*+[,;:)\]}{\\]*+[ \t]*+(?:(?:#|//|/\*|<!--).*)?")


@dataclass(frozen=True, slots=True)
class WrittenPiece:
    """A piece of an answer between its marks."""

    start: int
    end: int
    old: str
    new: str
    clear: bool
    """It is clear where the lines as they are end."""


def pieces_in(text: str) -> Iterator[WrittenPiece]:
    """Yield the pieces of a text that are complete."""
    opening: re.Match[str] | None = None
    twice = False
    for mark in _MARKED.finditer(text):
        if mark["opening"]:
            twice = opening is not None
            opening = opening or mark
        elif opening is not None:
            parts = _halves(text[opening.end() + 1 : mark.start()])
            old, new = parts or ("", "")
            yield WrittenPiece(opening.start(), mark.end(), old, new, clear=parts is not None and not twice)
            opening, twice = None, False


def has_mark(text: str) -> bool:
    """Return whether a text has the beginning or the end of a piece."""
    return _MARKED.search(text) is not None


def _halves(inside: str) -> tuple[str, str] | None:
    for form in _BETWEEN:
        found = list(form.finditer(inside))
        if len(found) == 1:
            return inside[: found[0].start()], inside[found[0].end() + 1 :]
        if found:
            return None
    return None


def place_piece(text: str, old: str, new: str, path: str) -> TextEdit:
    """Return where lines go in a text, and what takes their place.

    Args:
        text: What is changed.
        old: Lines of it.
        new: The lines in their place; empty where there are to be none.
        path: The file's path, for error messages.

    Raises:
        InputError: They are not there, more than once, or in a way that leaves open what they become.
    """
    if not old.strip():
        raise InputError(f"the lines to be replaced in {path} are left out", hint="Give the lines as they are now.")
    versions = [(old, new)]
    if all(NUMBERED.match(line) for line in old.split("\n") if line.strip()):  # copied with the numbers they have
        versions.append((NUMBERED.sub("", old), NUMBERED.sub("", new)))
    for was, becomes in versions:
        exact = _exact_places(text, was)
        places = exact or _loose_places(text, was)
        if len(places) > 1:
            raise InputError(f"that is in {path} {len(places)} times", hint="Give more of the lines around it.")
        if exact:
            return _replaced(text, was, becomes, exact[0])
        if places:
            return _fitted(text, was, becomes, places[0], path)
    part = _part_of_a_line(text, old, new)
    if part is None:
        raise InputError(f"that is not in {path}, character for character{nearest_lines(text, old)}")
    return part


def _exact_places(text: str, old: str) -> list[int]:
    """The offsets at which whole lines stand."""
    body = old.removesuffix("\n")
    found: list[int] = []
    at = text.find(body)
    while at >= 0:
        end = at + len(body)
        if (at == 0 or text[at - 1] == "\n") and (end == len(text) or text[end] == "\n"):
            found.append(at)
        at = text.find(body, at + 1)
    return found


def _replaced(text: str, old: str, new: str, start: int) -> TextEdit:
    body = old.removesuffix("\n")
    end = start + len(body)
    if end < len(text):
        return TextEdit(start, end + 1, new)
    if body.endswith("\n"):  # a blank line that is given, and is the end of the file
        return TextEdit(start, end, f"{new.rstrip(chr(10))}\n" if new.strip() else "")
    return TextEdit(start, end, new.removesuffix("\n")) if new else TextEdit(max(start - 1, 0), end, "")


def _loose_places(text: str, old: str) -> list[int]:
    """The lines, from 0, at which whole lines stand but for white space around them."""
    lines = [line.strip() for line in text.split("\n")]
    wanted = [line.strip() for line in old.rstrip("\n").split("\n")]
    return [at for at in range(len(lines) - len(wanted) + 1) if lines[at : at + len(wanted)] == wanted]


def _fitted(text: str, old: str, new: str, first: int, path: str) -> TextEdit:
    lines, wanted = text.split("\n"), old.rstrip("\n").split("\n")
    last = first + len(wanted)
    start = sum(len(line) + 1 for line in lines[:first])
    end = start + len("\n".join(lines[first:last]))
    if not new.strip():
        return TextEdit(start, end + 1, "") if last < len(lines) else TextEdit(max(start - 1, 0), end, "")
    readings = dict.fromkeys(_indented(new.rstrip("\n"), wanted, lines[first:last]))
    if path.endswith((".py", ".pyi")) and parse_module(text) is not None:
        fits = is_indented if len(readings) == 1 else parse_module  # the next piece may make it whole
        readings = {one: None for one in readings if fits(f"{text[:start]}{one}{text[end:]}")}
    if len(readings) != 1:
        raise InputError(
            f"the lines handed in for {path} do not fit the indentation there",
            hint="Give the lines as they are now, and those in their place, with the indentation of the file.",
        )
    return TextEdit(start, end, next(iter(readings)))


def _indented(new: str, wanted: Sequence[str], there: Sequence[str]) -> Iterator[str]:
    """Yield what new lines may look like where old ones stand that were given with another indentation."""
    pairs = [(_indent(one), _indent(other)) for one, other in zip(wanted, there, strict=True) if one.strip()]
    given = [_indent(line) for line in new.split("\n") if line.strip()]
    (was, at), least = min(pairs, key=lambda pair: len(pair[0])), min(given, key=len)
    right, left = at.removesuffix(was), was.removesuffix(at)
    if all(other == f"{right}{one}" for one, other in pairs):
        as_it_is = not right or (least == at and least != was)
        yield new if as_it_is else textwrap.indent(new, right)
    elif all(one == f"{left}{other}" for one, other in pairs):
        if least == at:
            yield new
        elif all(one.startswith(left) for one in given):
            yield "\n".join(line[len(left) :] if line.strip() else line for line in new.split("\n"))
    else:
        yield from _translated(new, pairs)


def _translated(new: str, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield new lines with each indentation that was given turned into the one it stands for; and as they are."""
    ours, theirs = {one for one, _ in pairs}, {other for _, other in pairs}
    given = {_indent(line) for line in new.split("\n") if line.strip()}
    if given.isdisjoint(ours - theirs):
        yield new
    if len(set(pairs)) != len(ours) or not given.isdisjoint(theirs - ours):
        return
    stands_for = dict(pairs)
    lines: list[str] = []
    for line in new.split("\n"):
        known = [one for one in ours if _indent(line).startswith(one)]
        if not line.strip() or not known:
            lines.append(line)
            continue
        base = max(known, key=len)
        lines.append(f"{stands_for[base]}{line[len(base) :]}")
    yield "\n".join(lines)


def _part_of_a_line(text: str, old: str, new: str) -> TextEdit | None:
    """Where a line begins with the one given, and only marks that end it and a comment come after."""
    was, becomes = old.strip(), new.strip()
    if "\n" in was or "\n" in becomes or not becomes or text.count(was) != 1:
        return None
    start = text.index(was)
    end = start + len(was)
    before, after = text[text.rfind("\n", 0, start) + 1 : start], text[end:].partition("\n")[0]
    if _LINE_BEGINS.fullmatch(before) is None or _LINE_ENDS.fullmatch(after) is None:
        return None
    return TextEdit(start, end, becomes)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
