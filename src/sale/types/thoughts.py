"""Thoughts that a model writes into its text, between `<think>` and `</think>`, and the text without them.

Some chat templates open the thoughts themselves, so that a text holds nothing but their end. Models write the marks in
small letters or in capitals. Pure functions.
"""

from __future__ import annotations

import re
from typing import Final

_MARK: Final = re.compile(r"<(/?)think>", re.IGNORECASE)
_END: Final = re.compile(r"</think>", re.IGNORECASE)


def split_thoughts(text: str) -> tuple[str, str]:
    """Return the thoughts that an answer begins with, and the rest of it.

    Unfinished thoughts leave no rest: a token cap that falls into them leaves the answer empty. Marks in the midst of
    the rest are words of it, since an answer may be about them.
    """
    thoughts: list[str] = []
    at = 0
    while (mark := _MARK.search(text, at)) is not None:
        before = text[at : mark.start()]
        if mark[1]:
            if at and before.strip():
                break
            thoughts.append(before.strip())
            at = mark.end()
            continue
        if before.strip():
            break
        end = _END.search(text, mark.end())
        thoughts.append(text[mark.end() : end.start() if end else None].strip())
        at = end.end() if end else len(text)
    return "\n".join(filter(None, thoughts)), text[at:].lstrip() if at else text


def remove_thoughts(text: str) -> str:
    """Return a text without thoughts, wherever they are in it; unfinished ones reach to its end."""
    kept: list[str] = []
    at = 0
    while (mark := _MARK.search(text, at)) is not None:
        if not mark[1]:
            kept.append(text[at : mark.start()])
            end = _END.search(text, mark.end())
            at = end.end() if end else len(text)
        elif kept:  # an end without a beginning, after thoughts that had both: words
            kept.append(text[at : mark.end()])
            at = mark.end()
        else:
            at = mark.end()
    return "".join([*kept, text[at:]])


def text_after_thoughts(text: str) -> str:
    """Return what follows the last end of thoughts; all of a text without one."""
    if "</" not in text:
        return text
    return text[max((end.end() for end in _END.finditer(text)), default=0) :]
