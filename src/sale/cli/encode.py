"""Results as JSON, for machines: every field of the value, and the figures derived from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import cast

from sale.cli.streams import takes_unicode

# Derived values that repeat others at length.
LEFT_OUT = frozenset({"contenders"})


def encode(value: object) -> object:
    """A frozen value as plain JSON: dataclass fields first, then its properties, in the order they are declared."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        derived = [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        return {name: encode(getattr(value, name)) for name in (*names, *derived) if name not in LEFT_OUT}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in cast("list[object]", value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def document(kind: str, value: object, **beside: object) -> str:
    """One JSON document with its schema's name, `sale.<kind>/1`; the number changes when a field changes meaning.

    What stands beside the value in the document is given by name.
    Where standard output cannot take every character they are written as JSON's escapes, so that none is lost.
    """
    escaped = not takes_unicode(sys.stdout)
    whole = {"schema": f"sale.{kind}/1", kind: encode(value), **{name: encode(one) for name, one in beside.items()}}
    return json.dumps(whole, ensure_ascii=escaped, indent=2)
