"""Logs of Inspect (https://inspect.aisi.org.uk): `.eval` archives and `.json`, as written by inspect-ai 0.3.

A sample is a task, and what the evaluated model made of it is the work: tokens and dollars of all models it used, and
the outcome by the first scorer, or the one that `--score` names. A sample that ended in an error was not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from sale.errors import InputError
from sale.memory.importers import fields
from sale.memory.importers.content import Content
from sale.memory.importers.past_work import PastWork, ReadOptions, RowError, Unit, agent_name, shorten, verdict_of
from sale.types import NO_JUDGE

_HEADERS: Final = ("header.json", "_journal/start.json")
"""The second is there while the evaluation runs, or after it was killed."""
_INPUT: Final = ("input_tokens", "input_tokens_cache_read", "input_tokens_cache_write")
_ATTACHMENT: Final = "attachment://"


class InspectLog:
    """Reads logs of Inspect."""

    name = "inspect"

    def recognises(self, content: Content, /) -> bool:
        """By the members of the archive, or by `eval` and `samples`."""
        if content.packed:
            return any(name in _HEADERS for name in content.members())
        first = content.first()
        return isinstance(first.get("eval"), Mapping) and "samples" in first

    def units(self, content: Content, /) -> Iterator[Unit]:
        """The samples, with what the log says of the evaluation.

        Raises:
            InputError: The log has no header that can be read.
        """
        if not content.packed:
            log = content.first()
            for number, sample in enumerate(_samples(log)):
                yield _unit(f"samples[{number}]", sample, fields.inner(log, "eval"))
            return
        evaluation = _header(content)
        for member in content.members():
            if not member.startswith("samples/") or not member.endswith(".json"):
                continue
            try:
                yield _unit(member, content.member(member), evaluation)
            except RowError as error:
                yield Unit(place=member, fault=str(error))

    def works(self, unit: Unit, options: ReadOptions, /) -> Iterator[PastWork]:
        """The work on one sample."""
        sample, evaluation = unit.parts[0], unit.shared
        sample_id, epoch = fields.name(sample, "id"), fields.whole_number(sample, "epoch")
        task, run = fields.name(evaluation, "task") or "task", fields.name(evaluation, "eval_id", "run_id", "created")
        verdict, judge = _judged(sample, options)
        used = [
            fields.inner(fields.inner(sample, "model_usage"), model) for model in fields.inner(sample, "model_usage")
        ]
        yield PastWork(
            row=f"{run} {task} {sample_id} {epoch}",
            agent=agent_name(fields.text(evaluation, "model"), options=options),
            task=fields.describe_value(_attached(sample.get("input"), sample)) or f"{task} {sample_id}",
            task_id=f"{task}/{sample_id}",
            verdict=verdict,
            judged_by=judge,
            at=fields.time(sample, "started_at") or fields.time(evaluation, "created"),
            input_tokens=fields.total(fields.whole_number(one, key) for one in used for key in _INPUT),
            output_tokens=fields.total(fields.whole_number(one, "output_tokens") for one in used),
            dollars=fields.total(fields.number(one, "total_cost") for one in used),
            seconds=fields.number(sample, "working_time", "total_time") or 0.0,
            answer=fields.describe_value(_attached(fields.inner(sample, "output").get("completion"), sample)),
            error=fields.text(fields.inner(sample, "error"), "message") or None,
        )


def _samples(log: Mapping[str, Any]) -> list[object]:
    samples = log.get("samples")
    return cast("list[object]", samples) if isinstance(samples, list) else []


def _unit(place: str, sample: object, evaluation: Mapping[str, Any]) -> Unit:
    if isinstance(sample, Mapping):
        return Unit(place=place, parts=(cast("Mapping[str, Any]", sample),), shared=evaluation)
    return Unit(place=place, fault=f"an object was expected, not {type(sample).__name__}")


def _header(content: Content) -> Mapping[str, Any]:
    present = next(name for name in _HEADERS if name in content.members())
    try:
        return fields.inner(fields.inner({"header": content.member(present)}, "header"), "eval")
    except RowError as error:
        raise InputError(f"{present}: {error}", where=content.name) from None


def _judged(sample: Mapping[str, Any], options: ReadOptions) -> tuple[Any, str]:
    scores = fields.inner(sample, "scores")
    if not scores:
        return "unknown", NO_JUDGE
    scorer = options.score or next(iter(scores))
    if scorer not in scores:
        raise RowError(f"scores: there is none of {shorten(scorer)}; there are {shorten(', '.join(scores))}")
    value = fields.inner(scores, scorer).get("value")
    if isinstance(value, list | Mapping):
        raise RowError(f"scores: {shorten(scorer)} gives several values; name a scorer with one by --score")
    return verdict_of(value, options), fields.clean(scorer)[:100]


def _attached(value: object, sample: Mapping[str, Any]) -> object:
    """Return the attachment of the sample that a value refers to; any other value as it is."""
    if isinstance(value, str) and value.startswith(_ATTACHMENT):
        return fields.inner(sample, "attachments").get(value.removeprefix(_ATTACHMENT), "")
    return value
