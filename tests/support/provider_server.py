"""A server that speaks the own protocols of three providers of models, on the loopback: Anthropic, Google, Bedrock.

    with ProviderServer() as server:
        ... base_url = server.url ...
        assert server.asked[0].path == "/v1/messages"

It answers as tests' endpoints do: plans, ballots, work. A model named `limited` is refused once with 429, `refused`
always with 401 and the key it was sent; one named `status-504` always gets that status.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

PLAN = "1. Read the task. 2. Answer it."


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as it arrived."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any


class ProviderServer:
    """The server; a context manager."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._limited = False
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(path=unquote(self.path), headers=headers, body=body)
                served.asked.append(asked)
                status, answer = served.answer(asked)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: Asked) -> tuple[int, object]:
        """Status and body."""
        whole = f"{asked.path} {json.dumps(asked.body)}"
        if "refused" in whole:
            return 401, {"type": "error", "error": {"type": "auth", "message": f"no such key: {_key(asked)}"}}
        if "limited" in whole and not self._limited:
            self._limited = True
            return 429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
        if status := re.search(r"status-(\d{3})", whole):
            return int(status[1]), {"type": "error", "error": {"type": "api_error", "message": "gave up"}}
        text = PLAN if "numbered steps" in whole else "Forty-two."
        if asked.path == "/v1/messages":
            return 200, {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": asked.body["model"],
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 31, "output_tokens": 7},
            }
        if asked.path.endswith(":generateContent"):
            return 200, {
                "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 31, "candidatesTokenCount": 7, "totalTokenCount": 38},
                "modelVersion": "m",
                "responseId": "r",
            }
        if asked.path.endswith("/converse"):
            return 200, {
                "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 31, "outputTokens": 7, "totalTokens": 38},
                "metrics": {"latencyMs": 1},
            }
        return 404, {"message": f"nothing at {asked.path}"}


def _key(asked: Asked) -> str:
    return asked.headers.get("x-api-key") or asked.headers.get("x-goog-api-key") or asked.headers["authorization"]
