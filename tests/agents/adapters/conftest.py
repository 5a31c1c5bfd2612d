"""The test endpoint's fixtures, for agents that think at it."""

from tests.support.endpoint import endpoint, running_endpoint

__all__ = ["endpoint", "running_endpoint"]
