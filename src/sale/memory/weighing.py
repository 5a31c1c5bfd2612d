"""Weights by version, and which of them decide. Both only grow: a version never changes, a use is followed by the next.

A success model is kept once, by the SHA-256 of what it says: a version means something in one memory, a digest in all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sale.errors import InputError
from sale.memory.records import WeightUse
from sale.memory.schema import success_models, weight_sets, weight_uses
from sale.memory.writing import Rows, add_model, next_revision, numbers
from sale.types import SuccessModel, Training, Weights, WeightSet

CHUNK = 500


async def add(connection: AsyncConnection, weights: Weights, training: Training) -> WeightSet:
    """The next version. Its source is that version, whatever it was before."""
    await next_revision(connection)  # one at a time: versions are counted
    last = (await connection.execute(select(func.max(weight_sets.c.version)))).scalar()
    version = 1 if last is None else last + 1
    rows = Rows()
    row = {
        "version": version,
        "made_at": datetime.now(UTC),
        "cost": float(weights.cost),
        "entropy": float(weights.entropy),
        "jurors": numbers(weights.jurors),
        "model": add_model(rows, weights.model),
        "training": _plain(training),
    }
    rows.add(weight_sets, row)
    await rows.insert(connection)
    (added,) = await _read(connection, version)
    return added


async def use(connection: AsyncConnection, version: int | None) -> None:
    """From now on. Nothing is noted where that is so already.

    Raises:
        InputError: There is no such version.
    """
    known = select(weight_sets.c.version).where(weight_sets.c.version == version)
    if version is not None and (await connection.execute(known)).scalar() is None:
        last = (await connection.execute(select(func.max(weight_sets.c.version)))).scalar()
        there = "There are none yet: `sale fit` makes some." if last is None else f"The versions are 1 to {last}."
        raise InputError(f"there are no weights {version!r} in the memory", hint=there)
    key = await next_revision(connection)
    if await _used(connection) != version:
        await connection.execute(insert(weight_uses), {"key": key, "version": version, "at": datetime.now(UTC)})


async def in_use(connection: AsyncConnection) -> WeightSet | None:
    """Those auctions are decided by; `None`: the default ones."""
    version = await _used(connection)
    return None if version is None else (await _read(connection, version))[0]


async def every(connection: AsyncConnection) -> tuple[WeightSet, ...]:
    """By version."""
    return await _read(connection)


async def uses(connection: AsyncConnection) -> tuple[WeightUse, ...]:
    """What was put in use when, oldest first."""
    rows = (await connection.execute(select(weight_uses).order_by(weight_uses.c.key))).all()
    return tuple(WeightUse(version=row.version, at=row.at) for row in rows)


async def read_models(connection: AsyncConnection, digests: Collection[str]) -> dict[str, SuccessModel]:
    """Models by their digests."""
    found: dict[str, SuccessModel] = {}
    wanted = sorted(digests)
    for start in range(0, len(wanted), CHUNK):
        query = select(success_models).where(success_models.c.digest.in_(wanted[start : start + CHUNK]))
        found.update((row.digest, SuccessModel(**row.body)) for row in (await connection.execute(query)).all())
    return found


async def _used(connection: AsyncConnection) -> int | None:
    """The version in use."""
    latest = select(weight_uses.c.version).order_by(weight_uses.c.key.desc()).limit(1)
    return (await connection.execute(latest)).scalar()


async def _read(connection: AsyncConnection, version: int | None = None) -> tuple[WeightSet, ...]:
    """That version, or all."""
    query = select(weight_sets).order_by(weight_sets.c.version)
    if version is not None:
        query = query.where(weight_sets.c.version == version)
    rows = (await connection.execute(query)).mappings().all()
    models = await read_models(connection, {row["model"] for row in rows if row["model"] is not None})
    used = await _used(connection)
    return tuple(_weight_set(row, models.get(row["model"]), used) for row in rows)


def _weight_set(row: RowMapping, model: SuccessModel | None, used: int | None) -> WeightSet:
    version: int = row["version"]
    return WeightSet(
        version=version,
        weights=Weights(
            cost=row["cost"], entropy=row["entropy"], jurors=row["jurors"], source=f"weights {version}", model=model
        ),
        training=_training(row["training"]),
        made_at=row["made_at"].isoformat(),
        in_use=version == used,
    )


def _plain(training: Training) -> dict[str, object]:
    """As JSON has it, with numbers of Python's own: fits come from libraries that have others."""
    return {
        **asdict(training),
        "auctions": int(training.auctions),
        "judged": int(training.judged),
        "settings": {
            name: value if isinstance(value, str) else float(value) for name, value in training.settings.items()
        },
        "held_out": {name: [float(value) for value in values] for name, values in training.held_out.items()},
    }


def _training(kept: Mapping[str, Any]) -> Training:
    held_out: dict[str, tuple[float, float, float]] = {
        name: (mean, low, high) for name, (mean, low, high) in kept["held_out"].items()
    }
    changed: dict[str, Any] = {"held_out": held_out, "notes": tuple(kept["notes"])}
    return Training(**{**kept, **changed})
