"""The guard of a server without keys: which requests it lets pass, and its answer while keys cannot be read."""

from __future__ import annotations

from typing import cast

import httpx
import pytest
from starlette.responses import PlainTextResponse

from sale.errors import StoreError
from sale.server.guard import OriginGuard
from sale.server.store.store import ServerStore

FOREIGN = "http://gateway.example"
HEALTH = ("/healthz", "/readyz", "/openapi.json")


class Keys:
    """A store with or without keys; `None` cannot be read."""

    def __init__(self, there: bool | None) -> None:
        self._there = there

    async def has_keys(self) -> bool:
        if self._there is None:
            raise StoreError("the database at db.internal is down")
        return self._there


async def ask(there: bool | None, path: str, base: str = FOREIGN, *, has_password: bool = False) -> httpx.Response:
    guard = OriginGuard(PlainTextResponse("served"), cast("ServerStore", Keys(there)), has_password=has_password)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url=base) as client:
        return await client.get(path)


@pytest.mark.parametrize("path", HEALTH)
@pytest.mark.parametrize("there", [None, False, True])
async def test_health_is_told_under_any_name(there: bool | None, path: str) -> None:
    assert (await ask(there, path)).text == "served"


async def test_while_keys_cannot_be_read_the_api_says_so() -> None:
    done = await ask(None, "/v1/models")
    assert (done.status_code, done.json()["error"]["code"]) == (503, "store_unavailable")
    assert "db.internal" not in done.text
    told = await ask(None, "/v1/messages")
    assert (told.status_code, told.json()["type"]) == (503, "error")


async def test_with_a_password_the_pages_stay_open_when_the_last_key_is_gone() -> None:
    for path in ("/keys", "/login", "/static/dashboard.css"):
        assert (await ask(False, path, has_password=True)).text == "served", path
        assert (await ask(False, path)).status_code == 403, path
    for path in ("/v1/models", "/metrics"):
        assert (await ask(False, path, has_password=True)).status_code == 403, path
        assert (await ask(True, path, has_password=True)).text == "served", path
        assert (await ask(False, path, "http://127.0.0.1:8127")).text == "served", path
