"""Making a virtual key: its limits and a new secret."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from sale.errors import InputError
from sale.memory.tenants import check_name
from sale.server.store import secrets
from sale.server.store.keys import KeyRow
from sale.server.store.periods import nano
from sale.server.store.types import Period
from sale.types.labels import Requirements


class KeyOptions(TypedDict, total=False):
    """The fields of `KeyLimits`, as keyword arguments."""

    budget: float | None
    period: Period | None
    rpm: int | None
    tpm: int | None
    agents: Iterable[str] | None
    expires: datetime | None
    tenant: str | None
    require: str | None


MAX_STORED = 2**62
"""Nano-dollars, requests or tokens that a database has room for, twice over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyLimits:
    """The limits of a key, as asked for."""

    budget: float | None = None
    """Dollars per period, or for its whole life; `None` for no limit."""
    period: Period | None = None
    """The calendar period, in UTC, after which the budget is whole again."""
    rpm: int | None = None
    """Requests per minute."""
    tpm: int | None = None
    """Tokens per minute, input and output."""
    agents: Iterable[str] | None = None
    """The agents it may use; `None` for all."""
    expires: datetime | None = None
    """When it ends."""
    tenant: str | None = None
    """The tenant of its auctions; `None` for a tenant of its own."""
    require: str | None = None
    """Labels that agents must have for its requests, `region=eu, retention=none`; `None` for none."""


def create_key(name: str, limits: KeyLimits, now: datetime) -> tuple[str, KeyRow]:
    """A new secret, and the key to keep.

    Raises:
        InputError: A limit is invalid, the name is empty or looks like a key, the end is past, a tenant cannot be
            called so, or requirements are not written as they should be.
    """
    _check(name, limits, now)
    secret, salt = secrets.new_secret(), secrets.new_salt()
    key = KeyRow(
        id=uuid.uuid4().hex[:12],
        name=name,
        prefix=secret[: secrets.SHOWN],
        salt=salt,
        digest=secrets.digest_of(secret, salt),
        budget=None if limits.budget is None else nano(limits.budget),
        period=limits.period,
        rpm=limits.rpm,
        tpm=limits.tpm,
        agents=None if limits.agents is None else frozenset(limits.agents),
        made_at=now,
        expires_at=limits.expires,
        revoked_at=None,
        tenant=None if limits.tenant is None else check_name(limits.tenant),
        require=None if limits.require is None else _requirements(limits.require),
    )
    return secret, key


def _requirements(given: str) -> str:
    try:
        return str(Requirements.parse(given))
    except ValueError as error:
        raise InputError(f"a requirement {error}", hint="For example: region=eu|ch, retention=none") from None


def _check(name: str, limits: KeyLimits, now: datetime) -> None:
    budget, expires = limits.budget, limits.expires
    rates = [rate for rate in (limits.rpm, limits.tpm) if rate is not None]
    if not name.strip():
        raise InputError("the key has no name", hint="Say whose it is, or what for.")
    if name.startswith(secrets.MARK):
        raise InputError("the name looks like a key", hint="A name is shown in lists and on reports.")
    if budget is not None and not (0 < budget < MAX_STORED / 1e9 and nano(budget)):
        raise InputError(f"a budget is an amount of dollars above 0, and below {MAX_STORED / 1e9:,.0f}, not {budget!r}")
    if limits.period is not None and budget is None:
        raise InputError(f"a period ({limits.period!r}) needs a budget", hint="Give the dollars per period, too.")
    if wrong := [rate for rate in rates if not 1 <= rate < MAX_STORED]:
        raise InputError(
            f"a rate limit is a whole number from 1 up, and no more than a database takes, not {wrong[0]!r}"
        )
    if expires is not None and (expires.tzinfo is None or expires <= now):
        raise InputError(f"a key cannot end at {expires}", hint="Give a time to come, with its zone.")
