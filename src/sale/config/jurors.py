"""The jurors of `sale.toml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sale.config.sections import Dollars, Section

JurorKind = Literal["question", "match", "decision", "function"]
_NEEDS: dict[JurorKind, frozenset[str]] = {
    "question": frozenset({"agent"}),
    "match": frozenset(),
    "decision": frozenset({"endpoint", "model", "price"}),
    "function": frozenset({"function"}),
}
_TAKES: dict[JurorKind, frozenset[str]] = {
    "question": frozenset({"question"}),
    "match": frozenset(),
    "decision": frozenset({"question", "api_key_env", "protocol"}),
    "function": frozenset({"question", "price"}),
}
_COMMON = frozenset({"name", "kind", "reads"})


class JurorSettings(Section):
    """One juror. It gives each bid the probability that a question about it is answered with yes."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", max_length=64)]
    """The name of its scores; unique among jurors and agents that judge."""
    kind: JurorKind
    """`question`: the model of an agent is asked. `match`: the likeness of task and evidence, by embeddings, which
    costs nothing. `decision`: a decision model behind an endpoint. `function`: a function of yours."""
    reads: Literal["plan", "evidence", "bid"] = "evidence"
    """The part of a bid it is shown: the plan, the evidence its agent found, or both. Where that is missing, it
    abstains."""
    question: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    """The question it is asked; "Does what the candidate found contain what is needed to do the task?" unless given."""
    agent: str | None = None
    """For `question`: the agent whose model is asked."""
    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """For `decision`: the base URL, usually ending in `/v1`."""
    model: str | None = None
    """For `decision`: the model's name there."""
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """For `decision`: the environment variable that holds the key. Keys are never written in this file."""
    protocol: Literal["systemone", "decisions"] = "systemone"
    """For `decision`: System One (`/v1/systemone`), or the Decisions API (`/v1/decisions`)."""
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")] | None = None
    """For `function`: `package.module:name`, an async function of a `Question` that gives a number from 0 to 1, or
    `None` where it cannot tell."""
    price: Dollars | None = None
    """Dollars per million tokens, of a `decision` or a `function`."""

    @model_validator(mode="after")
    def _as_its_kind(self) -> JurorSettings:
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        if missing := sorted(_NEEDS[self.kind] - given):
            raise ValueError(f"a juror of kind {self.kind!r} needs {', '.join(missing)}")
        if idle := sorted(given - _COMMON - _NEEDS[self.kind] - _TAKES[self.kind]):
            raise ValueError(f"{', '.join(idle)} cannot be said of a juror of kind {self.kind!r}")
        return self
