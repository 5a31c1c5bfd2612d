"""Weights by version, and which of them decide. Both only grow: a version never changes, a use is followed by the next.

A success model is kept once, by the SHA-256 of what it says: a version means something in one memory, a digest in all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, insert, select

from sale.errors import InputError
from sale.memory.records import WeightUse
from sale.memory.schema import success_models, weight_sets, weight_uses
from sale.memory.writing import Rows, add_model, next_revision, numbers
from sale.types import SuccessModel, Training, Weights, WeightSet

CHUNK = 500
_USED: Final = select(weight_uses.c.version).order_by(weight_uses.c.key.desc()).limit(1)


def add(connection: Connection, weights: Weights, training: Training) -> WeightSet:
    """The next version. Its source is that version, whatever it was before."""
    next_revision(connection)  # one at a time: versions are counted
    last = connection.execute(select(func.max(weight_sets.c.version))).scalar()
    version = 1 if last is None else last + 1
    rows = Rows()
    row = {
        "version": version,
        "made_at": datetime.now(UTC),
        "cost": float(weights.cost),
        "entropy": float(weights.entropy),
        "track": float(weights.track),
        "jurors": numbers(weights.jurors),
        "model": add_model(rows, weights.model),
        "training": _plain(training),
    }
    rows.add(weight_sets, row)
    rows.insert(connection)
    (added,) = _read(connection, version)
    return added


def use(connection: Connection, version: int | None) -> None:
    """From now on. Nothing is noted where that is so already.

    Raises:
        InputError: There is no such version.
    """
    known = select(weight_sets.c.version).where(weight_sets.c.version == version)
    if version is not None and connection.execute(known).scalar() is None:
        last = connection.execute(select(func.max(weight_sets.c.version))).scalar()
        there = "There are none yet: `sale fit` makes some." if last is None else f"The versions are 1 to {last}."
        raise InputError(f"there are no weights {version!r} in the memory", hint=there)
    key = next_revision(connection)
    if _used(connection) != version:
        connection.execute(insert(weight_uses), {"key": key, "version": version, "at": datetime.now(UTC)})


def in_use(connection: Connection, known: WeightSet | None = None) -> WeightSet | None:
    """Those auctions are decided by; `None`: the default ones. A version never changes, so one that is known will do.

    Args:
        connection: Reading.
        known: What was in use the last time.
    """
    version = _used(connection)
    if version is None:
        return None
    return known if known is not None and known.version == version else _read(connection, version)[0]


def list_versions(connection: Connection) -> tuple[WeightSet, ...]:
    """By version."""
    return _read(connection)


def list_uses(connection: Connection) -> tuple[WeightUse, ...]:
    """Return the versions that were in use, with the time each began, oldest first."""
    rows = connection.execute(select(weight_uses).order_by(weight_uses.c.key)).all()
    return tuple(WeightUse(version=row.version, at=row.at) for row in rows)


def read_models(connection: Connection, digests: Collection[str]) -> dict[str, SuccessModel]:
    """Models by their digests."""
    found: dict[str, SuccessModel] = {}
    wanted = sorted(digests)
    for start in range(0, len(wanted), CHUNK):
        query = select(success_models).where(success_models.c.digest.in_(wanted[start : start + CHUNK]))
        found.update((row.digest, _model(row.body)) for row in connection.execute(query).all())
    return found


def _model(body: Mapping[str, Any]) -> SuccessModel:
    """Models of the first version knew a shift after failures, which made a plan's worth hang on its order."""
    return SuccessModel(**{name: value for name, value in body.items() if name != "after_failure"})


def _used(connection: Connection) -> int | None:
    """The version in use."""
    return connection.execute(_USED).scalar()


def _read(connection: Connection, version: int | None = None) -> tuple[WeightSet, ...]:
    """That version, or all."""
    query = select(weight_sets).order_by(weight_sets.c.version)
    if version is not None:
        query = query.where(weight_sets.c.version == version)
    rows = connection.execute(query).mappings().all()
    models = read_models(connection, {row["model"] for row in rows if row["model"] is not None})
    used = _used(connection)
    return tuple(_weight_set(row, models.get(row["model"]), used) for row in rows)


def _weight_set(row: RowMapping, model: SuccessModel | None, used: int | None) -> WeightSet:
    version: int = row["version"]
    return WeightSet(
        version=version,
        weights=Weights(
            cost=row["cost"],
            entropy=row["entropy"],
            jurors=row["jurors"],
            track=row["track"] or 0.0,
            source=f"weights {version}",
            model=model,
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
