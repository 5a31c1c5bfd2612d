"""Tests that talk to a real server over real sockets; see `tests.support.endpoint` for how it can misbehave."""

from __future__ import annotations

from tests.support.endpoint import endpoint, running_endpoint

__all__ = ["endpoint", "running_endpoint"]
