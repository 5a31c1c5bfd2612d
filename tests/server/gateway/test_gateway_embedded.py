"""The gateway over the embedded pool, as the shipped settings have it but for auctions, with the real client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from sale import config
from tests.server.gateway.conftest import Gateway
from tests.support.hang import HANG


@pytest.mark.slow
def test_a_conversation_with_the_embedded_pool(tmp_path: Path) -> None:
    shipped = config.parse(config.shipped_text()).under(hold="always")
    memory = shipped.memory.model_copy(update={"path": tmp_path / "memory.sqlite3"})
    asked: list[Any] = [{"role": "user", "content": "Write a Python function `add(a, b)` that adds two numbers."}]
    with (
        Gateway(shipped.model_copy(update={"memory": memory}), tmp_path / "server.sqlite3") as gateway,
        OpenAI(base_url=gateway.url, api_key="any", max_retries=0, timeout=HANG) as client,
    ):
        stream = client.chat.completions.create(model="sale", messages=asked, stream=True, max_tokens=60)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert text.strip()
        more: list[Any] = [
            *asked,
            {"role": "assistant", "content": text},
            {"role": "user", "content": "Now `sub(a, b)`."},
        ]
        second = client.chat.completions.with_raw_response.create(model="sale", messages=more, max_tokens=60)
        assert second.parse().choices[0].message.content
        one, two = gateway.lines()
        assert (one.session_id, one.auction_id, one.agent) == (two.session_id, two.auction_id, two.agent)
        assert one.auction_dollars > 0
        assert two.auction_dollars == 0
        assert two.cached_tokens > 0, "the prompt cache holds"
