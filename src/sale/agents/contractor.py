"""A language model as an agent of the market: it bids, judges and works over one model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from sale.agents.account import NO_BUDGET, ExecutionAccount, max_dollars
from sale.agents.execution import answer_directly, work_with_tools
from sale.agents.lookups import Lookup, WorkspaceLookup, look_with
from sale.agents.metered_model import MeteredModel
from sale.agents.prompts import work_prompt
from sale.agents.protocol import DirectEndpoint, OpenedTool, Tool
from sale.agents.repair import Workbench, answer_and_repair
from sale.agents.samples import SampledModel, best_of
from sale.agents.steps import work_in_steps
from sale.agents.tools.workspace.copy_tools import KIT
from sale.agents.tools.workspace.workspace import Workspace
from sale.agents.worklog import WorkItem
from sale.agents.workspace_run import work_in_workspace
from sale.auction.protocols import BidRequest, JudgeRequest, Juror, Look
from sale.config import STEP_WAYS, TOOL_WAYS, AgentSettings
from sale.errors import ConfigError
from sale.models.address import Located
from sale.models.protocol import GenerationRequest, Model
from sale.types import Execution, Price, Reply, Task, ToolInfo


class Contractor:
    """One agent of `sale.toml`, ready for work. How it bids, judges and executes is in its settings."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        price: Price,
        model: Model,
        tools: Sequence[Tool] = (),
        workbench: Workbench | None = None,
        workspace: Workspace | None = None,
        lookups: Sequence[Lookup] = (),
    ) -> None:
        """Nothing is opened; the model opens on the first call.

        Args:
            settings: Its section of `sale.toml`.
            price: Dollars per million tokens.
            model: What it thinks with.
            tools: What the environment offers; used with `execution = "tools"`, `"steps"` and `"choose"`.
            workbench: Where its code is tried; needed with `execution = "repair"`, of use with `samples`.
            workspace: The repository it works in, in place of answering.
            lookups: What it may look into before it bids, with `look` in its settings.

        Raises:
            ConfigError: It works by repair, without a workbench; or with tools, and draws several samples or has two of
                one name.
        """
        self._settings = settings
        self._price = price
        self._model = model
        self._workbench = workbench
        self._workspace = workspace
        self._lookups = tuple(lookups)
        self._tools = tuple(tools) if settings.execution in TOOL_WAYS else ()
        if settings.execution == "tools" and settings.samples > 1:
            raise ConfigError(
                "samples cannot be drawn from a tool loop: every one of them would be the same",
                where=f"agent {settings.name!r}",
                hint='Use samples with execution = "direct", "steps" or "repair".',
            )
        names = [tool.info.name for tool in self._tools]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(
                f"tools share a name: {', '.join(twice)}",
                where=f"agent {settings.name!r}",
                hint="Rename yours; python, search and read_page come with sale.",
            )
        if settings.execution == "repair" and workbench is None and workspace is None:
            raise ConfigError(
                'execution = "repair" needs a sandbox to try code in',
                where=f"agent {settings.name!r}",
                hint="Pass workbench=Workbench(sandbox=find_sandbox()).",
            )

    @property
    def name(self) -> str:
        """Unique in the pool."""
        return self._settings.name

    @property
    def price(self) -> Price:
        """Dollars per million tokens."""
        return self._price

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """Its tools."""
        if self._workspace is not None:
            return KIT if self._settings.execution in TOOL_WAYS else ()
        return tuple(tool.info for tool in self._tools)

    @property
    def juror(self) -> Juror | None:
        """Itself, unless its settings say `judge = false`."""
        return self if self._settings.judge else None

    @property
    def reach(self) -> DirectEndpoint | None:
        """Its model's endpoint, where it has one; its address says how requests there differ from the protocol."""
        if not isinstance(self._model, Located):
            return None
        return DirectEndpoint(
            address=self._model.address,
            follow_strategy=self._settings.follow_strategy,
            answer_tokens=self._settings.answer_tokens,
            seconds=self._settings.seconds,
            effort=self.effort,
            context=self._settings.context,
            tokens_per_minute=self._settings.tokens_per_minute,
            refuses=frozenset(self._settings.refuses),
        )

    @property
    def effort(self) -> str | None:
        """The reasoning effort it works at; the model's own where it is `None`."""
        return self._settings.effort

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        """The tools it can look into before it bids."""
        return self._lookups

    @property
    def looks(self) -> int:
        """The most calls its looks at one task make; 0 where it has nothing to look into."""
        return min(self._settings.look, len(self.lookups))

    @property
    def look_dollars(self) -> float:
        """The most its looks at one task can cost, in dollars."""
        seconds = self._settings.seconds
        return sum(lookup.fee.dollars(seconds, answered=True) for lookup in self.lookups[: self.looks])

    async def look(self, task: Task, /) -> Look:
        """Look into its own tools, without changing anything there."""
        return await look_with(self.lookups, self.name, task, self._settings.look)

    @property
    def dearest(self) -> float | None:
        """Dollars that its budget allows, where it has one."""
        return max_dollars(self._settings.budget or NO_BUDGET, self._price)

    async def prepare(self) -> None:
        """Open the model: for one of the embedded pool, this loads its weights."""
        await self._model.for_tools()

    async def faults(self) -> tuple[str, ...]:
        """Return what it was given to work with and cannot reach, with why; nothing else is asked of it."""
        return ()

    async def bid(self, request: BidRequest, /) -> Reply:
        """Write a strategy, with log-probabilities where the endpoint gives them."""
        return await self._model.generate(
            GenerationRequest(request.prompt, max_tokens=request.max_tokens, measure=True)
        )

    async def judge(self, request: JudgeRequest, /) -> Reply:
        """Score strategies, held to the request's schema where the endpoint can."""
        return await self._model.generate(
            GenerationRequest(request.prompt, max_tokens=request.max_tokens, schema=request.schema, measure=True)
        )

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Do the task directly, with tools, in steps or by repair, once or several times, as the settings say."""
        account = ExecutionAccount(self.name, self._price, self._settings.budget or NO_BUDGET)
        model, most = MeteredModel(self._model, account), account.seconds(self._settings.seconds)

        async def work(number: int, seconds: float) -> Execution:
            return await self._work(SampledModel(model, number) if number else model, task, strategy, seconds, account)

        if self._settings.samples == 1 or self._workspace is not None:
            return account.complete(await work(0, most))
        return account.complete(await best_of(work, task, self._settings.samples, self._workbench, most))

    async def _work(
        self, model: Model, task: Task, strategy: str | None, seconds: float, account: ExecutionAccount
    ) -> Execution:
        shown = strategy if self._settings.follow_strategy else None
        item = WorkItem(
            agent=self.name,
            price=self._price,
            prompt=work_prompt(task, strategy=shown, tools=self.tools),
            followed_strategy=shown is not None,
            answer_tokens=self._settings.answer_tokens,
            seconds=seconds,
            turns=self._settings.turns,
            temperature=self._settings.temperature,
            choosing=self._settings.execution == "choose",
            opening=self._settings.execution == "consult",
            account=account,
        )
        if self._workspace is not None:
            return await work_in_workspace(model, self._workspace, item, task, shown, self._settings.execution)
        if self._tools:
            return await self._work_with_tools(model, item, task, shown)
        if self._settings.execution in STEP_WAYS:
            return await work_in_steps(model, (), item, task, shown)
        if self._workbench is not None and self._settings.execution == "repair":
            return await answer_and_repair(model, self._workbench, item, task, shown)
        return await answer_directly(model, item)

    async def _work_with_tools(self, model: Model, item: WorkItem, task: Task, strategy: str | None) -> Execution:
        """Work with tools; the state a tool keeps for this piece of work ends with it, however that ends."""
        async with AsyncExitStack() as stack:
            tools = [
                await stack.enter_async_context(tool.opened()) if isinstance(tool, OpenedTool) else tool
                for tool in self._tools
            ]
            if self._settings.execution in STEP_WAYS:
                return await work_in_steps(model, tools, item, task, strategy)
            return await work_with_tools(model, tools, item)

    def within(self, workspace: Workspace) -> Contractor:
        """The same agent over the same model, at work in a copy of a repository; closing this one closes both."""
        lookups = (WorkspaceLookup(workspace),)
        return Contractor(self._settings, price=self._price, model=self._model, workspace=workspace, lookups=lookups)

    async def aclose(self) -> None:
        """Close the model."""
        await self._model.aclose()
