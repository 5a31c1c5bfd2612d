"""Rows of a source from the public hub, through `datasets`, in the shape its own files have.

`datasets` is imported when rows are asked for, not before. It streams: only the split and, where the hub stores columns
apart, only the columns that are asked for. It takes a token from the environment variable HF_TOKEN by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from sale.bench.tasks.loaders.choice import LETTERS
from sale.bench.tasks.loaders.local import Placed
from sale.bench.tasks.loaders.rows import Row, field, mapping, sequence, text
from sale.bench.tasks.schema import Split
from sale.errors import InputError, MissingExtraError, SourcesError

Adapt = Callable[[Row, str, int], Row]
"""A row of the hub, the hub's split and the row's number in it, to a row as the source's own files have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubSet:
    """A source on the hub."""

    repository: str
    columns: tuple[str, ...]
    """Names of the columns that are read."""
    splits: Mapping[Split, tuple[str, ...]]
    """Our split to the hub's."""
    configs: tuple[str | None, ...] = (None,)
    adapt: Adapt | None = None
    gated: bool = False
    """Handed out on request only."""

    @property
    def page(self) -> str:
        """Where a person reads about it, and asks for access."""
        return f"https://huggingface.co/datasets/{self.repository}"


def rows(hub: HubSet, split: Split) -> Iterator[Placed]:
    """All rows of a split, in order.

    Raises:
        MissingExtraError: `datasets` is not installed.
        SourcesError: The hub could not be reached.
        InputError: The hub refuses the set, or the set is not as it was: a config, split or column is missing.
    """
    for config in hub.configs:
        for theirs in hub.splits[split]:
            place = f"{hub.repository}{f' ({config})' if config else ''}, {theirs}"
            for number, row in enumerate(_stream(hub, config, theirs, place)):
                where = f"{place}, row {number}"
                yield where, row if hub.adapt is None else hub.adapt(row, theirs, number)


def _stream(hub: HubSet, config: str | None, split: str, place: str) -> Iterator[Row]:
    if find_spec("datasets") is None:
        raise MissingExtraError(
            "reading the public hub needs the `bench` extra",
            where=hub.repository,
            hint="pip install 'sale[bench]', or give the path of a local copy.",
        )
    library = import_module("datasets")
    # A set that is not there, gated, or changed; RuntimeError is said of a repository that has turned into a script.
    refusals: tuple[type[Exception], ...] = (library.exceptions.DatasetsError, ValueError, RuntimeError)
    try:
        dataset = library.load_dataset(hub.repository, config, split=split, streaming=True)
        given = cast("Sequence[str] | None", dataset.column_names)
        if given is not None:
            _check_columns(hub, given, place)
            # What is left out is not decoded either: images, which would need another library.
            dataset = dataset.select_columns(list(hub.columns))
        yield from cast("Iterable[Row]", dataset)
    except refusals as error:
        raise _refused(hub, error, place) from error
    except _failures() as error:
        raise SourcesError(
            f"the hub did not answer: {_said(error)}",
            where=place,
            hint="Try again with a connection, or give the path of a local copy.",
        ) from error


def _failures() -> tuple[type[Exception], ...]:
    """Return the exceptions of a hub that does not answer. HTTPError is of whichever client the hub's library uses."""
    return (OSError, getattr(import_module("huggingface_hub.errors"), "HTTPError", OSError))


def _check_columns(hub: HubSet, given: Sequence[str], place: str) -> None:
    missing = [column for column in hub.columns if column not in given]
    if missing:
        raise InputError(
            f"the column {missing[0]!r} is missing",
            where=place,
            hint=f"It has: {', '.join(given)}. The set has changed on the hub; give the path of a copy of before.",
        )


def _refused(hub: HubSet, error: Exception, place: str) -> InputError:
    way = (
        f"Ask for access at {hub.page}, then set HF_TOKEN to a token of yours; or give the path of a copy."
        if hub.gated
        else f"See {hub.page}, or give the path of a local copy."
    )
    return InputError(f"the hub does not hand it out: {_said(error)}", where=place, hint=way)


def _said(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def mmlu_row(row: Row, split: str, number: int) -> Row:
    """MMLU: the answer is an option's number there, and there is no id.

    Raises:
        InputError: A field is missing, or the answer is not the number of an option.
    """
    where = f"mmlu {split} row {number}"
    subject, answer = text(row, "subject", where), field(row, "answer", where)
    if not isinstance(answer, int) or not 0 <= answer < len(LETTERS):
        raise InputError(f"the field 'answer' must be an option's number, got {answer!r:.80}", where=where)
    return {**row, "id": f"mmlu/{subject}/{split}/{number}", "split": split, "answer": LETTERS[answer]}


def hotpotqa_row(row: Row, split: str, number: int) -> Row:
    """HotpotQA: supporting facts come as columns there, and the id is called `id`.

    Raises:
        InputError: A field is missing, or supporting facts come in yet another form.
    """
    where = f"hotpotqa {split} row {number}"
    facts = mapping(field(row, "supporting_facts", where), "supporting_facts", where)
    titles, numbers = (sequence(field(facts, name, where), name, where) for name in ("title", "sent_id"))
    kept = {name: field(row, name, where) for name in ("question", "answer")}
    pairs = [list(pair) for pair in zip(titles, numbers, strict=False)]
    return {"_id": field(row, "id", where), **kept, "supporting_facts": pairs}
