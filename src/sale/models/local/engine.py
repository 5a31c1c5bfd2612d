"""llama.cpp in this process: one engine for each weights file, answering the OpenAI protocol on the loopback.

The engine is reached like any other endpoint, so there is one way to call a model. It listens on 127.0.0.1 only, on a
port of the system's choice, behind a key that no other process knows.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from sale.errors import MissingExtraError, ModelFileError

# Room for four calls of about four thousand tokens at once; they share it, so one long call may take more.
CONTEXT = 16_384
PARALLEL = 4
CACHE_MB = 256
"""Prompt prefixes kept for later calls: bid, judgement and refinement open with the same task."""

# Several engines think at once on the same cores. Threads that spin while they wait then take turns away from those
# that work, and everything crawls; a short spin costs a lone engine next to nothing.
SPIN = "1000"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalEndpoint:
    """Where a running engine answers."""

    base_url: str
    api_key: SecretStr


class LocalEngine:
    """One weights file, loaded on first use."""

    def __init__(
        self, gguf: Path, *, context: int | None = None, threads: int | None = None, parallel: int = PARALLEL
    ) -> None:
        """Nothing is loaded yet.

        Args:
            gguf: The weights.
            context: Tokens that all calls at one time share; `CONTEXT` unless given.
            threads: One for each core this process may use, unless given.
            parallel: How many calls are answered at one time; more wait.
        """
        self._gguf = gguf
        self._context = context or CONTEXT
        self._threads = threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._parallel = parallel
        self._lock = asyncio.Lock()
        self._server: Any = None
        self._endpoint: LocalEndpoint | None = None

    async def start(self) -> LocalEndpoint:
        """Load the weights if they are not; returns where the engine answers.

        Raises:
            MissingExtraError: llama.cpp is not installed.
            ModelFileError: The file cannot be loaded.
        """
        async with self._lock:
            if self._endpoint is None:
                key = secrets.token_urlsafe(24)
                self._server = await asyncio.to_thread(self._load, key)
                self._endpoint = LocalEndpoint(base_url=f"{self._server.listening_address}/v1", api_key=SecretStr(key))
            return self._endpoint

    async def aclose(self) -> None:
        """Unload; it can be started again."""
        async with self._lock:
            self._endpoint = None
            server, self._server = self._server, None
            if server is not None:
                await asyncio.to_thread(_drop, [server])
                del server

    def _load(self, key: str) -> object:
        llama = _llama()
        wanted = llama.CommonParams()
        wanted.model.path = str(self._gguf)
        wanted.n_ctx = self._context
        wanted.n_parallel = self._parallel
        wanted.kv_unified = True
        wanted.cpuparams.n_threads = self._threads
        wanted.cpuparams_batch.n_threads = self._threads
        wanted.cache_ram_mib = CACHE_MB
        wanted.api_keys = [key]
        wanted.hostnames = ["127.0.0.1"]
        wanted.port = 0
        wanted.ui = False
        wanted.verbosity = -1
        try:
            return llama.Server(wanted)
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelFileError(
                f"llama.cpp cannot load it: {error}", where=str(self._gguf), hint="Is it a whole GGUF file?"
            ) from error


def _llama() -> Any:  # noqa: ANN401  the extension has no types
    """The extension, imported when the first engine starts: it is heavy, and it is an extra."""
    if find_spec("xllamacpp") is None:
        raise MissingExtraError(
            "the embedded pool needs llama.cpp", hint="pip install 'sale[local]', or use agents with an endpoint."
        )
    os.putenv("GOMP_SPINCOUNT", SPIN)  # read once, when the library is loaded
    return import_module("xllamacpp")


def _drop(held: list[object]) -> None:
    """Let the last reference go in a thread: stopping an engine waits for the call it is in."""
    held.clear()
