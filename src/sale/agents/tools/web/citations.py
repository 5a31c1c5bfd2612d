"""Which sources an answer cites: found, checked against what was read, and listed. Pure functions.

A citation is a number in brackets, `[2]` or `[2, 3]`, outside of code and links. Numbers of what was read are kept and
listed under the answer; numbers of what was not are taken out, and that is said. An answer that cites nothing stays
exactly as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# Code between fences or backticks, and what follows `=` or `[`, is data and not a citation.
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", re.DOTALL)
_CITATION = re.compile(
    r"(?P<space>[ \t]?)(?<![=\[])(?<![=\[][ \t])\[(?P<numbers>[1-9]\d?(?:\s*,\s*[1-9]\d?)*)\](?![(:])"
)
_LIST = re.compile(r"\n\nSources:\n\[\d+\] .*\Z", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class CitedAnswer:
    """An answer with its citations settled."""

    text: str
    numbers: tuple[int, ...]
    """Cited and read, in the order of the list."""
    removed: tuple[int, ...]
    """Cited though never read."""


def settle(answer: str, read: Mapping[int, str]) -> CitedAnswer:
    """Check an answer's citations, and list its sources at its end.

    Args:
        answer: What the agent handed in.
        read: The line of each source that was read, by its number.
    """
    if not read or _CITATION.fullmatch(answer.strip()):  # the answer itself is a number in brackets
        return CitedAnswer(text=answer, numbers=(), removed=())
    kept: set[int] = set()
    removed: set[int] = set()

    def checked(found: re.Match[str]) -> str:
        numbers = [int(number) for number in found["numbers"].split(",")]
        good = [number for number in numbers if number in read]
        if not good and len(numbers) > 1:  # two numbers nobody read are as likely an interval
            return found[0]
        kept.update(good)
        removed.update(set(numbers) - set(good))
        return f"{found['space']}[{', '.join(map(str, good))}]" if good else ""

    # Every second piece is code.
    pieces = _CODE.split(answer)
    pieces[::2] = [_CITATION.sub(checked, piece) for piece in pieces[::2]]
    if not kept and not removed:
        return CitedAnswer(text=answer, numbers=(), removed=())
    numbers = tuple(sorted(kept))
    text = "".join(pieces).rstrip()
    if numbers:
        text += "\n\nSources:\n" + "\n".join(f"[{number}] {read[number]}" for number in numbers)
    if removed:
        named = ", ".join(f"[{number}]" for number in sorted(removed))
        text += f"\n\nNote: {named} was cited but never read, and is taken out."
    return CitedAnswer(text=text, numbers=numbers, removed=tuple(sorted(removed)))


def without_sources(text: str) -> str:
    """An answer as it was before its sources were listed and marked: what a comparison with a reference looks at."""
    bare = _LIST.sub("", text.partition("\n\nNote: [")[0])
    return bare if bare == text else _CITATION.sub("", bare).rstrip()
