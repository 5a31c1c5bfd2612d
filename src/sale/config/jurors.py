"""The jurors of `sale.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from sale import extensions
from sale.config.sections import Dollars, ExtensionSection, Section, Variable
from sale.types.labels import read_labels

DecisionProtocol = Literal["systemone", "decisions"]


class JurorSettings(ExtensionSection):
    """One juror. It gives each bid the probability that a question about it is answered with yes."""

    group: ClassVar[extensions.Group] = "jurors"

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", max_length=64)]
    """The name of its scores; unique among jurors and agents that judge."""
    kind: str
    """`question`: the model of an agent is asked. `match`: the likeness of task and evidence, by embeddings, which
    costs nothing. `decision`: a decision model behind an endpoint. `function`: a function of yours. Or the kind of an
    installed package, or `package.module:Name`: [write your own](extend.md#a-juror)."""
    reads: Literal["plan", "evidence", "bid"] = "evidence"
    """The part of a bid it is shown: the plan, the evidence its agent found, or both. Where that is missing, it
    abstains."""
    question: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    """The question it is asked; "Does what the candidate found contain what is needed to do the task?" unless given."""

    labels: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """As an agent's: where something is [required](gateway.md#requirements), it is asked only if its labels satisfy
    that. A `question` has the labels of its agent, and a `match` needs none, as the text does not leave the process."""

    @property
    def stays_here(self) -> bool:
        """True where it shows texts to nothing outside this process."""
        return KINDS.get(self.kind) is MatchJurorSettings

    @property
    def asked_agent(self) -> str | None:
        """The agent whose model is asked, of kind `question`."""
        agent = self.options.get("agent") if KINDS.get(self.kind) is QuestionJurorSettings else None
        return agent if isinstance(agent, str) else None

    @model_validator(mode="after")
    def _as_its_kind(self) -> JurorSettings:
        own = KINDS.get(self.kind)
        if own is not None:
            whose = f"a juror of kind {self.kind!r}"
            extensions.check_options(own, self.options, whose, JurorSettings.model_fields)
            if self.question is not None and not own.asks:
                raise ValueError(f"question cannot be said of {whose}")
            if self.labels and not own.labelled:
                raise ValueError(f"labels cannot be said of {whose}")
        read_labels(self.labels)
        return self

    __hash__ = ExtensionSection.__hash__


class OwnJurorSettings(Section):
    """Settings of one kind of juror, beside those that all have."""

    asks: ClassVar[bool] = True
    """True where it asks a question in words."""
    labelled: ClassVar[bool] = True
    """True where it has labels of its own."""


class QuestionJurorSettings(OwnJurorSettings):
    """Of `kind = "question"`."""

    labelled: ClassVar[bool] = False

    agent: str
    """The agent whose model is asked."""


class MatchJurorSettings(OwnJurorSettings):
    """Of `kind = "match"`."""

    asks: ClassVar[bool] = False
    labelled: ClassVar[bool] = False


class DecisionJurorSettings(OwnJurorSettings):
    """Of `kind = "decision"`."""

    endpoint: Annotated[str, Field(pattern=extensions.ADDRESS)]
    """The base URL, usually ending in `/v1`."""
    model: str
    """The model's name there."""
    price: Dollars
    """Dollars per million tokens."""
    api_key_env: Variable | None = None
    """The environment variable that holds the key. Keys are never written in this file."""
    protocol: DecisionProtocol = "systemone"
    """System One (`/v1/systemone`), or the Decisions API (`/v1/decisions`)."""


class FunctionJurorSettings(OwnJurorSettings):
    """Of `kind = "function"`."""

    function: Annotated[str, Field(pattern=f"^{extensions.PATH}$")]
    """`package.module:name`, a function of a `Question`, plain or async, that gives a number from 0 to 1, or `None`
    where it cannot tell."""
    price: Dollars | None = None
    """Dollars per million tokens; nothing unless given."""


KINDS: Mapping[str, type[OwnJurorSettings]] = {
    "question": QuestionJurorSettings,
    "match": MatchJurorSettings,
    "decision": DecisionJurorSettings,
    "function": FunctionJurorSettings,
}
"""Settings classes of the kinds that come with sale. Settings of other kinds are checked when the juror is made."""
