"""Embeddings: the real model in this process, and a real endpoint that behaves or does not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from sale.errors import (
    BadReplyError,
    CallError,
    MissingExtraError,
    ModelFileError,
    RateLimitedError,
    RejectedError,
    ServerError,
    UnreachableError,
)
from sale.models import embedding
from sale.models.embedding import Embedder, MiniLMEmbedder
from sale.models.endpoint_embedding import EndpointEmbedder

TASK = "Write a Python function that reverses a list."
SAME = "Implement list reversal in Python."
OTHER = "Who was the first emperor of Rome?"


@pytest.fixture(scope="module")
def minilm() -> MiniLMEmbedder:
    return MiniLMEmbedder()


class TestMiniLM:
    async def test_a_paraphrase_is_nearer_than_something_else(self, minilm: MiniLMEmbedder) -> None:
        task, same, other = await minilm.embed([TASK, SAME, OTHER])
        assert task @ same > 0.6
        assert task @ other < 0.2

    async def test_rows_are_unit_vectors_of_single_precision(self, minilm: MiniLMEmbedder) -> None:
        rows = await minilm.embed([TASK, "", " ", "x", "你好 Ω 😀\x00", "half a pair: \ud800"])
        assert rows.shape == (6, minilm.dimensions)
        assert rows.dtype == np.float32
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(6), abs=1e-6)

    async def test_a_text_has_one_vector_whatever_it_comes_with(self, minilm: MiniLMEmbedder) -> None:
        texts = [TASK, "long " * 400, OTHER, ""]
        together = await minilm.embed(texts)
        alone = [(await MiniLMEmbedder().embed([text]))[0] for text in texts]
        assert np.array_equal(together, np.stack(alone))
        assert np.array_equal(together, await minilm.embed(texts))

    async def test_the_published_vector(self, minilm: MiniLMEmbedder) -> None:
        """The first numbers the full-precision model gives for this sentence; int8 weights are within a hundredth."""
        (row,) = await minilm.embed(["This is an example sentence"])
        assert row[:4] == pytest.approx([0.0677, 0.0635, 0.0487, 0.0793], abs=0.01)

    async def test_texts_are_cut_where_the_model_was_trained_to(self, minilm: MiniLMEmbedder) -> None:
        cut, longer, shorter = await minilm.embed(["word " * 254, "word " * 5000 + OTHER, "word " * 253])
        assert np.array_equal(cut, longer)
        assert not np.array_equal(cut, shorter)

    async def test_nothing_in_nothing_out(self, minilm: MiniLMEmbedder) -> None:
        rows = await minilm.embed([])
        assert rows.shape == (0, 384)
        assert rows.dtype == np.float32

    async def test_many_callers_at_one_time(self, minilm: MiniLMEmbedder) -> None:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(minilm.embed([TASK, OTHER])) for _ in range(8)]
        assert all(np.array_equal(call.result(), calls[0].result()) for call in calls)

    @pytest.mark.parametrize("missing", ["onnxruntime", "tokenizers", embedding.MODEL_PACKAGE])
    async def test_without_the_extra(self, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
        found = embedding.find_spec

        def without(name: str) -> ModuleSpec | None:
            return None if name == missing else found(name)

        monkeypatch.setattr(embedding, "find_spec", without)
        with pytest.raises(MissingExtraError) as caught:
            await MiniLMEmbedder().embed([TASK])
        assert "sale[local]" in caught.value.hint

    async def test_another_model_file_is_not_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedding, "MODEL_SHA256", "0" * 64)
        with pytest.raises(ModelFileError, match="not the one expected"):
            await MiniLMEmbedder().embed([TASK])

    def test_where_the_tokenizer_comes_from_is_said(self) -> None:
        notice = Path(embedding.__file__).parent / "data" / "NOTICE"
        assert "all-MiniLM-L6-v2 (Apache-2.0)" in notice.read_text(encoding="utf-8")


Answer = Callable[[dict[str, Any]], tuple[int, object]]


@contextmanager
def endpoint(answer: Answer) -> Generator[EndpointEmbedder]:
    """A server on the loopback that answers each request's body with a status and a body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body |= {"path": self.path, "key": self.headers["Authorization"]}
            status, said = answer(body)
            raw = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("x-should-retry", "false")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield EndpointEmbedder(
            base_url=f"http://127.0.0.1:{server.server_address[1]}/v1",
            model="small",
            dimensions=2,
            api_key=SecretStr("sk-secret-key"),
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def vectors(*rows: object, order: list[int] | None = None) -> dict[str, object]:
    numbers = order or list(range(len(rows)))
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in zip(numbers, rows, strict=True)]
    return {"object": "list", "model": "small", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


class TestEndpoint:
    async def test_vectors_in_the_order_of_the_texts_scaled_to_one(self) -> None:
        seen: list[dict[str, Any]] = []

        def answer(body: dict[str, Any]) -> tuple[int, object]:
            seen.append(body)
            return 200, vectors([0, 5], [3, 4], order=[1, 0])

        with endpoint(answer) as embedder:
            rows = await embedder.embed(["a", "b"])
        assert rows == pytest.approx(np.array([[0.6, 0.8], [0, 1]]))
        assert rows.dtype == np.float32
        (body,) = seen
        assert (body["path"], body["model"], body["input"]) == ("/v1/embeddings", "small", ["a", "b"])
        assert body["key"] == "Bearer sk-secret-key"

    async def test_nothing_is_asked_for_nothing(self) -> None:
        with endpoint(lambda body: (500, {})) as embedder:
            assert (await embedder.embed([])).shape == (0, 2)

    @pytest.mark.parametrize(
        ("status", "kind"), [(401, RejectedError), (404, RejectedError), (429, RateLimitedError), (503, ServerError)]
    )
    async def test_failures_are_told_apart(self, status: int, kind: type[CallError]) -> None:
        refusal = {"error": {"message": "no, sk-secret-key, not you", "type": "x"}}
        with endpoint(lambda body: (status, refusal)) as embedder, pytest.raises(CallError) as caught:
            await embedder.embed(["a"])
        assert type(caught.value) is kind
        assert "sk-secret-key" not in str(caught.value)
        assert "small" in caught.value.where

    async def test_nobody_there(self) -> None:
        gone = EndpointEmbedder(base_url="http://127.0.0.1:9/v1", model="m", dimensions=2)
        with pytest.raises(UnreachableError):
            await gone.embed(["a"])

    @pytest.mark.parametrize(
        "body",
        [
            vectors([1, 2]),
            vectors([1, 2], [1, 2, 3]),
            vectors([1, 2, 3], [1, 2, 3]),
            vectors([1, 2], [0, 0]),
            vectors([1, 2], [1, float("nan")]),
            vectors([1, 2], ["a", "b"]),
            vectors([1, 2], None),
            {"object": "list", "data": None},
            {"object": "list"},
            {},
            [],
            b"<html>",
            b"",
        ],
        ids=str,
    )
    async def test_an_answer_that_is_none(self, body: object) -> None:
        with endpoint(lambda _: (200, body)) as embedder, pytest.raises(BadReplyError):
            await embedder.embed(["a", "b"])


def test_both_are_embedders() -> None:
    both: list[Embedder] = [MiniLMEmbedder(), EndpointEmbedder(base_url="http://h/v1", model="m", dimensions=3)]
    assert [(one.name, one.dimensions) for one in both] == [("all-MiniLM-L6-v2-int8", 384), ("http://h/v1 m", 3)]


def test_the_runtime_reports_nothing_to_its_maker(tmp_path: Path) -> None:
    """Unless told not to, it leaves an id of the device and a queue of events below the home of the user."""
    program = "import asyncio; from sale import MiniLMEmbedder; asyncio.run(MiniLMEmbedder().embed(['a text']))"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", program], env=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [place for place in tmp_path.rglob("*") if place.is_file()] == []
