"""Addresses of the API: the same below `/v1` and without it, with a slash at the end and without one.

Clients differ in what they take for the base URL, and in how they put an address together.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX: Final = "/v1"
UNSERVED: Final = {
    "assistants": "assistants are kept at their provider",
    "audio": "speech is not paid for by the token, so no budget could hold here: ask its provider",
    "batches": "batches are not taken: send the requests one by one",
    "chat/completions": "chat completions are not kept: use /v1/responses to have answers kept",
    "complete": "this address of the past is not served: use /v1/messages",
    "containers": "no programs are run here",
    "conversations": "no conversation objects are kept here: go on with previous_response_id in /v1/responses, or name "
    "the conversation in the header x-sale-session",
    "evals": "evaluations run at their provider",
    "files": "no files are kept here: send a document within its message",
    "fine_tuning": "models are tuned at their provider",
    "images": "images are not paid for by the token, so no budget could hold here: ask their provider",
    "messages/batches": "batches are not taken: send the requests one by one",
    "moderations": "nothing is moderated here: ask a provider",
    "organization": "keys and budgets are on the dashboard, and in `sale keys`",
    "realtime": "calls are not served: use /v1/chat/completions, /v1/responses or /v1/messages",
    "responses/compact": "histories are not compacted here: send a shorter one",
    "responses/input_tokens": "tokens are counted at /v1/messages/count_tokens alone",
    "threads": "threads are kept at their provider: go on with previous_response_id in /v1/responses",
    "uploads": "no files are kept here: send a document within its message",
    "vector_stores": "no files are kept here: send a document within its message",
    "videos": "films are not paid for by the token, so no budget could hold here: ask their provider",
}
"""Addresses that clients know and that are not served, with what to do."""
SERVED: Final = ("chat", "completions", "embeddings", "feedback", "messages", "models", "rerank", "responses")
ROOTS: Final = frozenset({*SERVED, *(name.partition("/")[0] for name in UNSERVED)})
"""First parts of the API's addresses. None of them is a page of the dashboard."""


def api_path(path: str) -> str:
    """Return an address of the API as it is below `/v1`, without a slash at its end; any other one as it is."""
    if path.startswith(f"{PREFIX}{PREFIX}/"):  # a client that adds `/v1` to a base URL that has it
        path = path[len(PREFIX) :]
    elif path.startswith("/") and path[1:].partition("/")[0] in ROOTS:
        path = PREFIX + path
    if not path.endswith("/") or not path.startswith(f"{PREFIX}/"):
        return path
    bare = path.rstrip("/")
    return path if bare == PREFIX else bare


def is_api_path(path: str) -> bool:
    """Return whether an address is one of the API."""
    return api_path(path).startswith(f"{PREFIX}/")


class ApiPaths:
    """An ASGI application that knows each address of the API in one form, served in the others, too."""

    def __init__(self, app: ASGIApp) -> None:
        """Around `app`."""
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        if scope["type"] == "http":
            path = api_path(scope["path"])
            if path != scope["path"]:
                scope = {**scope, "path": path, "raw_path": path.encode()}
        return self._app(scope, receive, send)
