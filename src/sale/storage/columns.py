"""Column types that keep every value exactly, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import UTC, datetime
from typing import Final, cast

from sqlalchemy import DateTime, Dialect, Double, Text
from sqlalchemy.types import TypeDecorator

# PostgreSQL refuses NUL in text, and UTF-8 has no lone surrogates, but a model can write both.
_MARK = "\x10"
_UNSTORABLE = re.compile("[\x00\x10\ud800-\udfff]")
_ESCAPED = re.compile(_MARK + "([0-9a-f]{4})")

NAMES: Final = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""Naming rules of constraints and indexes, so that migrations can name them on any database."""


def text_digest(text: str) -> str:
    """SHA-256 of a text, in hex. Tasks with the same are one past task to recall."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


class ExactText(TypeDecorator[str]):
    """Any Python string. What a database cannot hold is written as a mark (U+0010) and four hex digits."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  SQLAlchemy's shape
        """Escape on the way in."""
        if value is None or (value.isascii() and "\x00" not in value and _MARK not in value):
            return value  # most texts, and this is several times as fast as to look for all there could be
        return _UNSTORABLE.sub(lambda found: f"{_MARK}{ord(found[0]):04x}", value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Back on the way out."""
        if value is None or _MARK not in value:
            return value
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)


class RealNumber(TypeDecorator[float]):
    """Any float that is known. SQLite has no NaN: it is stored as null, so the column is nullable, and comes back."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:  # noqa: ARG002
        """SQLite turns NaN into null by itself; the same everywhere."""
        return None if value is None or math.isnan(value) else value

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:  # noqa: ARG002
        """Null was NaN."""
        return math.nan if value is None else value


class JsonText(TypeDecorator[object]):
    """JSON as ASCII text. A value JSON does not know is kept as its `str`: a record is worth more than its purity."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str:  # noqa: ARG002
        """To text; every value goes in, `None` as `null`."""
        return json.dumps(value, default=str, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:  # noqa: ARG002
        """From text."""
        return None if value is None else cast("object", json.loads(value))


class UtcTime(TypeDecorator[datetime]):
    """An instant, to the microsecond. Always aware, always UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """To UTC; a time without a zone is refused, because its instant is unknown."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """SQLite gives the zone back bare."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
