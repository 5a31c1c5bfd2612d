"""An agent that needs no model: it says what its script says, and is otherwise an agent like any other."""

from __future__ import annotations

from collections.abc import Callable

from sale.agents.contractor import Contractor
from sale.config import AgentSettings
from sale.models.scripted import ScriptedModel, persona
from sale.types import Price

NOWHERE = "http://scripted"
"""The address of no endpoint: none is asked."""


def scripted_agent(
    name: str, *, price: float, plan: str, answer: str, opinion: Callable[[str], int] | int = 3, judge: bool = True
) -> Contractor:
    """Make an agent that bids, judges and answers by script: for tutorials and for tests of a market.

    It goes through the same prompts, parsing and accounts as an agent with a model. Tokens are counted as words.

    Args:
        name: Its name in the market.
        price: Dollars per million tokens, read or written.
        plan: The plan it bids with.
        answer: What it hands in when it does the work.
        opinion: The score, 0 to 5, that it gives to any plan, or a function from a plan's text to the score.
        judge: Whether it sits on the jury.
    """
    return Contractor(
        AgentSettings(name=name, endpoint=NOWHERE, model="scripted", judge=judge),
        price=Price(input=price, output=price, blended=price),
        model=ScriptedModel(persona(plan=plan, opinion=opinion, answer=answer)),
    )
