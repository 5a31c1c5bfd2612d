"""The settings of the dashboard, and where it finds the market."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sale.market import Market

MarketOf = Callable[[], Market]
"""The market in force: another one after the configuration was loaded again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DashboardSettings:
    """The settings of the dashboard."""

    password: str | None = None
    """Needed to see anything; `None`: everybody who reaches this machine's loopback address may look."""
    days: int = 7
    """Days a login lasts."""
