"""The gateways that a request has passed: told to each endpoint, as an endpoint may be a gateway, even the same one.

A gateway sets it for all that it does for one request; what asks an endpoint sends it on.
"""

from __future__ import annotations

from contextvars import ContextVar

HEADER = "x-sale-depth"
_passed: ContextVar[int] = ContextVar("sale_gateways_passed", default=0)


def enter_gateway(before: int) -> None:
    """Count this gateway, for the rest of the present task and the tasks it begins.

    Args:
        before: Gateways that the request had passed when it came.
    """
    _passed.set(before + 1)


def hop_headers() -> dict[str, str]:
    """Return the header of a request that is made for another one; none outside a gateway."""
    passed = _passed.get()
    return {HEADER: str(passed)} if passed else {}
