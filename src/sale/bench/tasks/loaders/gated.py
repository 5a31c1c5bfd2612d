"""Sources that are handed out on request only, and never come with the package: GAIA, and Humanity's Last Exam."""

from __future__ import annotations

import re

from sale.bench.tasks.loaders import choice, search
from sale.bench.tasks.loaders.rows import Row, UnusableRowError, mapping, place, required_text, text
from sale.bench.tasks.loaders.times import by_source, minutes_of
from sale.bench.tasks.schema import BIN_EDGES, BenchTask, HumanTime, Split, bin_of

SUBJECTS = frozenset({"Chemistry", "Biology/Medicine"})
"""The categories of Humanity's Last Exam that HST-Bench draws from."""
METADATA, HOW_LONG = "Annotator Metadata", "How long did this take?"


def gaia(row: Row, *, split: Split) -> BenchTask:
    """A question of GAIA (Mialon et al. 2023), with the time its annotator noted, as HST-Bench has it.

    Args:
        row: `task_id`, `Question`, `Final answer`, `file_name`, `Annotator Metadata`.
        split: What the task is for.

    Raises:
        InputError: A field is missing or of the wrong kind; the message names it.
        UnusableRowError: The answer is withheld (GAIA's test split), a file belongs to the question, or it took
            longer than the last bin.
    """
    where = place("gaia", row, "task_id")
    question, answer = required_text(row, "Question", where).strip(), required_text(row, "Final answer", where).strip()
    if answer == "?":
        raise UnusableRowError("its answer is withheld: only the validation split has answers", where=where)
    if row.get("file_name"):
        raise UnusableRowError("a file belongs to it, which a task cannot hand over", where=where)
    return BenchTask(
        id=f"gaia/{required_text(row, 'task_id', where)}",
        domain="search",
        source="gaia",
        split=split,
        kind="short",
        prompt=f"{question}\n{search.ASK}",
        reference=answer,
        time=_annotated(row, where),
        licence="gated: not to be shared outside a gated or private place",
    )


def hle(row: Row, *, split: Split) -> BenchTask:
    """A question of Humanity's Last Exam (Phan et al. 2025) on chemistry or biology, without an image.

    One whose options stand in the question line by line is judged by option, any other by its answer's text.

    Args:
        row: `id`, `question`, `image`, `answer`, `answer_type`, `category`.
        split: What the task is for.

    Raises:
        InputError: A field is missing or of the wrong kind; the message names it.
        UnusableRowError: It is on another subject, needs its image, or has no answer.
    """
    where = place("hle", row, "id")
    if text(row, "category", where) not in SUBJECTS:
        raise UnusableRowError("it is on another subject than chemistry and biology", where=where)
    if row.get("image"):
        raise UnusableRowError("it needs an image", where=where)
    question, answer = required_text(row, "question", where).strip(), required_text(row, "answer", where).strip()
    options = text(row, "answer_type", where) == "multipleChoice" and _shows(question, answer)
    return BenchTask(
        id=f"hle/{required_text(row, 'id', where)}",
        domain="search",
        source="hle",
        split=split,
        kind="choice" if options else "short",
        prompt=f"{question}\n{choice.ASK if options else search.ASK}",
        reference=answer,
        time=by_source("hle"),
        licence="MIT; gated: its authors ask not to share it",
    )


def _annotated(row: Row, where: str) -> HumanTime:
    metadata = mapping(row.get(METADATA) or {}, METADATA, where)
    written = text(metadata, HOW_LONG, where).strip() if metadata.get(HOW_LONG) is not None else ""
    minutes = minutes_of(written)
    if minutes is None:
        return by_source("gaia")
    if minutes > BIN_EDGES[-1]:
        raise UnusableRowError(f"it took its annotator longer than {BIN_EDGES[-1]:g} minutes", where=where)
    return HumanTime(
        minutes=minutes,
        people=1,
        bins=(bin_of(minutes),),
        provenance=f"GAIA's annotator metadata, {HOW_LONG!r}: {written!r}",
    )


def _shows(question: str, letter: str) -> bool:
    return re.fullmatch("[A-Z]", letter) is not None and re.search(rf"^{letter}\. ", question, re.MULTILINE) is not None
