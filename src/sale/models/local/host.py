"""The process one engine lives in: llama.cpp's server on the loopback, gone as soon as whoever started it is.

`engine.py` runs this file by its path, so nothing of `sale` is imported here: it starts in a fraction of a second. It
reads its settings as one line of JSON from standard input, answers with one line of JSON, and ends when its input does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from typing import Any

ERRORS_ONLY = 1
"""llama.cpp's verbosity. They go to standard error, which `engine.py` keeps for its messages."""


def serve(wanted: dict[str, Any]) -> Any:  # noqa: ANN401  the extension has no types
    """Load the weights and listen; the server runs as long as the returned value lives."""
    os.putenv("GOMP_SPINCOUNT", wanted["spin"])  # read once, when the library is loaded
    llama = import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = wanted["gguf"]
    params.model_alias = {wanted["alias"]}
    params.n_ctx = wanted["context"] * wanted["parallel"]
    params.n_parallel = wanted["parallel"]
    # Each call has its own room. In a shared one, calls that together need more than there is all fail, minutes later.
    params.kv_unified = False
    params.n_batch = params.n_ubatch = wanted["batch"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wanted["threads"]
    params.cache_ram_mib = wanted["cache_mb"]
    params.api_keys = [wanted["key"]]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.ui = False
    params.verbosity = ERRORS_ONLY
    return llama.Server(params)


def main() -> None:
    """Serve until standard input ends."""
    # A terminal sends Ctrl-C to the whole group: who started this decides when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The answer's channel is kept apart: whatever the library prints must not be taken for it.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        wanted = json.loads(sys.stdin.readline())
        try:
            server = serve(wanted)
            answer = {"address": server.listening_address}
        except (RuntimeError, ValueError, OSError) as error:
            server, answer = None, {"error": str(error)}
        out.write(json.dumps(answer) + "\n")
    if server is not None:
        sys.stdin.read()
    # No farewell: llama.cpp's own waits for the calls it is in, and there is nothing to save.
    os._exit(0)


if __name__ == "__main__":
    main()
