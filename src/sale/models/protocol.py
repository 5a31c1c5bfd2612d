"""The protocol of a model: a prompt in, a reply out, with usage and, where offered, log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic_ai.models import Model as ToolModel

from sale.types import Prompt, Reply

__all__ = ["SAMPLING_TEMPERATURE", "Model", "ToolModel"]

SAMPLING_TEMPERATURE = 0.7
"""Of answers beyond the first: the usual one of self-consistency (Wang et al. 2022, arXiv 2203.11171)."""


class Model(Protocol):
    """A language model that can be asked. Failures are raised as `CallError`."""

    async def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int,
        schema: Mapping[str, object] | None = None,
        measure: bool = False,
        sample: int = 0,
    ) -> Reply:
        """Ask once.

        Args:
            prompt: System and user text.
            max_tokens: The longest answer, in tokens.
            schema: JSON schema to hold the answer to, where the endpoint can.
            measure: Whether log-probabilities are wanted; the reply has them where the endpoint gives them.
            sample: Which of several independent answers. 0 is at the model's own temperature; others are drawn at
                `SAMPLING_TEMPERATURE` or above, seeded by their number where the endpoint knows seeds.

        Raises:
            CallError: No usable answer; the subclass says why and whether to try again.
        """
        ...

    async def for_tools(self) -> ToolModel:
        """The same model as Pydantic AI knows it, for its tool loop."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and weights. The model can be asked again afterwards, at the cost of opening anew."""
        ...
