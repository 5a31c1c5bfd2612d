"""Arguments of a market, looked at before anything is spent on them: a wrong one is a readable error."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Iterable
from typing import cast

from sale.agents.protocol import Agent
from sale.errors import InputError
from sale.types import Task

_OF_AN_AGENT = ("name", "price", "juror", "bid", "execute")


def as_task(task: object) -> Task:
    """The task, of its text or as it is.

    Raises:
        InputError: It is neither.
    """
    if isinstance(task, Task) and isinstance(cast("object", task.text), str):
        return task
    if not isinstance(task, str):
        raise InputError(f"a task is a str or a sale.Task of one, got {_shown(task)}")
    return Task(text=task)


def as_pool(agents: object) -> tuple[Agent, ...]:
    """The agents of a pool, in order.

    Raises:
        InputError: They are not iterable, one of them is not an agent, or two have one name.
    """
    if not isinstance(agents, Iterable) or isinstance(agents, str):
        raise InputError(f"a pool is a sequence of agents, got {_shown(agents)}", hint="Use `Market([agent])`.")
    pool = tuple(cast("Iterable[Agent]", agents))
    for one in pool:
        if isinstance(one, type):
            raise InputError(f"an agent of the pool is the class {one.__name__}", hint="Give one that is made of it.")
        if lacking := [name for name in _OF_AN_AGENT if not hasattr(one, name)]:
            raise InputError(f"an agent of the pool is {_shown(one)}: it has no {', no '.join(lacking)}")
    if twice := [name for name, count in Counter(one.name for one in pool).items() if count > 1]:
        raise InputError(f"agents of the pool share a name: {', '.join(twice)}", hint="Give each a name of its own.")
    return pool


def as_rows(tasks: object) -> AsyncIterable[object] | Iterable[object]:
    """Many tasks, as they are given.

    Raises:
        InputError: They are one text or task, or nothing to iterate over.
    """
    if isinstance(tasks, str | bytes | Task) or not isinstance(tasks, Iterable | AsyncIterable):
        raise InputError(f"tasks must be an iterable of tasks, got {_shown(tasks)}", hint="Use `market.map([task])`.")
    return cast("AsyncIterable[object] | Iterable[object]", tasks)


def check_kinds(**given: tuple[object, type]) -> None:
    """See whether arguments, where they are given, are of their kinds.

    Raises:
        InputError: One is not.
    """
    for name, (value, kind) in given.items():
        if value is not None and not isinstance(value, kind):
            raise InputError(f"{name} must be of sale's {kind.__name__}, got {_shown(value)}")


def check_verifier(verifier: object) -> None:
    """See whether a verifier, where there is one, can be one.

    Raises:
        InputError: It has no `verify`.
    """
    if verifier is not None and (isinstance(verifier, type) or not callable(getattr(verifier, "verify", None))):
        hint = "Wrap a function in `sale.Check(…)`." if callable(verifier) else ""
        raise InputError(f"a verifier has an async method `verify`, got {_shown(verifier)}", hint=hint)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
