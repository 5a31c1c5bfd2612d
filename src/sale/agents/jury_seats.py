"""From settings to a jury: each `[[jurors]]` of `sale.toml` becomes a seat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import cast

from sale.agents.decisions import DecisionRespondent
from sale.agents.protocol import Agent
from sale.agents.respondents import FREE_PRICE, FunctionRespondent, MatchRespondent, ModelRespondent
from sale.auction.looking import looker_of
from sale.auction.protocols import Juror, Question, Respondent
from sale.auction.questions import DEFAULT_QUESTION, Seat
from sale.config import (
    DecisionJurorSettings,
    FunctionJurorSettings,
    JurorSettings,
    MatchJurorSettings,
    QuestionJurorSettings,
    Settings,
    secret,
)
from sale.errors import ConfigError, MissingExtraError, SaleError
from sale.extensions import import_path, make
from sale.models.embedding import MiniLMEmbedder
from sale.models.prices import price_of
from sale.types import Price


def seat_jurors(settings: Settings, agents: Sequence[Agent]) -> tuple[Seat, ...]:
    """A seat for each juror that the settings name.

    A kind of juror is a class or a function. It is given `name`, and `models`, what can be asked of the pool's models
    by the name of the agent, where its signature has them; and the juror's own settings.

    Args:
        settings: Name the jurors.
        agents: The pool; a juror may ask the model of one of them.

    Raises:
        ConfigError: A kind of juror is not there or cannot be made, or a key is not in the environment.
        MissingExtraError: A juror of kind `match` needs an optional dependency.
    """
    return tuple(_seat(juror, _models(agents)) for juror in settings.jurors)


@dataclass(frozen=True, kw_only=True, slots=True)
class JurorCheckup:
    """A look at a juror that settings name: can it be made, and has it something to read?"""

    juror: str
    kind: str
    reads: str
    fault: str | None
    """Why it cannot sit; `None` where it can."""
    idle: bool
    """`True` where it reads what agents find before they bid, and no agent looks."""


def examine_jurors(settings: Settings, agents: Sequence[Agent]) -> list[JurorCheckup]:
    """Make each juror that the settings name, and ask it nothing; never raises for what a juror does."""
    looking = any(looker_of(agent) for agent in agents)
    return [
        JurorCheckup(
            juror=one.name,
            kind=one.kind,
            reads=one.reads,
            fault=_fault(one, agents),
            idle=one.reads == "evidence" and not looking,
        )
        for one in settings.jurors
    ]


def _fault(juror: JurorSettings, agents: Sequence[Agent]) -> str | None:
    try:
        _seat(juror, _models(agents))
    except SaleError as error:
        return str(ConfigError(error.message, hint=error.hint))
    return None


def _models(agents: Sequence[Agent]) -> dict[str, Juror]:
    return {agent.name: cast("Juror", agent) for agent in agents if getattr(agent, "judge", None) is not None}


def _seat(juror: JurorSettings, models: Mapping[str, Juror]) -> Seat:
    return Seat(respondent=_respondent(juror, models), question=juror.question or DEFAULT_QUESTION, reads=juror.reads)


def _respondent(juror: JurorSettings, models: Mapping[str, Juror]) -> Respondent:
    given = {"name": juror.name, "models": models}
    return make("jurors", juror.kind, Respondent, given=given, options=juror.options, where=f"juror {juror.name!r}")


def model_juror(name: str, models: Mapping[str, Juror], settings: QuestionJurorSettings) -> Respondent:
    """A juror of kind `question`: an agent's model, whether or not the agent sits on the jury itself.

    Raises:
        ConfigError: The agent has no model.
    """
    if settings.agent not in models:
        raise ConfigError(f"the agent {settings.agent!r} has no model to ask", where=f"juror {name!r}")
    return ModelRespondent(name=name, juror=models[settings.agent])


def match_juror(name: str, settings: MatchJurorSettings) -> Respondent:  # noqa: ARG001  it refuses other keys
    """A juror of kind `match`.

    Raises:
        MissingExtraError: There is nothing here to make embeddings with.
    """
    if find_spec("onnxruntime") is None:
        hint = "pip install 'sale[local]', or remove the juror."
        raise MissingExtraError(f"the juror {name!r} needs the `local` extra", hint=hint)
    return MatchRespondent(name=name, embedder=MiniLMEmbedder())


def decision_juror(name: str, settings: DecisionJurorSettings) -> Respondent:
    """A juror of kind `decision`.

    Raises:
        ConfigError: The key is not in the environment.
    """
    return DecisionRespondent(
        name=name,
        endpoint=settings.endpoint,
        model=settings.model,
        price=_price(settings.price),
        api_key=secret(settings.api_key_env, where=f"juror {name!r}"),
        protocol=settings.protocol,
    )


def function_juror(name: str, settings: FunctionJurorSettings) -> Respondent:
    """A juror of kind `function`.

    Raises:
        ConfigError: The function is not there, or cannot be called.
    """
    where = f"juror {name!r}"
    function = import_path(settings.function, where=where)
    if not callable(function):
        raise ConfigError(f"{settings.function!r} cannot be called", where=where, hint="Name a function.")
    asked = cast("Callable[[Question], Awaitable[float | None] | float | None]", function)
    return FunctionRespondent(name=name, function=asked, price=_price(settings.price))


def _price(dollars: float | None) -> Price:
    return FREE_PRICE if dollars is None else price_of(dollars, dollars, dollars)
