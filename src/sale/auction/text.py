"""Text that others wrote, made fit to be sent on and stored: pure functions."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text as any endpoint and store takes it: no half characters (lone surrogates), no NUL."""
    return text.encode(errors="replace").decode().replace("\0", "")


def clipped(text: str, size: int) -> str:
    """The text, or as much of it as fits into `size` bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")
