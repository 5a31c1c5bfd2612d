"""Foreign words in the headers of a response: no sign in them ends the connection without an answer."""

from __future__ import annotations

import httpx2
import pytest

from sale.server.gateway.exchange import header_value
from tests.server.gateway.conftest import Serving
from tests.support.hang import HANG
from tests.support.replies import Json
from tests.support.wire import Wire

FIELDS = ["\x1f", "a\r\nset-cookie: b", "\x00", "\x7f", "日本", "é", "x" * 5000]


@pytest.mark.parametrize("path", ["/responses", "/messages"])
def test_the_names_of_lost_fields_may_hold_anything(serving: Serving, path: str) -> None:
    hello = [{"role": "user", "content": "Hi."}]
    asked: Json = {"input": "Hi."} if path == "/responses" else {"messages": hello, "max_tokens": 9}
    with Wire() as wire, serving(wire.agent("only")) as gateway:
        for field in FIELDS:
            for model, status in (("only", 200), ("sale", 200), ("another", 404)):
                body = {"model": model, field: 1, **asked}
                done = httpx2.post(f"{gateway.url}{path}", json=body, timeout=HANG)
                assert done.status_code == status, (field, done.text)
                assert "set-cookie" not in done.headers
                assert done.headers.get("x-sale-lost", "?")


@pytest.mark.parametrize(
    ("text", "value"),
    [("plain", b"plain"), ("a\r\nb", b"a??b"), ("\x1f\x7f\x00\t", b"????"), ("é", b"\xe9"), ("日", b"?"), ("", b"")],
)
def test_what_no_header_may_hold_is_a_question_mark(text: str, value: bytes) -> None:
    assert header_value(text) == value
