"""Models whose calls are paid from a purse, in the market's own calls and in tool loops."""

from __future__ import annotations

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from sale.agents.loop_usage import worst_loop_usage
from sale.auction.ledger import worst_usage
from sale.bench.trial.purse import Purse
from sale.models.asking import usage_of
from sale.models.protocol import GenerationRequest, Model, ModelWrapper, ToolModel
from sale.types import Price, Reply


class PaidModel(ModelWrapper):
    """A model, with every call set aside for before it is made."""

    def __init__(self, model: Model, purse: Purse, price: Price, answer_tokens: int) -> None:
        """Wrap it.

        Args:
            model: The model.
            purse: Pays.
            price: Dollars per million tokens.
            answer_tokens: The longest turn of a tool loop.
        """
        super().__init__(model)
        self._purse = purse
        self._price = price
        self._answer_tokens = answer_tokens

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """Ask, if the purse allows it. A call that fails is counted as the most it could have cost."""
        number = await self._purse.reserve(self._price.dollars(worst_usage(request.prompt, request.max_tokens)))
        try:
            reply = await self._model.generate(request)
        except BaseException:
            await self._purse.lose(number)
            raise
        await self._purse.pay(number, self._price.dollars(reply.usage))
        return reply

    async def for_tools(self) -> ToolModel:
        """The model of the tool loop, paid likewise."""
        return PaidToolModel(await self._model.for_tools(), self._purse, self._price, self._answer_tokens)


class PaidToolModel(WrapperModel):
    """The same in the tool loop of Pydantic AI."""

    def __init__(self, model: ToolModel, purse: Purse, price: Price, answer_tokens: int) -> None:
        """As `PaidModel`."""
        super().__init__(model)
        self._purse = purse
        self._price = price
        self._answer_tokens = answer_tokens

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask, if the purse allows it."""
        most = worst_loop_usage(messages, model_settings, model_request_parameters, self._answer_tokens)
        number = await self._purse.reserve(self._price.dollars(most))
        try:
            response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        except BaseException:
            await self._purse.lose(number)
            raise
        await self._purse.pay(number, self._price.dollars(usage_of(response)))
        return response
