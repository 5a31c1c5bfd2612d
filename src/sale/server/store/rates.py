"""Requests and tokens of the last minute, by key: a sliding window in steps of a second.

Within one process the limits are exact. Several processes tell each other every quarter of a second what they let
through, so together they may exceed a limit by what comes within that time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, delete, func, select

from sale.server.store.schema import rates
from sale.storage.writing import Upsert

PUT_RATES: Final = Upsert(rates)
WINDOW: Final = 60
FORGOTTEN_AFTER: Final = 2 * WINDOW
PROBED: Final = "probe"
"""Stands for a key where nothing but the database is asked; no key has such an id."""
Amount = list[int]
"""Requests and tokens."""


@dataclass(slots=True)
class RateWindow:
    """One key's last minute."""

    own: dict[int, Amount] = field(default_factory=dict[int, Amount])
    """By second since 1970, what this process let through."""
    others: dict[int, Amount] = field(default_factory=dict[int, Amount])
    """The same of all other processes, as last told."""
    untold: set[int] = field(default_factory=set[int])
    """Seconds of `own` that the others have not been told of."""
    telling: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    """By second, the amounts on their way to the others."""
    total: Amount = field(default_factory=lambda: [0, 0])
    """Requests and tokens in the window, by all processes."""
    slid: int = 0
    """The second the window was last moved to."""

    def slide(self, now: float) -> None:
        """Forget what is a minute old. A second leaves as a whole, so once a second is enough."""
        if self.slid == int(now):
            return
        self.slid = int(now)
        for seconds in (self.own, self.others):
            for second in [one for one in seconds if one <= now - WINDOW]:
                self._add(seconds.pop(second), -1)

    def note_told(self) -> None:
        """The others have been told; what was counted meanwhile they have not."""
        for second, amount in self.telling.items():
            if second not in self.own or tuple(self.own[second]) == amount:
                self.untold.discard(second)
        self.telling = {}

    def hear(self, others: dict[int, Amount]) -> None:
        """Take in what the others let through."""
        for amount in self.others.values():
            self._add(amount, -1)
        self.others = others
        for amount in others.values():
            self._add(amount, 1)

    def _add(self, amount: Amount, sign: int) -> None:
        self.total[0] += sign * amount[0]
        self.total[1] += sign * amount[1]

    def wait(self, which: int, more: int, limit: int, now: float) -> float | None:
        """Seconds until `more` fits under `limit`; `None` if it fits now.

        What is above the limit by itself fits when nothing else is in the window; refused, it could never be sent.
        """
        over = self.total[which] + min(more, limit) - limit
        if over <= 0:
            return None
        for second in sorted({*self.own, *self.others}):
            over -= self.own.get(second, (0, 0))[which] + self.others.get(second, (0, 0))[which]
            if over <= 0:
                return max(second + WINDOW - now, 0.0)
        return float(WINDOW)

    def count(self, second: int, requests: int, tokens: int) -> None:
        """Add to a second; tokens may be negative, where fewer were used than set aside."""
        amount = self.own.setdefault(second, [0, 0])
        amount[0] += requests
        amount[1] += tokens
        self.total[0] += requests
        self.total[1] += tokens
        self.untold.add(second)


class RateLimits:
    """The windows of all keys with limits."""

    def __init__(self, owner: str, clock: Callable[[], float] = time.time) -> None:
        """`owner` is this process's name among those that share the database."""
        self._owner = owner
        self._clock = clock
        self._windows: dict[str, RateWindow] = {}

    def request(self, key: str, rpm: int | None, tpm: int | None) -> float | None:
        """Let a request through and count it, or say how many seconds it has to wait."""
        now, window = self._window(key)
        waits = (
            window.wait(0, 1, rpm, now) if rpm is not None else None,
            window.wait(1, 1, tpm, now) if tpm is not None else None,
        )
        if (found := [wait for wait in waits if wait is not None]) != []:
            return max(found)
        window.count(int(now), 1, 0)
        return None

    def wait_for_tokens(self, key: str, tokens: int, tpm: int) -> float | None:
        """Seconds until so many tokens fit; `None` if they do now. Nothing is set aside."""
        now, window = self._window(key)
        return window.wait(1, tokens, tpm, now)

    def tokens(self, key: str, tokens: int, tpm: int | None) -> tuple[int, float | None]:
        """Set tokens aside: the second they were counted in, and how long to wait if they do not fit."""
        now, window = self._window(key)
        wait = None if tpm is None else window.wait(1, tokens, tpm, now)
        if wait is None:
            window.count(int(now), 0, tokens)
        return int(now), wait

    def correct(self, key: str, second: int, difference: int) -> None:
        """More or fewer tokens were used than set aside at `second`."""
        now, window = self._window(key)
        if second in window.own:
            window.count(second, 0, difference)
        elif difference > 0:  # what was set aside has left the window, what was used beyond it has just been used
            window.count(int(now), 0, difference)

    def _window(self, key: str) -> tuple[float, RateWindow]:
        now = self._clock()
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = RateWindow()
        window.slide(now)
        return now, window

    def is_in_use(self) -> bool:
        """Return whether there are counts to exchange."""
        return bool(self._windows)

    def prepare_exchange(self) -> Callable[[Connection], dict[str, dict[int, Amount]]]:
        """The transaction that tells what this process let through and hears of the others.

        What it has told is known as such once `hear` is given what it brought: of one that fails all is told again.
        """
        now = self._clock()
        for window in self._windows.values():
            window.slide(now)
        rows = [
            {"key": key, "owner": self._owner, "second": second, "requests": amount[0], "tokens": amount[1]}
            for key, window in self._windows.items()
            for second in sorted(window.untold)
            if (amount := window.own.get(second)) is not None
        ]
        for key in [key for key, window in self._windows.items() if not window.own]:
            del self._windows[key]
        for window in self._windows.values():
            window.telling = {second: tuple(window.own[second]) for second in window.untold if second in window.own}
            window.untold &= window.telling.keys()
        listening = sorted(self._windows)

        def tell(connection: Connection) -> dict[str, dict[int, Amount]]:
            PUT_RATES.write(connection, rows)
            connection.execute(delete(rates).where(rates.c.second < int(now) - FORGOTTEN_AFTER))
            return read_others(connection, listening, self._owner, now)

        return tell

    def trace(self) -> Callable[[Connection], None]:
        """The transaction that writes a row without meaning, in place of the last one: it is to be possible."""
        row = {"key": PROBED, "owner": self._owner, "second": int(self._clock()), "requests": 0, "tokens": 0}

        def write(connection: Connection) -> None:
            connection.execute(delete(rates).where(rates.c.key == PROBED))
            PUT_RATES.write(connection, [row])

        return write

    def hear(self, others: dict[str, dict[int, Amount]]) -> None:
        """Take in what `prepare_exchange` brought."""
        for key, window in self._windows.items():
            window.note_told()
            window.hear(others.get(key, {}))


def read_others(connection: Connection, listening: list[str], owner: str, now: float) -> dict[str, dict[int, Amount]]:
    """Return the counts that processes other than `owner` let through in the last minute, by key and second."""
    sums = (
        select(rates.c.key, rates.c.second, func.sum(rates.c.requests), func.sum(rates.c.tokens))
        .where(rates.c.key.in_(listening), rates.c.owner != owner, rates.c.second > int(now) - WINDOW)
        .group_by(rates.c.key, rates.c.second)
    )
    found: dict[str, dict[int, Amount]] = {}
    for key, second, requests, tokens in connection.execute(sums):
        found.setdefault(key, {})[second] = [int(requests), int(tokens)]
    return found
