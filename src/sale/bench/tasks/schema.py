"""One schema for every benchmark task, and the five bins of human time (method, section 5).

A task's human time is either measured, with who measured it and how often, or not known. Where it is not known, the
bins its source fills in HST-Bench's published table stand in for it and are marked so; a time is never invented.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sale.types import Task

Domain = Literal["coding", "search"]
Split = Literal["dev", "test"]
Kind = Literal["tests", "choice", "short", "judged"]
"""The way an answer is judged: by running tests, by the option chosen, against a short reference answer, or by a model
alone, without a reference."""

BIN_EDGES = (0.1, 0.5, 2.5, 12.5, 60.0)
"""Upper edges of the bins, in minutes, inclusive: (0, 0.1], (0.1, 0.5], … (12.5, 60]."""
Bin = Annotated[int, Field(ge=0, le=len(BIN_EDGES) - 1)]


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HumanTime(_FrozenModel):
    """The time a person takes, and its source."""

    minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Mean minutes of those who solved it; `None` where it was not measured."""
    people: Annotated[int, Field(ge=0)] = 0
    """Number of times that went into the mean."""
    bins: tuple[Bin, ...] = ()
    """The bin of `minutes`; else those that the task's source fills in the published table, easiest first."""
    provenance: str
    """Where the time or the bins come from."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.minutes is not None and self.bins != (bin_of(self.minutes),):
            raise ValueError(f"a time of {self.minutes} minutes belongs in one bin, got {self.bins}")
        if list(self.bins) != sorted(set(self.bins)):
            raise ValueError(f"bins must ascend, got {self.bins}")
        return self

    @property
    def measured(self) -> bool:
        """True where a person was timed at this very task."""
        return self.minutes is not None

    @property
    def label(self) -> str:
        """The bin as tables show it: `≤ 0.5`, or `0.1–2.5 (by source)` where only the source is known."""
        if not self.bins:
            return "not binned"
        top = f"{BIN_EDGES[self.bins[-1]]:g}"
        if self.measured:
            return f"≤ {top}"
        low = BIN_EDGES[self.bins[0] - 1] if self.bins[0] > 0 else 0.0
        return f"{low:g}–{top} (by source)" if low else f"≤ {top} (by source)"


class BenchTask(_FrozenModel):
    """One task of the bench."""

    id: str
    """Unique: the source's name, a slash, and the source's own id."""
    domain: Domain
    source: str
    """`mbpp`, `popqa`, …"""
    split: Split
    kind: Kind
    prompt: str
    """The text the agent is given, whole."""
    reference: str | None = None
    """The right answer; the letter of the option where `kind` is `choice`."""
    aliases: tuple[str, ...] = ()
    """Other right answers."""
    tests: str | None = None
    """Python that raises where the answer is wrong; where `kind` is `tests`."""
    prelude: str = ""
    """Code that is run before the answer."""
    time: HumanTime
    licence: str
    evidence: tuple[str, ...] = ()
    """Titles of the passages that hold the answer, where the source names them."""

    @model_validator(mode="after")
    def _judgeable(self) -> Self:
        wanted = "tests" if self.kind == "tests" else "reference"
        if self.kind != "judged" and not (self.tests if wanted == "tests" else self.reference):
            raise ValueError(f"a task judged by {self.kind!r} needs {wanted}")
        return self

    @property
    def task(self) -> Task:
        """The task as the market is given it. Only tasks that end in a program are of the domain `coding` there."""
        return Task(text=self.prompt, id=self.id, domain="coding" if self.kind == "tests" else self.domain_hint)

    @property
    def domain_hint(self) -> str | None:
        """The task's domain as the market knows it: a question about code asks for no code."""
        return None if self.domain == "coding" else self.domain

    @property
    def digest(self) -> str:
        """SHA-256 of the task as JSON: same digest, same task."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def bin_of(minutes: float) -> int:
    """The bin of a time.

    Raises:
        ValueError: It is not above 0, or above the last edge.
    """
    if not 0 < minutes <= BIN_EDGES[-1]:
        raise ValueError(f"a time must be above 0 and at most {BIN_EDGES[-1]:g} minutes, got {minutes!r}")
    return next(number for number, edge in enumerate(BIN_EDGES) if minutes <= edge)
