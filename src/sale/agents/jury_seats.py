"""From settings to a jury: each `[[jurors]]` of `sale.toml` becomes a seat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from typing import cast

from sale.agents.decisions import DecisionRespondent
from sale.agents.own import import_function
from sale.agents.protocol import Agent
from sale.agents.respondents import FREE_PRICE, FunctionRespondent, MatchRespondent, ModelRespondent
from sale.auction.protocols import Juror, Question, Respondent
from sale.auction.questions import DEFAULT_QUESTION, Seat
from sale.config import JurorSettings, Settings, juror_key
from sale.errors import ConfigError, MissingExtraError
from sale.models.embedding import MiniLMEmbedder
from sale.models.prices import price_of
from sale.types import Price


def seat_jurors(settings: Settings, agents: Sequence[Agent]) -> tuple[Seat, ...]:
    """A seat for each juror that the settings name.

    Args:
        settings: Name the jurors.
        agents: The pool; jurors of kind `question` ask the model of one of them.

    Raises:
        ConfigError: A key is not in the environment, or a function is not there.
        MissingExtraError: A juror of kind `match` needs an optional dependency.
    """
    models = {agent.name: agent for agent in agents}
    return tuple(
        Seat(
            respondent=_respondent(juror, models.get(juror.agent or "")),
            question=juror.question or DEFAULT_QUESTION,
            reads=juror.reads,
        )
        for juror in settings.jurors
    )


def _respondent(juror: JurorSettings, agent: Agent | None) -> Respondent:
    match juror.kind:
        case "question":
            return ModelRespondent(name=juror.name, juror=_model_of(juror, agent))
        case "match":
            if find_spec("onnxruntime") is None:
                hint = "pip install 'sale[local]', or remove the juror."
                raise MissingExtraError(f"the juror {juror.name!r} needs the `local` extra", hint=hint)
            return MatchRespondent(name=juror.name, embedder=MiniLMEmbedder())
        case "decision":
            return DecisionRespondent(
                name=juror.name,
                endpoint=juror.endpoint or "",
                model=juror.model or "",
                price=_price(juror),
                api_key=juror_key(juror),
                protocol=juror.protocol,
            )
        case "function":
            where = f"juror {juror.name!r}"
            function = import_function(juror.function or "", where=where)
            if not callable(function):
                raise ConfigError(f"{juror.function!r} cannot be called", where=where, hint="Name an async function.")
            asked = cast("Callable[[Question], Awaitable[float | None]]", function)
            return FunctionRespondent(name=juror.name, function=asked, price=_price(juror))


def _model_of(juror: JurorSettings, agent: Agent | None) -> Juror:
    """The agent as one that can be asked, whether or not it sits on the jury itself."""
    judge = getattr(agent, "judge", None)
    if agent is None or judge is None:
        raise ConfigError(f"the agent {juror.agent!r} has no model to ask", where=f"juror {juror.name!r}")
    return cast("Juror", agent)


def _price(juror: JurorSettings) -> Price:
    return FREE_PRICE if juror.price is None else price_of(juror.price, juror.price, juror.price)
