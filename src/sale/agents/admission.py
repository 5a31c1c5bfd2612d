"""The one place that decides which agents and jurors may see the text of a request, by their labels.

The market asks it before an auction, and the gateway before everything else that shows an agent anything: a session's
agent, one asked by name, the next best bid after a failure, the incumbent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sale.agents.protocol import Agent
from sale.auction.protocols import Juror
from sale.auction.questions import Seat
from sale.config import Settings
from sale.errors import RequirementError
from sale.types.labels import NO_LABELS, Labels, Requirements, read_labels


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """The labels of a pool. Without any, no agent satisfies any requirement."""

    agents: Mapping[str, Labels] = field(default_factory=dict[str, Labels])
    """By the agent's name."""
    seats: Mapping[str, Labels | None] = field(default_factory=dict[str, "Labels | None"])
    """By the name of a juror that is not an agent; `None` where no text leaves this process."""

    @classmethod
    def of(cls, settings: Settings) -> Admission:
        """The labels that settings give. A juror that asks an agent's model has the labels of that agent."""
        agents = {agent.name: read_labels(agent.labels) for agent in settings.agents}
        seats: dict[str, Labels | None] = {}
        for juror in settings.jurors:
            asked = juror.asked_agent
            own = read_labels(juror.labels) if asked is None else agents.get(asked, NO_LABELS)
            seats[juror.name] = None if juror.stays_here else own
        return cls(agents=agents, seats=seats)

    def admits(self, agent: str, require: Requirements) -> bool:
        """Return whether an agent may see a text: as a bidder, as a juror, at work."""
        return require.met_by(self.agents.get(agent, NO_LABELS))

    def admits_seat(self, juror: str, require: Requirements) -> bool:
        """Return whether a juror that is not an agent may see a text."""
        labels = self.seats.get(juror, NO_LABELS)
        return labels is None or require.met_by(labels)

    def select(
        self, bidders: Sequence[Agent], jurors: Sequence[Juror], seats: Sequence[Seat], require: Requirements
    ) -> tuple[list[Agent], list[Juror], list[Seat]]:
        """Return those bidders, jurors and seats that may see a text.

        Raises:
            RequirementError: There are bidders, and none may.
        """
        names = self.filter_agents([agent.name for agent in bidders], require)
        return (
            [agent for agent in bidders if agent.name in names],
            [juror for juror in jurors if self.admits(juror.name, require)],
            [seat for seat in seats if self.admits_seat(seat.name, require)],
        )

    def filter_agents(self, agents: Collection[str], require: Requirements) -> list[str]:
        """Return those agents that may see a text.

        Args:
            agents: Names of the agents that could do the work otherwise.
            require: Requirements of the request and its key.

        Raises:
            RequirementError: There are agents, and none may.
        """
        found = [name for name in agents if self.admits(name, require)]
        if agents and not found:
            raise RequirementError(
                require.explain_unmet(self.agents.get(name, NO_LABELS) for name in agents),
                hint="Require less, or add an agent with these labels.",
            )
        return found
