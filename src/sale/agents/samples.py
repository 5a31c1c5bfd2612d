"""Several answers to one task, and the one to hand in: self-consistency (Wang et al. 2022, arXiv 2203.11171).

The first answer is the model's own, the others are sampled. A task with examples in its text takes the answer with
which most of them hold; any other the one that most agree on. It stops when more answers could not change the choice,
so an easy task costs one or two. Nothing but the task itself is looked at: no hidden test, no reference.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from sale.agents.options import chosen_option, shown_options
from sale.agents.repair import Workbench
from sale.agents.task_examples import TextExamples, examples_of, run_examples
from sale.agents.tools.web.citations import without_sources
from sale.agents.verify import normalise
from sale.errors import SandboxError
from sale.models.protocol import GenerationRequest, Model, ModelWrapper
from sale.types import Execution, Reply, Task

_NOTHING = -1


class SampledModel(ModelWrapper):
    """A model that gives its n-th sample whenever it is asked."""

    def __init__(self, model: Model, sample: int) -> None:
        """Wrap a model; whoever owns it closes it."""
        super().__init__(model)
        self._sample = sample

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """The sample of this number; see `Model.generate`. The tool loop has no samples."""
        return await self._model.generate(replace(request, sample=request.sample or self._sample))

    async def aclose(self) -> None:
        """Do nothing: the owner of the model closes it."""


async def best_of(
    work: Callable[[int, float], Awaitable[Execution]],
    task: Task,
    samples: int,
    workbench: Workbench | None,
    seconds: float,
) -> Execution:
    """Work on a task up to so often, and hand in one answer.

    Args:
        work: Does it, given the number of the sample and the seconds it may take.
        task: Its text may have examples.
        samples: How often at most.
        workbench: Where examples are run; without one, or where that fails, answers are compared as text.
        seconds: For all of them together; when they are over, the choice is among what is there.

    Returns:
        The chosen execution, with the calls, messages and seconds of all.
    """
    examples = examples_of(task.text) if workbench is not None else None
    done: list[Execution] = []
    held: list[int] = []
    until = time.monotonic() + seconds
    for number in range(samples):
        left = until - time.monotonic()
        if done and left <= 0:
            break
        execution = await work(number, left)
        done.append(execution)
        if examples is not None and workbench is not None:
            held.append(await _holding(execution.answer, examples, workbench))
            if held[-1] == len(examples):
                break
        elif decided(keys_of(task, [one.answer for one in done]), samples):
            break
    chosen = (
        held.index(max(held))
        if held and max(held) > _NOTHING
        else most_agreed(keys_of(task, [one.answer for one in done]))
    )
    return replace(
        done[chosen],
        mode=f"{done[chosen].mode}, best of {len(done)}",
        calls=tuple(call for one in done for call in one.calls),
        trace=tuple(line for one in done for line in one.trace),
        seconds=sum(one.seconds for one in done),
    )


def keys_of(task: Task, answers: Sequence[str]) -> list[str]:
    """Return the keys answers are compared by: the letter, where the task shows options, else the normalised text.

    Sources that answers cite are left out: two that say the same may have it from different places.
    """
    options = shown_options(task.text)
    bare = [without_sources(answer) for answer in answers]
    return [(chosen_option(answer, options) if len(options) > 1 else None) or normalise(answer) for answer in bare]


def most_agreed(keys: Sequence[str]) -> int:
    """The place of the first answer that most agree on; an empty one counts only where all are empty."""
    counts = Counter(key for key in keys if key)
    return max(range(len(keys)), key=lambda place: (counts[keys[place]], -place))


def decided(keys: Sequence[str], samples: int) -> bool:
    """Return whether the answers still to come cannot change which answer `most_agreed` hands in."""
    counts = Counter(key for key in keys if key)
    if not counts:
        return False
    leader = keys[most_agreed(keys)]
    left = samples - len(keys)
    # Of equals the first stands: a rival that came before the leader need only draw level, a later one must pass it.
    return (
        all(
            count + left < counts[leader] + (keys.index(rival) > keys.index(leader))
            for rival, count in counts.items()
            if rival != leader
        )
        and left <= counts[leader]
    )


async def _holding(answer: str, examples: TextExamples, workbench: Workbench) -> int:
    try:
        report = await run_examples(answer, examples, sandbox=workbench.sandbox, limits=workbench.limits)
    except SandboxError:
        return _NOTHING
    return report.passed if report.loaded else _NOTHING
