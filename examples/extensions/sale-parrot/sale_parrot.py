"""A provider of models: a model that repeats what it was asked, for trying things out without a model.

[[agents]]
name = "polly"
model = "parrot:grey"
price = 0.01
times = 2
"""

from __future__ import annotations

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage


def parrot(model: str, times: int = 1) -> FunctionModel:
    """A model of Pydantic AI, which may be any of its models or one of your own.

    Args:
        model: Given by sale: what stands after the colon.
        times: A setting of its own.
    """

    def repeat(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked = [part.content for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
        words = str(asked[-1]).split()[:20]
        text = " ".join([f"1. {model} parrot:", *(words * times), "\n2. That is all."])
        usage = RequestUsage(input_tokens=len(words), output_tokens=len(text.split()))
        return ModelResponse(parts=[TextPart(text)], usage=usage)

    return FunctionModel(repeat, model_name=model)
