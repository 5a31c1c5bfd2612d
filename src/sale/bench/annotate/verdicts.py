"""Answers are judged while the annotator goes on, one at a time; what is not judged at the end is judged next time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sale.bench.annotate.session import AnnotationSession
from sale.bench.tasks.schema import BenchTask
from sale.errors import SaleError

Judge = Callable[[BenchTask, str], Awaitable[bool | None]]
"""Returns whether an answer is right, or `None` where that cannot be told; the judge of agents' answers."""

PATIENCE = 10.0
"""Seconds to finish judging in when the page is closed."""


class Verdicts:
    """Judges what was handed in."""

    def __init__(self, session: AnnotationSession, judge: Judge) -> None:
        """Nothing is judged yet.

        Args:
            session: Where answers come from and verdicts go.
            judge: Who decides.
        """
        self._session = session
        self._judge = judge
        self._wanted = asyncio.Event()
        self.problem = ""
        """Why an answer could not be judged; empty while all goes well."""

    def wake(self) -> None:
        """There may be something to judge."""
        self._wanted.set()

    async def run(self) -> None:
        """Judge whatever comes, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.catch_up()

    async def catch_up(self) -> None:
        """Judge what waits. An answer that fails to be judged stays, and `problem` says why."""
        problem = ""
        for task, answer in self._session.list_unjudged():
            try:
                right = await self._judge(task, answer)
            except SaleError as error:
                problem = f"{task.id}: {error}"
            else:
                self._session.record_verdict(task.id, right)
        self.problem = problem

    async def finish(self, running: asyncio.Task[None]) -> None:
        """Stop `running`, then judge what is left, within `PATIENCE`.

        A verdict that was being reached is reached anew: judging twice is harmless, and only one goes on record.
        """
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self.catch_up()
