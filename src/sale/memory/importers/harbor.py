"""`result.json` of Harbor's trials (schema 1, Harbor 0.26) and `results.json` of Terminal-Bench 0.2.

A trial of Harbor names its agent and model, and holds tokens, dollars and the verifier's rewards; the reward called
`reward` decides, else the only one. Its task has a name and no text. Terminal-Bench writes the instruction and whether
the task was resolved, and does not say whose run it was: `--agent` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sale.memory.importers import fields
from sale.memory.importers.content import Content
from sale.memory.importers.past_work import PastWork, ReadOptions, RowError, Unit, agent_name, shorten, verdict_of
from sale.types import NO_JUDGE


class HarborResult:
    """Reads trials of Harbor and runs of Terminal-Bench."""

    name = "harbor"

    def recognises(self, content: Content, /) -> bool:
        """By the keys of a trial, or of a run of trials."""
        first = content.first()
        return {"trial_name", "task_name", "agent_info"} <= set(first) or _is_terminal_bench(first)

    def units(self, content: Content, /) -> Iterator[Unit]:
        """The trials."""
        for place, found in content.objects():
            if isinstance(found, RowError):
                yield Unit(place=place, fault=str(found))
            elif _is_terminal_bench(found) and "results" in found:
                for number, trial in enumerate(fields.items(found, "results")):
                    yield Unit(place=f"{place} results[{number}]".strip(), parts=(trial,))
            else:
                yield Unit(place=place, parts=(found,))

    def works(self, unit: Unit, options: ReadOptions, /) -> Iterator[PastWork]:
        """The work of one trial."""
        trial = unit.parts[0]
        if "instruction" in trial or "is_resolved" in trial:
            yield _terminal_bench(trial, options)
        else:
            yield _harbor(trial, options)


def _is_terminal_bench(first: Mapping[str, Any]) -> bool:
    results = first.get("results")
    trial = next(iter(fields.items(first, "results")), first) if isinstance(results, list) else first
    return {"trial_name", "task_id", "is_resolved"} <= set(trial)


def _terminal_bench(trial: Mapping[str, Any], options: ReadOptions) -> PastWork:
    task = fields.name(trial, "task_id")
    start = fields.time(trial, "agent_started_at", "trial_started_at")
    resolved = trial.get("is_resolved")
    failure = fields.text(trial, "failure_mode")
    return PastWork(
        row=fields.name(trial, "id", "trial_name"),
        agent=agent_name(options=options),
        task=fields.describe_value(trial.get("instruction")) or task,
        task_id=task,
        verdict=verdict_of(resolved, options),
        judged_by=NO_JUDGE if resolved is None else "tests",
        at=start,
        input_tokens=fields.whole_number(trial, "total_input_tokens"),
        output_tokens=fields.whole_number(trial, "total_output_tokens"),
        seconds=fields.seconds_between(start, fields.time(trial, "agent_ended_at", "trial_ended_at")),
        error=None if failure in {"", "unset", "none"} else failure,
    )


def _harbor(trial: Mapping[str, Any], options: ReadOptions) -> PastWork:
    agent = fields.inner(trial, "agent_info")
    model = fields.text(fields.inner(agent, "model_info"), "name")
    steps = [fields.inner(step, "agent_result") for step in fields.items(trial, "step_results")]
    contexts = [one for one in (fields.inner(trial, "agent_result"), *steps) if one]
    timing = fields.inner(trial, "agent_execution") or trial
    start = fields.time(timing, "started_at")
    reward = _reward(fields.inner(fields.inner(trial, "verifier_result"), "rewards"), options)
    task = fields.name(trial, "task_name")
    return PastWork(
        row=fields.name(trial, "id", "trial_name"),
        agent=agent_name(fields.text(agent, "name"), model, options=options),
        task=task,
        task_id=task,
        verdict=verdict_of(reward, options),
        judged_by=NO_JUDGE if reward is None else "tests",
        at=start,
        input_tokens=fields.total(fields.whole_number(one, "n_input_tokens") for one in contexts),
        output_tokens=fields.total(fields.whole_number(one, "n_output_tokens") for one in contexts),
        dollars=fields.total(fields.number(one, "cost_usd") for one in contexts),
        seconds=fields.seconds_between(start, fields.time(timing, "finished_at")),
        error=fields.text(fields.inner(trial, "exception_info"), "exception_type") or None,
    )


def _reward(rewards: Mapping[str, Any], options: ReadOptions) -> object:
    if not rewards:
        return None
    named = options.score or ("reward" if "reward" in rewards else None)
    if named is None and len(rewards) > 1:
        raise RowError(
            f"rewards: there are several, {shorten(', '.join(rewards))}; name the one that counts by --score"
        )
    chosen = named or next(iter(rewards))
    if chosen not in rewards:
        raise RowError(f"rewards: there is none of {shorten(chosen)}; there are {shorten(', '.join(rewards))}")
    return fields.number(rewards, chosen)
