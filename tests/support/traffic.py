"""Traffic of two agents whose true rates are known: easy sums, which both do well, and contracts, which one does."""

from __future__ import annotations

import random
from dataclasses import dataclass

PEOPLE = ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal")
CLAUSES = ("indemnity", "arbitration", "warranty", "escrow", "novation", "liability", "assignment")
RATES = {("small", "sum"): 0.95, ("small", "contract"): 0.2, ("large", "sum"): 0.95, ("large", "contract"): 0.85}
DOLLARS = {"small": 0.0004, "large": 0.01}
TO_LARGE = {"sum": 0.4, "contract": 0.75}
"""Share of the tasks of a kind that the large one was given: the hard ones mostly, so that plain means mislead."""


@dataclass(frozen=True)
class TrafficLine:
    """One task that one agent did."""

    kind: str
    text: str
    agent: str
    success: bool
    dollars: float


def drawn_traffic(count: int, seed: int = 5) -> list[TrafficLine]:
    """Draw so many tasks, half of them of each kind."""
    rng = random.Random(seed)
    found: list[TrafficLine] = []
    for number in range(count):
        kind = ("sum", "contract")[number % 2]
        one, other = rng.sample(PEOPLE, 2)
        if kind == "sum":
            text = f"{one} has {rng.randint(2, 90)} apples and {other} gives {rng.randint(2, 90)} more. How many?"
        else:
            text = f"Draft a clause on {rng.choice(CLAUSES)} between {one} and {other}, number {number}."
        agent = "large" if rng.random() < TO_LARGE[kind] else "small"
        success = rng.random() < RATES[agent, kind]
        found.append(TrafficLine(kind=kind, text=text, agent=agent, success=success, dollars=DOLLARS[agent]))
    return found
