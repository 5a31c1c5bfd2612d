"""Count how far a reader walks through the package to follow one run of it.

PYTHONPATH=.:src python scripts/walks.py [--list] [walk …]

A walk is one real run over the models of the tests' endpoint. In it
- stops are the functions and methods of `sale` that are entered, each once, in the order of their first calls;
- rooms are the modules they are in;
- returns are steps from one stop to the next that go back into a room left before.

Left out is what a reader passes over: properties, dunder methods, lambdas, comprehensions, validators, serializers, and
what runs while modules are loaded, which is done before. A gateway does several things at once, so its figures differ
by some from run to run; the others are the same every time. The script uses only such parts of the package and of its
tests as early commits have, too: in a worktree of one (`git worktree add --detach ../first f47a647`) the same command
with the path of this file counts that commit.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import import_module
from inspect import CO_OPTIMIZED, getmembers_static, isclass
from itertools import pairwise
from pathlib import Path
from pkgutil import walk_packages
from types import CodeType, FrameType

import httpx2

import sale
from sale import Market, ToolInfo, config
from sale.learning.fit import fit
from sale.types import Task
from sale.types.tools import Fee
from tests.learning.pools import auctions
from tests.server.gateway.conftest import Gateway
from tests.support.endpoint import Endpoint
from tests.support.pool import contractor

Stop = tuple[str, str]
SETTLE_SECONDS = 2.0
"""For which a gateway is left alone once it has started, so that its start is over."""
QUESTION = "Add the numbers from 1 to 10."


class LookUp:
    """A tool of the agent in the walk of an execution."""

    info = ToolInfo(name="look_up", description="looks a word up")
    fee = Fee()

    async def run(self, word: str) -> str:
        """Look a word up."""
        return f"found {word}"


class Recorder:
    """The stops while it is on."""

    def __init__(self, passed: frozenset[CodeType]) -> None:
        """Nothing is recorded yet; `passed` are functions that do not count."""
        self.stops: dict[Stop, None] = {}
        self._passed = passed
        self._on = False
        self._others: Collection[asyncio.Task[object]] = ()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Take a call down; called by the interpreter."""
        if not self._on or event != "call":
            return
        code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
        is_function = code.co_flags & CO_OPTIMIZED and not code.co_name.startswith(("<", "__"))
        if is_function and module.startswith("sale.") and code not in self._passed and _task() not in self._others:
            self.stops[module, code.co_qualname] = None

    @contextmanager
    def on(self, others: Collection[asyncio.Task[object]] = ()) -> Generator[None]:
        """Record within the block, but not what `others` do."""
        self._on, self._others = True, others
        try:
            yield
        finally:
            self._on = False

    def __str__(self) -> str:
        """Stops, rooms and returns, as cells of a table."""
        modules = [module for module, _ in self.stops]
        back = sum(new != old and new in modules[:at] for at, (old, new) in enumerate(pairwise(modules)))
        return f"{len(modules)} | {len(set(modules))} | {back}"


def _task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # another thread, or no task
        return None


async def run_task(recorder: Recorder, endpoint: Endpoint, _: Path) -> None:
    """`Market.run` among three agents, without a memory: bids, a panel, the work."""
    async with Market([contractor(endpoint, name, price=place) for place, name in enumerate("abc", 1)]) as market:
        with recorder.on():
            await market.run(QUESTION)


async def execute(recorder: Recorder, endpoint: Endpoint, _: Path) -> None:
    """An agent's work on a task, with one call of a tool."""
    agent = contractor(endpoint, "a", "tool-caller", tools=(LookUp(),), settings={"execution": "tools"})
    with recorder.on():
        await agent.execute(Task(text=QUESTION), None)
    await agent.aclose()


async def fit_weights(recorder: Recorder, _: Endpoint, __: Path) -> None:
    """`fit` of the default objective to 120 auctions."""
    examples = auctions(120)
    with recorder.on():
        fit(examples, "utility")


async def ask_gateway(recorder: Recorder, endpoint: Endpoint, folder: Path) -> None:
    """A conversation's first request to the gateway: an auction between two agents, and the answer."""
    price = {"input": 0.1, "output": 0.2}
    agents = [{"name": one, "endpoint": endpoint.base_url, "model": f"good@{one}", "price": price} for one in "ab"]
    memory = {"path": folder / "memory.sqlite3"}
    settings = config.Settings.model_validate({"agents": agents, "memory": memory})
    question = {"model": "sale", "messages": [{"role": "user", "content": QUESTION}]}
    with Gateway(settings, folder / "server.sqlite3") as gateway:
        await asyncio.sleep(SETTLE_SECONDS)
        with recorder.on(others=gateway.do(_all_tasks())):
            httpx2.post(f"{gateway.url}/chat/completions", json=question, timeout=60).raise_for_status()


async def _all_tasks() -> Collection[asyncio.Task[object]]:
    return asyncio.all_tasks()


WALKS: dict[str, Callable[[Recorder, Endpoint, Path], Coroutine[object, object, None]]] = {
    "task": run_task,
    "gateway": ask_gateway,
    "fit": fit_weights,
    "execution": execute,
}


def functions_passed() -> frozenset[CodeType]:
    """Load every module of the package, and return the code of properties, validators and serializers."""
    found: list[object] = []
    for one in walk_packages(sale.__path__, "sale."):
        with suppress(ImportError, AttributeError):  # an extra that is not installed, a script of Alembic's
            for _, kind in getmembers_static(import_module(one.name), isclass):
                found += _passed_in(kind)
    functions = (getattr(one, "__func__", one) for one in found)
    return frozenset(code for one in functions if isinstance(code := getattr(one, "__code__", None), CodeType))


def _passed_in(kind: type) -> Iterator[object]:
    for value in list(vars(kind).values()):
        match value:
            case property():
                yield from (value.fget, value.fset)
            case cached_property():
                yield value.func
            case _ if hasattr(value, "decorator_info"):  # a validator or serializer
                yield value.wrapped
            case _:
                pass


def walk(name: str, passed: frozenset[CodeType]) -> Recorder:
    """Go one walk."""
    recorder = Recorder(passed)
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    try:
        with Endpoint() as endpoint, tempfile.TemporaryDirectory() as folder:
            asyncio.run(WALKS[name](recorder, endpoint, Path(folder)))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return recorder


def main() -> None:
    """Print the walks as a table, with `--list` every stop, too."""
    names = [one for one in sys.argv[1:] if one != "--list"] or list(WALKS)
    passed = functions_passed()
    lines = ["| walk | stops | rooms | returns |", "|---|---:|---:|---:|"]
    for name in names:
        found = walk(name, passed)
        lines.append(f"| {name} | {found} |")
        if "--list" in sys.argv:
            lines += [f"  {module}: {function}" for module, function in found.stops]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
