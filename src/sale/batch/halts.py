"""Why a task of a batch cannot go on in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from sale.errors import SaleError, leaves_of

HaltReason = Literal["cap", "taken over", "memory", "endpoint"]


class BatchHaltError(BaseException):
    """A task cannot go on here. No `Exception`: the market contains those, and would put it down to an agent."""

    def __init__(self, reason: HaltReason, cause: SaleError | None = None) -> None:
        """Say why.

        Args:
            reason: The cap allows no further call, another process has the task, the memory cannot be written, or an
                endpoint does not say what has become of a job.
            cause: What is wrong with the memory or the endpoint.
        """
        super().__init__(reason)
        self.reason: HaltReason = reason
        self.cause = cause


def halts_in(error: BaseException) -> Iterator[BatchHaltError]:
    """Every halt in an error or a group of them."""
    yield from (one for one in leaves_of(error) if isinstance(one, BatchHaltError))
