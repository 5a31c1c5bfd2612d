"""A catalogue of one small model, for tests of downloads."""

from __future__ import annotations

import hashlib

import pytest

from sale.models.local import catalogue, weights
from sale.models.local.catalogue import CatalogueEntry, HubFile, WheelParts

PLACE = HubFile(repo="some/repo", revision="abc", file="weights.gguf")


def list_alone(monkeypatch: pytest.MonkeyPatch, content: bytes, parts: WheelParts) -> CatalogueEntry:
    """Have `tiny` be all there is, with this content, and no room be asked for beside it."""
    entry = CatalogueEntry(
        id="tiny",
        title="Tiny",
        parameters=1,
        context=8,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="Apache-2.0",
        hub=PLACE,
        wheels=parts,
    )
    monkeypatch.setattr(catalogue, "list_entries", lambda: (entry,))
    monkeypatch.setattr(weights, "ROOM", 0)
    return entry
