"""Fixtures of batches."""

from tests.support.endpoint import endpoint, running_endpoint

__all__ = ["endpoint", "running_endpoint"]
