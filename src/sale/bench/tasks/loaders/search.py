"""Questions with short answers that are found by searching: SimpleQA, PopQA, HotpotQA."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sale.bench.tasks.loaders.rows import (
    Row,
    UnusableRowError,
    as_texts,
    digest,
    field,
    mapping,
    place,
    required_text,
    sequence,
    text,
    texts,
)
from sale.bench.tasks.loaders.times import by_source
from sale.bench.tasks.schema import BenchTask, Split
from sale.errors import InputError

ASK = "Answer with the shortest possible phrase."


def simpleqa(row: Row, *, split: Split) -> BenchTask:
    """A question of SimpleQA (Wei et al. 2024), which gives no ids: its digest is its id.

    Args:
        row: `problem` and `answer`.
        split: What the task is for.

    Raises:
        InputError: A field is missing or of the wrong kind; the message names it.
        UnusableRowError: One of them is empty.
    """
    where = place("simpleqa", row, "problem")
    question, answer = required_text(row, "problem", where).strip(), required_text(row, "answer", where).strip()
    return _short("simpleqa", digest(question), question, (answer,), split=split, licence="MIT")


def popqa(row: Row, *, split: Split) -> BenchTask:
    """A question of PopQA (Mallen et al. 2023).

    Different people of one name make one question several rows there, so the id is the question's digest: the same
    question is the same task, in whatever form it is published.

    Args:
        row: `question`, `possible_answers` (a list, or one as JSON text), and where there are any `obj`, `paragraphs`
            (`title`, `is_supporting`) or `gold_paragraph_titles`.
        split: What the task is for.

    Raises:
        InputError: A field is missing or of the wrong kind; the message names it.
        UnusableRowError: There is no question, or no answer.
    """
    where = place("popqa", row, "question")
    question = required_text(row, "question", where).strip()
    answers = _possible_answers(row, where)
    if row.get("obj") is not None:
        answers = [text(row, "obj", where), *answers]
    if row.get("gold_paragraph_titles") is not None:
        evidence = texts(row, "gold_paragraph_titles", where)
    else:
        paragraphs = [
            mapping(item, "paragraphs", where) for item in sequence(row.get("paragraphs") or (), "paragraphs", where)
        ]
        evidence = [text(passage, "title", where) for passage in paragraphs if passage.get("is_supporting")]
    return _short("popqa", digest(question), question, answers, split=split, licence="MIT", evidence=evidence)


def hotpotqa(row: Row, *, split: Split) -> BenchTask:
    """A question of HotpotQA (Yang et al. 2018).

    Args:
        row: `question`, `answer`, and where there are any `_id` (else the question's digest is its id) and
            `supporting_facts`, pairs of a title and a sentence's number. The context is not part of the task: it is
            what must be found.
        split: What the task is for.

    Raises:
        InputError: A field is missing or of the wrong kind; the message names it.
        UnusableRowError: There is no question, or no answer.
    """
    where = place("hotpotqa", row, "_id", "question")
    question, answer = required_text(row, "question", where).strip(), required_text(row, "answer", where).strip()
    own = required_text(row, "_id", where) if row.get("_id") is not None else digest(question)
    facts = sequence(row.get("supporting_facts") or (), "supporting_facts", where)
    evidence = [_title(fact, where) for fact in facts]
    return _short("hotpotqa", own, question, (answer,), split=split, licence="CC BY-SA 4.0", evidence=evidence)


def _short(
    source: str,
    own_id: str,
    question: str,
    answers: Iterable[str],
    *,
    split: Split,
    licence: str,
    evidence: Iterable[str] = (),
) -> BenchTask:
    accepted = list(dict.fromkeys(answer.strip() for answer in answers if answer.strip()))
    if not accepted:
        raise UnusableRowError("it has no answer", where=f"{source}/{own_id}")
    return BenchTask(
        id=f"{source}/{own_id}",
        domain="search",
        source=source,
        split=split,
        kind="short",
        prompt=f"{question}\n{ASK}",
        reference=accepted[0],
        aliases=tuple(accepted[1:]),
        time=by_source(source),
        licence=licence,
        evidence=tuple(dict.fromkeys(evidence)),
    )


def _possible_answers(row: Row, where: str) -> list[str]:
    given = field(row, "possible_answers", where)
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            raise InputError(f"the field 'possible_answers' is no JSON: {given!r:.80}", where=where) from error
    return as_texts(given, "possible_answers", where)


def _title(fact: object, where: str) -> str:
    pair = sequence(fact, "supporting_facts", where)
    if not pair or not isinstance(pair[0], str):
        raise InputError(f"the field 'supporting_facts' must hold pairs of title and number, got {fact!r}", where=where)
    return pair[0]
