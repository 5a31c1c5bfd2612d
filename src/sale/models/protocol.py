"""The protocol of a model: a request in, a reply out, with usage and, where offered, log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Protocol

from pydantic_ai.models import Model as ToolModel

from sale.types import Prompt, Reply

__all__ = ["SAMPLING_TEMPERATURE", "GenerationRequest", "Model", "ModelWrapper", "ToolModel"]

SAMPLING_TEMPERATURE = 0.7
"""Of answers beyond the first: the usual one of self-consistency (Wang et al. 2022, arXiv 2203.11171)."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One request to a model."""

    prompt: Prompt
    """System and user text."""
    _: KW_ONLY
    max_tokens: int
    """The longest answer, in tokens."""
    schema: Mapping[str, object] | None = None
    """JSON schema to hold the answer to, where the endpoint can."""
    measure: bool = False
    """True where log-probabilities are wanted; the reply has them where the endpoint gives them."""
    sample: int = 0
    """Number of one of several independent answers. 0 is at the model's own temperature; others are drawn at
    `SAMPLING_TEMPERATURE` or above, seeded by their number where the endpoint knows seeds."""


class Model(Protocol):
    """A language model that can be asked. Failures are raised as `CallError`."""

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """Ask once.

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


class ModelWrapper:
    """A model around another one. It passes everything on; a subclass changes what it is for."""

    def __init__(self, model: Model) -> None:
        """Wrap a model."""
        self._model = model

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """Ask the wrapped model once; see `Model.generate`."""
        return await self._model.generate(request)

    async def for_tools(self) -> ToolModel:
        """The wrapped model for the tool loop of Pydantic AI."""
        return await self._model.for_tools()

    async def aclose(self) -> None:
        """Close the wrapped model."""
        await self._model.aclose()
