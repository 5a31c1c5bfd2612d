"""The base of all sections of `sale.toml`: strict, frozen, unknown keys refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema

from sale import extensions

# Strict: TOML has types of its own, so `true` or `"5"` where a number belongs is a mistake.
PLAIN = frozenset({"bool", "int", "float"})
"""Types that are taken strictly in every table, also in the rules that know nothing of settings."""
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Weight = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Positive = Annotated[int, Field(gt=0, strict=True)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""The name of an environment variable."""
Options = dict[str, Any]
"""Settings that an extension reads, as TOML gives them."""
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""The name of a header of HTTP."""


NEARLY = 0.8
"""The likeness of two keys, as `difflib` has it, from which one is taken for the other misspelt."""


def _hold_strictly(part: object, handler: GetCoreSchemaHandler, seen: set[int]) -> None:
    """Have all numbers and booleans within a part of a schema be strict."""
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, list | tuple):
        for one in cast("list[object]", part):
            _hold_strictly(one, handler, seen)
    elif isinstance(part, dict):
        node = cast("dict[str, object]", part)
        if node.get("type") in PLAIN:
            node["strict"] = True
        if node.get("type") == "definition-ref":
            _hold_strictly(handler.resolve_ref_schema(cast("CoreSchema", node)), handler, seen)
        for key, one in node.items():
            if key not in {"metadata", "serialization", "config", "default"}:
                _hold_strictly(one, handler, seen)


class Section(BaseModel):
    """A table of `sale.toml`."""

    # Inputs stay out of Pydantic's own messages: a key written in the wrong place must not end up in a traceback.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler, /) -> CoreSchema:
        """The usual schema, with numbers and booleans that must be such: `judge = "no"` is refused."""
        schema = handler(source)
        _hold_strictly(schema, handler, set())
        return schema

    @property
    def mentions(self) -> set[str]:
        """Names of the fields that were given. Where all were, as in a dump, those that are not at their default."""
        fields = type(self).model_fields
        if len(self.model_fields_set) < len(fields):
            return self.model_fields_set
        return {
            name
            for name, field in fields.items()
            if getattr(self, name) != cast("object", field.get_default(call_default_factory=True, validated_data={}))
        }


class ExtensionSection(Section):
    """A table that names an extension by its kind, and holds the extension's own settings beside the common keys."""

    group: ClassVar[extensions.Group]
    """Where the kind is looked up."""

    kind: str
    """Which extension: its name, or `package.module:Name`."""
    options: Options = {}
    """Its own settings: every other key of the table."""

    @model_validator(mode="before")
    @classmethod
    def _own_keys(cls, value: object) -> object:
        return gather_options(value, cls.model_fields)

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        return extensions.check_name(cls.group, kind)

    def __hash__(self) -> int:
        """Equal tables have equal hashes; options may hold lists, which have none."""
        return hash((type(self), self.kind))


def gather_options(value: object, known: Collection[str], *, misspelt: bool = False) -> object:
    """A table in which the keys that are not known have become `options`; anything but a table as it is.

    Args:
        value: The table.
        known: The keys it has in any case.
        misspelt: Whether a key that is nearly a known one stays where it is, to be refused.
    """
    if not isinstance(value, Mapping):
        return value
    table = cast("Mapping[str, object]", value)
    own = {key: one for key, one in table.items() if key not in known}
    if misspelt:
        own = {key: one for key, one in own.items() if not difflib.get_close_matches(key, known, n=1, cutoff=NEARLY)}
    given = table.get("options", {})
    if not own or not isinstance(given, Mapping):
        return table
    rest = {key: one for key, one in table.items() if key not in own}
    return {**rest, "options": {**cast("Mapping[str, object]", given), **own}}


def is_address(address: str) -> bool:
    """Return whether an address has a host, and a port that there can be."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
