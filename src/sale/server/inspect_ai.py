"""The market as a solver, so that any Inspect evaluation can be run through it. Needs the `inspect-ai` extra.

The market's agents work with their own models and tools: the model that Inspect is told to evaluate is not used, and
tools that other solvers put into the state are not seen.
"""

from __future__ import annotations

import uuid

from inspect_ai.hooks import Hooks, RunEnd, hooks
from inspect_ai.log import transcript
from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage
from inspect_ai.solver import Generate, Solver, TaskState, solver

from sale.auction.events import Event
from sale.market import Market
from sale.server.progress import describe_event
from sale.types import Result, Task, Usage

SOURCE = "sale"
"""Where Inspect's transcript and the state's metadata say the market's part comes from."""


@solver(name="market")
def market_solver(config: str | None = None, market: Market | None = None) -> Solver:
    """Auction every sample, and hand in the winner's answer.

    The auction's events are in the transcript; its id, winner, cost and tokens are in `state.metadata["sale"]`. An
    auction that cannot be held is the sample's error.

    Args:
        config: The `sale.toml`; looked for in the usual places unless given. Its market is opened by the first sample
            and closed when the run ends.
        market: A market of your own in its place, which you close yourself.
    """
    shared = _SharedMarket(config, market)
    shared.close_with_the_run()

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        del generate
        result = await shared.market().run(Task(text=_text(state.messages)), observe=_note)
        return _handed_in(state, result)

    return solve


class _SharedMarket:
    """One market for all samples of a run."""

    def __init__(self, config: str | None, given: Market | None) -> None:
        self._config = config
        self._given = given
        self._opened: Market | None = None

    def market(self) -> Market:
        if self._given is not None:
            return self._given
        if self._opened is None:
            self._opened = Market.from_config(self._config)
        return self._opened

    async def aclose(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.aclose()

    def close_with_the_run(self) -> None:
        """Inspect's solvers have no end of their own; its runs have."""
        if self._given is not None:
            return
        shared = self

        @hooks(name=f"sale_{uuid.uuid4().hex}", description="Closes the market that a solver has opened")
        class Close(Hooks):  # pyright: ignore[reportUnusedClass]  registered by its decorator
            async def on_run_end(self, data: RunEnd) -> None:
                del data
                await shared.aclose()


def _note(event: Event) -> None:
    line = describe_event(event)
    if line is not None:
        transcript().info(line, source=SOURCE)


def _text(messages: list[ChatMessage]) -> str:
    """The conversation as a task: one message as it is, several with who said them."""
    said = [message for message in messages if message.text.strip()]
    if len(said) == 1:
        return said[0].text
    return "\n\n".join(f"{message.role.capitalize()}:\n{message.text}" for message in said)


def _handed_in(state: TaskState, result: Result) -> TaskState:
    usage = sum((call.usage for call in result.settlement.calls), Usage())
    state.output = ModelOutput.from_content(
        model=f"{SOURCE}/{result.execution.agent}", content=result.answer, error=result.execution.error
    )
    state.output.usage = ModelUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total,
        total_cost=result.settlement.dollars,
    )
    state.output.time = result.seconds
    state.messages.append(state.output.message)
    state.metadata[SOURCE] = {
        "auction": result.auction.id,
        "agent": result.execution.agent,
        "dollars": result.settlement.dollars,
        "auction_dollars": result.settlement.auction_dollars,
        "always_largest_dollars": result.always_largest.dollars,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "error": result.execution.error,
    }
    return state
