"""The price of a tool's use, and the budget of one execution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True, slots=True)
class Fee:
    """The price of one call of a tool.

    Raises:
        ValueError: A price is not a number from 0 up.
    """

    per_call: float = 0.0
    """Dollars for a call that was answered."""
    per_second: float = 0.0
    """Dollars for each second it took, answered or not."""
    key: str = ""
    """The environment variable that holds the key it is billed to; empty where there is none."""

    def __post_init__(self) -> None:
        for name in ("per_call", "per_second"):
            value: float = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a price from 0 up, got {value!r}")

    def dollars(self, seconds: float, *, answered: bool) -> float:
        """Return the price of a call of so many seconds, in dollars."""
        return (self.per_call if answered else 0.0) + self.per_second * seconds


FREE = Fee()


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The limits of what one execution may spend. A field that is left out is not limited.

    It is looked at before each call: the one under way is finished, so the last prompt may go beyond.

    Raises:
        ValueError: A limit is not above 0.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    tokens: int | None = None
    """Tokens, input and output."""
    dollars: float | None = None
    """Dollars, of models and tools."""
    seconds: float | None = None
    """Wall time; no more than the agent's own `seconds`."""
    calls: int | None = None
    """Calls, of models and tools."""

    def __post_init__(self) -> None:
        for name in ("tokens", "dollars", "seconds", "calls"):
            value: float | None = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0, got {value!r}")
