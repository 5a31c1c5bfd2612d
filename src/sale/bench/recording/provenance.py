"""The provenance of a recorded run: models, tasks, versions, machine. The same names mean the same things later."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sale.bench.tasks.schema import BenchTask
from sale.config import AgentSettings, Settings, llama_server
from sale.models.local.catalogue import find as find_model

PACKAGES = ("sale", "xllamacpp", "pydantic-ai-slim", "numpy")


def versions() -> dict[str, str]:
    """Of what the run depends on."""
    return {package: version(package) for package in PACKAGES} | engine()


def run_line(note: str, settings: Settings, tasks: Sequence[BenchTask], *, width: int) -> dict[str, Any]:
    """A line of kind `run`.

    Args:
        note: For readers of the record.
        settings: The pool as it is recorded.
        tasks: All that are to be recorded.
        width: Calls of one model made at once.
    """
    return {
        "kind": "run",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "note": note,
        "settings": kept_settings(settings),
        "corpora": corpora_of(settings),
        "models": {agent.name: identity(agent) for agent in settings.agents},
        "tasks": digest_of(tasks),
        "calls at once": width,
        "versions": versions(),
        "machine": machine(),
    }


def identity(agent: AgentSettings) -> str:
    """Return a model's lasting identity: the digest of its weights, or its endpoint and the name it has there."""
    if agent.local is not None:
        return f"{agent.local}@{find_model(agent.local).sha256[:12]}"
    if agent.gguf is not None:
        return f"{agent.gguf.name}@{hashlib.sha256(agent.gguf.read_bytes()).hexdigest()[:12]}"
    return f"{agent.model} at {agent.endpoint or agent.base_url or agent.provider}"


def corpora_of(settings: Settings) -> dict[str, str]:
    """The digests of agents' own passages, by agent."""
    return {
        agent.name: hashlib.sha256(agent.tools.search.corpus.read_bytes()).hexdigest()[:12]
        for agent in settings.agents
        if agent.tools is not None and agent.tools.search is not None and agent.tools.search.corpus is not None
    }


def kept_settings(settings: Settings) -> dict[str, Any]:
    """Settings as a record keeps them: of passages the name of the file, not where it lies on this machine."""
    kept = settings.model_dump(mode="json")
    for agent in kept["agents"]:
        own: dict[str, Any] = agent["tools"] or {}
        search: dict[str, Any] = own.get("search") or {}
        if search.get("corpus"):
            search["corpus"] = Path(search["corpus"]).name
    return kept


def digest_of(tasks: Sequence[BenchTask]) -> str:
    """SHA-256 over the digests of tasks, in order of their ids."""
    digests = {task.id: task.digest for task in sorted(tasks, key=lambda task: task.id)}
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def engine() -> dict[str, str]:
    """Which llama.cpp answers, where it is not the wheel's: another build rounds otherwise."""
    server = llama_server()
    if server is None:
        return {}
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    lines = (said.stdout + said.stderr).strip().splitlines()
    digest = hashlib.sha256(server.read_bytes()).hexdigest()[:12]
    return {"llama server": f"{server.name}@{digest} {' '.join(lines[-2:])}"}


def machine() -> dict[str, Any]:
    """Return the machine of a run, without its name."""
    return {"system": platform.system(), "architecture": platform.machine(), "cores": os.cpu_count()}


def pool_of(settings: Mapping[str, Any]) -> tuple[object, ...]:
    """Of recorded settings, what all runs of a record must share: who takes part at what price, and when it is held."""
    agents = [(one["name"], one["price"]["blended"], one["follow_strategy"]) for one in settings["agents"]]
    return (*agents, settings["auction"].get("hold", "always"))
