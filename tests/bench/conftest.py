"""Tests of the bench talk to the same test endpoint as those over HTTP."""

from __future__ import annotations

from tests.support.endpoint import endpoint, running_endpoint

__all__ = ["endpoint", "running_endpoint"]
