"""One colour and one mark for each agent, on every page.

Eight colours that people with any common colour blindness tell apart (after Okabe and Ito, darkened or lightened to
three to one against the ground in the style sheet); whoever comes ninth shares a colour and has another mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

COLOURS = 8
MARKS = ("circle", "square", "triangle", "diamond")


class AgentPalette:
    """Agents by name, the pool's first and in its order."""

    def __init__(self, pool: Sequence[str], others: Iterable[str] = ()) -> None:
        self._place = {name: place for place, name in enumerate(dict.fromkeys((*pool, *sorted(others))))}

    def colour(self, agent: str) -> str:
        """A class of the style sheet."""
        return f"c{self._of(agent) % COLOURS}"

    def mark(self, agent: str) -> str:
        """A shape, so that nothing rests on colour alone."""
        place = self._of(agent)
        return MARKS[(place + place // COLOURS) % len(MARKS)]

    def _of(self, agent: str) -> int:
        return self._place.setdefault(agent, len(self._place))

    def sorted(self, agents: Iterable[str]) -> list[str]:
        """Agents in the palette's order."""
        return sorted(set(agents), key=lambda agent: (self._of(agent), agent))
