"""Fitted weights and measured work of one pool, as files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

import numpy as np
from pydantic import TypeAdapter

from sale.config import AgentSettings, Settings
from sale.memory.prior import PriorWork
from sale.memory.track_records import TrackedWork
from sale.types import Training, Weights, WeightSet

WEIGHTS: Final = TypeAdapter(Weights)
TRAINING: Final = TypeAdapter(Training)
SOURCE: Final = "shipped"
SCHEMA: Final = "sale.shipped/1"
NAME: Final = "embedded"
DIGITS: Final = 6
"""Significant ones of fitted numbers: the rest are the machine's."""
MEASURED: Final = frozenset({"auto", "direct", "steps"})
"""Ways of working on record. Those that repair, or choose tools among many, come to other work at another cost."""
SEARCH: Final = "search"
"""The domain whose tasks were done with passages to search. Without any they are other tasks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolKnowledge:
    """The measured knowledge of a pool."""

    agents: Mapping[str, tuple[str, float]]
    """By name: its model in the catalogue, and its price in dollars per million tokens."""
    weights: Weights
    training: Training
    """The data the weights were fitted on, and the results on tasks they had not seen."""
    domains: Sequence[str]
    """Of each task."""
    work: PriorWork

    def knows(self, agents: Sequence[AgentSettings]) -> bool:
        """Return whether all these agents were measured, working as they do, without plans, and at this price."""
        return all(
            agent.price is not None
            and self.agents.get(agent.name) == (agent.local, agent.price.input)
            and agent.price.input == agent.price.output
            and agent.samples == 1
            and not agent.follow_strategy
            and agent.execution in MEASURED
            for agent in agents
        )

    @property
    def weight_set(self) -> WeightSet:
        """The weights as those of a memory are kept: version 0."""
        return WeightSet(version=0, weights=self.weights, training=self.training, made_at="")

    def of(self, *domains: str) -> PoolKnowledge:
        """The same with the work of some domains alone."""
        kept = [place for place, domain in enumerate(self.domains) if domain in domains]
        work = PriorWork(
            embedder=self.work.embedder,
            digests=[self.work.digests[place] for place in kept],
            vectors=self.work.vectors[kept],
            work=[self.work.work[place] for place in kept],
        )
        return replace(self, domains=[self.domains[place] for place in kept], work=work)

    def as_files(self) -> dict[str, bytes]:
        """The content of its files, by name."""
        tasks = [
            {"domain": domain, "text": text, "work": _rounded([(one.agent, one.verdict, one.dollars) for one in work])}
            for domain, text, work in zip(self.domains, self.work.digests, self.work.work, strict=True)
        ]
        document = {
            "schema": SCHEMA,
            "agents": self.agents,
            "embedder": self.work.embedder,
            "weights": _rounded(WEIGHTS.dump_python(self.weights, mode="json")),
            "training": _rounded(TRAINING.dump_python(self.training, mode="json")),
        }
        head = json.dumps(document, indent=1, ensure_ascii=False).removesuffix("\n}")
        lines = ",\n".join(f"  {json.dumps(task)}" for task in tasks)
        vectors = io.BytesIO()
        np.save(vectors, self.work.vectors.astype(np.float16), allow_pickle=False)
        text = f'{head},\n "tasks": [\n{lines}\n ]\n}}\n'
        return {f"{NAME}.json": text.encode(), f"{NAME}.npy": vectors.getvalue()}


def knowledge_of(settings: Settings) -> PoolKnowledge | None:
    """Return the knowledge of the pool that these settings describe; `None` where an agent of it was never measured."""
    if settings.jurors or any(agent.local is None or agent.tools is not None for agent in settings.agents):
        return None  # most pools: nothing needs to be read
    found = load_shipped()
    if not found.knows(settings.agents):
        return None
    return found if settings.tools.search is not None else found.of(*(set(found.domains) - {SEARCH}))


@cache
def load_shipped() -> PoolKnowledge:
    """Return the knowledge in the package."""
    return read(lambda name: files(__name__.rpartition(".")[0]).joinpath(name).read_bytes())


def read(content: Callable[[str], bytes]) -> PoolKnowledge:
    """Read files that `PoolKnowledge.as_files` made.

    Args:
        content: Of a file, by its name.
    """
    document: dict[str, Any] = json.loads(content(f"{NAME}.json"))
    vectors = np.load(io.BytesIO(content(f"{NAME}.npy")), allow_pickle=False).astype(np.float32)
    tasks: list[dict[str, Any]] = document["tasks"]
    return PoolKnowledge(
        agents={name: (model, price) for name, (model, price) in document["agents"].items()},
        weights=replace(WEIGHTS.validate_python(document["weights"]), source=SOURCE),
        training=TRAINING.validate_python(document["training"]),
        domains=[task["domain"] for task in tasks],
        work=PriorWork(
            embedder=document["embedder"],
            digests=[task["text"] for task in tasks],
            vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
            work=[
                [TrackedWork(agent=agent, verdict=verdict, dollars=dollars) for agent, verdict, dollars in task["work"]]
                for task in tasks
            ],
        ),
    )


def _rounded(value: object) -> Any:  # noqa: ANN401  what JSON holds
    """With numbers of a few digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in cast("dict[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in cast("Sequence[object]", value)]
    return value
