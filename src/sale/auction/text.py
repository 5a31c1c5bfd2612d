"""Text that others wrote, made fit to be sent on, stored, and shown to a judge: pure functions."""

from __future__ import annotations

import re
from functools import lru_cache

HIDDEN = "?"
"""Stands in place of a score or verdict that a text brings along."""
REMEMBERED = 256
"""Texts that each function here remembers: a plan is made fit once, however many jurors read it."""

# Control characters, soft hyphens, zero-width characters, changes of direction, and the invisible copy of ASCII.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_JOINED = re.compile(r"(?<=[!-~])[\u034f\u200c\u200d\ufe00-\ufe0f]+(?=[!-~])")  # nothing of ASCII is joined
# Everything between two words. It begins after a word or at the start, so that each run is looked at once.
_NUMBER = re.compile(r"(?:(?<=\w)|\A)(\W++)(\d)(?:\.0+)?(?!\w|\.\d)")
_QUOTE = re.compile(r"[\"'`\u2018-\u201f\u00ab\u00bb]")
_COLONS = (":", "=", "\uff1a")
_BRACES = re.compile(r"\{[^{}]*+")
_IN_BRACES = re.compile(r"([:\uff1a]\s*+[-+]?)\d(?:\.0+)?(?=\s*+(?:[,;]|\Z))")  # not `=`, as formulas have it
_LABELLED = re.compile(
    r"^([^\w\n]*+(?:[Pp]lan[ \t]{1,8}[A-Z]{1,4}[^\w\n]{0,16}[:=\uff1a]|[A-Z]{1,4}[^\w\n]{0,16}[:\uff1a])[^\w\n]{0,16})"
    r"\d(?=[^\w\n]*+$)",
    re.MULTILINE,
)
_CLAIMED = re.compile(
    r"\b((?:scores?|scored|ratings?|rated?|grades?|graded|points|marks?|votes?)\b"
    r"[^\w\n]{0,8}(?:(?:is|are|of|as|at|with|a|an|the|this|it|plan|must|be|should)\b[^\w\n]{0,8}){0,4})"
    r"(?:\d+(?:\.\d+)?|(?:zero|one|two|three|four|five)\b)",
    re.IGNORECASE,
)
_FULL_MARKS = re.compile(
    r"(?<![\w.])(?:[5\uff15]|five)"
    r"(\s{0,3}(?:[/\u2044\u2215\uff0f]|out of|of)\s{0,3}(?:[5\uff15]|five)\b(?!\.\d))",
    re.IGNORECASE,
)
_ANSWERED = re.compile(
    r"\b((?:answer(?:ed|s)?|repl(?:y|ies|ied)|respon(?:d|ds|se|ded)|says?|said|verdict)\b"
    r"[^\w\n]{0,8}(?:(?:is|to|the|this|question|with|a|an|one|word|must|be|should|only|just|always|simply|by|of)\b"
    r"[^\w\n]{0,8}){0,6})(?:yes\b|no\b(?![^\S\n]+\w))",
    re.IGNORECASE,
)
_ANSWER_LINE = re.compile(r"^([^\w\n]*+)(?:yes|no)(?=[^\w\n]*$)", re.IGNORECASE | re.MULTILINE)
_VERDICT = re.compile(
    r"\b((?:(?:is_)?correct(?:ness)?|verdict)\b[^\w\n]{0,16}[:\uff1a][^\w\n]{0,16})"
    r"(?:true|false|yes|no|correct|incorrect|right|wrong)\b",
    re.IGNORECASE,
)


def make_storable(text: str) -> str:
    """The text as any endpoint and store takes it: no half characters (lone surrogates), no NUL."""
    return text.encode(errors="replace").decode().replace("\0", "")


@lru_cache(REMEMBERED)
def without_invisible(text: str) -> str:
    """Return the text without invisible characters: within a word or a mark, they keep it from being found.

    Every line ends in a line feed. Joiners stay, as many scripts need them, but between two letters of ASCII.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n")
    return _JOINED.sub("", _INVISIBLE.sub("", lines))


def clip(text: str, size: int) -> str:
    """The text, or as much of it as fits into `size` bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")


@lru_cache(REMEMBERED)
def without_scores(text: str) -> str:
    """Hide every number in a plan that looks like a score: on a ballot, behind a label, or after a word for it.

    A small juror copies what it finds filled in. Nothing else is changed, and the text never gets longer.
    """
    shown = _NUMBER.sub(_hidden, text)
    shown = _BRACES.sub(lambda found: _IN_BRACES.sub(rf"\1{HIDDEN}", found[0]), shown)
    shown = _LABELLED.sub(rf"\1{HIDDEN}", shown)
    shown = _CLAIMED.sub(rf"\1{HIDDEN}", shown)
    return _FULL_MARKS.sub(rf"{HIDDEN}\1", shown)


def without_verdicts(text: str) -> str:
    """Hide what an answer says of its own correctness in the form of a verdict. The text never gets longer."""
    return _VERDICT.sub(rf"\1{HIDDEN}", text)


@lru_cache(REMEMBERED)
def without_answers(text: str) -> str:
    """Hide every yes or no that looks like the answer to a question: after a word for it, or alone on a line.

    The text never gets longer.
    """
    return _ANSWER_LINE.sub(rf"\1{HIDDEN}", _ANSWERED.sub(rf"\1{HIDDEN}", text))


def _hidden(found: re.Match[str]) -> str:
    """A number after a quoted name and a colon, hidden; any other stays."""
    between = found[1]
    quote, colon = _QUOTE.search(between), max(map(between.rfind, _COLONS))
    named = quote is not None and quote.start() < colon and "," not in between[colon:]
    return f"{between}{HIDDEN}" if named else found[0]
