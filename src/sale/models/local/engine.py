"""llama.cpp on this machine: one engine for each weights file, answering the OpenAI protocol on the loopback.

The engine is reached like any other endpoint, so there is one way to call a model. It listens on 127.0.0.1 only, on a
port of the system's choice, behind a key that no other process knows.

It runs in a process of its own (`host.py`). Inside this one it would stop the event loop for as long as it loads, and
closing it would wait for the calls it is in with everything stopped; and a fault in native code would take the market
with it. The process ends with this one, however this one ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import weakref
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Timer
from typing import IO

from pydantic import SecretStr

from sale.errors import MissingExtraError, ModelFileError
from sale.models.local.weights import check_gguf

CONTEXT = 8192
"""Tokens of one call, prompt and answer: all SmolLM2 can read, and half a gigabyte of memory for the 1.5B."""
PARALLEL = 2
"""Two calls at a time generate faster than one after the other. With more, calls that begin alike are read in several
places instead of once, which costs more than is won."""
BATCH = 256
"""Prompt tokens read in one go. A call that was given up is noticed in between, and others get their turn."""
CACHE_MB = 256
"""Prompt prefixes kept for later calls: bid, judgement and refinement open with the same task."""
# Several engines think at once on the same cores. Threads that spin while they wait then take turns away from those
# that work, and everything crawls; a short spin costs a lone engine little.
SPIN = "1000"
# Where engines take turns, a thread that sleeps while it waits only lets in whatever else the machine does.
SPIN_ALONE = "1000000"

START_SECONDS = 300.0
STOP_SECONDS = 5.0
HOST = Path(__file__).with_name("host.py")
OWN_BUILD = Path(__file__).with_name("own_build.py")
_REASON = re.compile(r" E .*?error loading model: (.+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalEndpoint:
    """Where a running engine answers."""

    base_url: str
    api_key: SecretStr


class LocalEngine:
    """One weights file, loaded on first use. It can be used from any thread and any event loop."""

    def __init__(
        self,
        gguf: Path,
        *,
        context: int | None = None,
        threads: int | None = None,
        parallel: int = PARALLEL,
        alone: bool = False,
        server: Path | None = None,
    ) -> None:
        """Nothing is loaded yet.

        Args:
            gguf: The weights.
            context: Tokens one call may take, prompt and answer; `CONTEXT` unless given. Never more than the model was
                trained for. Memory is taken for all of `parallel` such calls.
            threads: One for each core this process may use, unless given.
            parallel: How many calls are answered at one time; more wait.
            alone: No other engine works at the same time: threads wait for each other without sleeping.
            server: A `llama-server` of one's own, in place of the one in the wheel.
        """
        self._gguf = gguf
        self._context = context or CONTEXT
        self._threads = threads or usable_cores()
        self._parallel = parallel
        self._spin = SPIN_ALONE if alone else SPIN
        self._server = server
        self._lock = Lock()
        self._running: _EngineProcess | None = None

    @property
    def endpoint(self) -> LocalEndpoint | None:
        """Where the engine answers; `None` where it does not run."""
        running = self._running
        return running.endpoint if running is not None and running.alive else None

    async def start(self) -> LocalEndpoint:
        """Load the weights if they are not; returns where the engine answers. An engine that died is started again.

        Raises:
            MissingExtraError: llama.cpp is not installed.
            ModelFileError: The file cannot be loaded.
        """
        running = self._running
        if running is not None and running.alive:
            return running.endpoint
        return await asyncio.to_thread(self._start)

    async def aclose(self) -> None:
        """Unload, with calls in flight or not; it can be started again."""
        await asyncio.to_thread(self._stop)

    def _start(self) -> LocalEndpoint:
        with self._lock:
            if self._running is None or not self._running.alive:
                self._drop()
                self._running = self._spawn()
                # Also when the engine is forgotten, and when the interpreter ends.
                weakref.finalize(self, self._running.stop)
            return self._running.endpoint

    def _stop(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    def _spawn(self) -> _EngineProcess:
        if self._server is None and find_spec("xllamacpp") is None:
            raise MissingExtraError(
                "the embedded pool needs llama.cpp", hint="pip install 'sale[local]', or use agents with an endpoint."
            )
        key = secrets.token_urlsafe(24)
        settings = {
            "gguf": str(check_gguf(self._gguf)),
            "alias": self._gguf.stem,
            "context": self._context,
            "parallel": self._parallel,
            "threads": self._threads,
            "batch": BATCH,
            "cache_mb": CACHE_MB,
            "spin": self._spin,
            "key": key,
        }
        if self._server is not None:
            settings["server"] = str(self._server)
        log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        command = [sys.executable, "-P", str(OWN_BUILD if self._server else HOST)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)  # noqa: S603
        running = _EngineProcess(process, log, key=SecretStr(key))
        try:
            running.hear(settings, where=str(self._gguf))
        except BaseException:
            running.stop()
            raise
        return running


class _EngineProcess:
    """An engine's process."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], *, key: SecretStr) -> None:
        self._process = process
        self._log = log
        self._key = key
        self._address = ""
        self._slow = False

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._process.poll() is None

    @property
    def endpoint(self) -> LocalEndpoint:
        """Where it answers."""
        return LocalEndpoint(base_url=f"{self._address}/v1", api_key=self._key)

    def hear(self, settings: dict[str, str | int], where: str) -> None:
        """Tell it what to load, and wait until it answers."""
        # The key goes through the pipe: other users can read command lines.
        timer = Timer(START_SECONDS, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            line = self._exchange(json.dumps(settings).encode() + b"\n")
        finally:
            timer.cancel()
        answer: dict[str, str] = json.loads(line) if line else {}
        if "address" not in answer:
            raise ModelFileError(
                f"llama.cpp cannot load it: {self._reason(answer.get('error', ''))}",
                where=where,
                hint="Is it a whole GGUF file, and is there memory for it? A smaller `context` needs less.",
            )
        self._address = answer["address"]

    def stop(self) -> None:
        """End the process, whatever it is doing; nothing where it has ended."""
        self._close(self._process.stdin)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close(self._process.stdout)
        self._close(self._log)

    def _exchange(self, line: bytes) -> bytes:
        given, got = self._process.stdin, self._process.stdout
        if given is None or got is None:
            return b""
        try:
            given.write(line)
            given.flush()
        except BrokenPipeError:
            return b""
        return got.readline()

    def _give_up(self) -> None:
        self._slow = True
        self._process.kill()

    def _reason(self, said: str) -> str:
        """The most telling of: what llama.cpp logged, what it said, how its process ended."""
        self._log.seek(0)
        log = self._log.read().decode(errors="replace")
        if found := _REASON.search(log):
            return found[1]
        if self._slow:
            return f"it took more than {START_SECONDS:.0f} s"
        if said:
            return said
        code = self._process.wait()
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return (log.strip().splitlines() or [f"its process ended with code {code}"])[-1]

    @staticmethod
    def _close(file: IO[bytes] | None) -> None:
        if file is not None:
            with contextlib.suppress(OSError):  # a pipe that broke has nothing left to say
                file.close()


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores this process may use: those it is bound to, or fewer where a container has a quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit, period = quota.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(limit) / int(period))))
    except (OSError, ValueError):  # no control groups, or `max`
        return cores
