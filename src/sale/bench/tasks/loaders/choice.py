"""Multiple-choice questions on programming: an open stand-in for HST-Bench's Coding-MCQ, whose own set is not public.

MMLU's computer-science subjects (Hendrycks et al. 2021) and javascript-questions by Lydia Hallie. Tasks carry the name
of the set they come from; their time says whose bins they borrow.
"""

from __future__ import annotations

import re

from sale.bench.tasks.loaders.rows import Row, UnusableRowError, place, required_text, text, texts
from sale.bench.tasks.loaders.times import PUBLISHED, STAND_IN
from sale.bench.tasks.schema import BenchTask, HumanTime, Split
from sale.errors import InputError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ASK = "Answer with the letter of the right option only."

_LOOKS_LIKE_OPTION = re.compile(r"^(?=[A-Z]\. )", re.MULTILINE)


def mmlu(row: Row, *, split: Split) -> BenchTask:
    """A question of MMLU.

    Args:
        row: `id` (`mmlu/<subject>/<split>/<number>`), `question`, `choices` and `answer`, a letter.
        split: What the task is for.

    Raises:
        InputError: A field is missing or of the wrong kind; the message names it.
        UnusableRowError: Question or options are empty.
    """
    where = place("mmlu", row, "id")
    return _question(
        row, source="mmlu", own_id=required_text(row, "id", where).removeprefix("mmlu/"), code="", split=split
    )


def javascript(row: Row, *, split: Split) -> BenchTask:
    """A question of javascript-questions.

    As `mmlu`, with an `id` like `js/1`, and `code` in its fence, which may be empty.
    """
    where = place("javascript", row, "id")
    own = required_text(row, "id", where).removeprefix("js/")
    return _question(row, source="javascript", own_id=own, code=text(row, "code", where), split=split)


def _question(row: Row, *, source: str, own_id: str, code: str, split: Split) -> BenchTask:
    where = place(source, row, "id")
    options = texts(row, "choices", where)
    if len(options) < 2 or not all(option.strip() for option in options):
        raise UnusableRowError("it has fewer than two options, or an empty one", where=where)
    letter = text(row, "answer", where)
    if len(letter) != 1 or letter not in LETTERS[: len(options)]:
        raise InputError(
            f"the field 'answer' must be one of {', '.join(LETTERS[: len(options)])}, got {letter!r}", where=where
        )
    # Statements numbered `I. …` are no options: a space keeps them apart from the lines that are.
    asked = _LOOKS_LIKE_OPTION.sub(" ", required_text(row, "question", where).strip())
    shown = "\n".join(f"{name}. {_inset(option)}" for name, option in zip(LETTERS, options, strict=False))
    parts = (asked, code.strip(), shown, ASK)
    return BenchTask(
        id=f"{source}/{own_id}",
        domain="coding",
        source=source,
        split=split,
        kind="choice",
        prompt="\n\n".join(part for part in parts if part),
        reference=letter,
        time=HumanTime(bins=PUBLISHED["coding-mcq"], provenance=STAND_IN),
        licence="MIT",
    )


def _inset(option: str) -> str:
    """An option of several lines, the later ones set in under the first."""
    return "\n   ".join(line.strip() for line in option.strip().splitlines())
