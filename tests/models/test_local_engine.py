"""The engine: real llama.cpp on a tiny real model, over real HTTP, with real kills."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sale.agents.contractor import Contractor
from sale.agents.pool import build_agents
from sale.config import parse
from sale.errors import MissingExtraError, ModelFileError
from sale.models.local import engine as engine_module
from sale.models.local.engine import LocalEndpoint, LocalEngine, usable_cores
from sale.models.protocol import GenerationRequest
from sale.types import Prompt
from tests.support.hang import HANG
from tests.support.tiny_gguf import CONTEXT, write_tiny_gguf

VOTE = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 5}, "sure": {"type": "boolean"}},
    "required": ["score", "sure"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf")


@pytest.fixture(scope="module")
def slow_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with more layers: a long answer takes a good while."""
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "slow.gguf", layers=24)


@pytest.fixture(scope="module")
def running(tiny: Path) -> Iterator[LocalEndpoint]:
    engine = LocalEngine(tiny, context=1024, parallel=2)
    yield asyncio.run(engine.start())
    asyncio.run(engine.aclose())


async def post(endpoint: LocalEndpoint, body: dict[str, Any], *, key: str | None = None) -> httpx2.Response:
    token = key if key is not None else endpoint.api_key.get_secret_value()
    async with httpx2.AsyncClient(trust_env=False, timeout=HANG) as client:
        url = f"{endpoint.base_url}/chat/completions"
        return await client.post(url, json=body, headers={"Authorization": f"Bearer {token}"})


async def chat(endpoint: LocalEndpoint, text: str = "Hi there", **more: object) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 16, **more}
    answer = await post(endpoint, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def said(answer: dict[str, Any]) -> str:
    return answer["choices"][0]["message"]["content"]


def pid_of(engine: LocalEngine) -> int:
    assert engine._running is not None
    return engine._running._process.pid


def processor_seconds(engine: LocalEngine) -> float:
    """What the engine has worked so far, which no other process on the machine adds to."""
    fields = Path(f"/proc/{pid_of(engine)}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gone(pid: int, within: float = HANG) -> bool:
    """Whether a process that is not our child ends in time."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


class TestAnswers:
    async def test_only_this_machine_and_only_with_the_key(self, running: LocalEndpoint) -> None:
        assert running.base_url.startswith("http://127.0.0.1:")
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        assert (await post(running, body, key="guess")).status_code == 401
        assert (await post(running, body)).status_code == 200

    async def test_tokens_are_counted_and_cut_at_the_limit(self, running: LocalEndpoint) -> None:
        answer = await chat(running, max_tokens=7, ignore_eos=True)
        assert answer["choices"][0]["finish_reason"] == "length"
        usage = answer["usage"]
        assert usage["completion_tokens"] == 7
        assert usage["total_tokens"] == usage["prompt_tokens"] + 7
        longer = await chat(running, text="Hi there" + "!" * 10)
        assert longer["usage"]["prompt_tokens"] == usage["prompt_tokens"] + 10, "a byte is a token here"

    async def test_log_probabilities_are_the_models_own_whatever_the_sampling(self, running: LocalEndpoint) -> None:
        plain = await chat(running, max_tokens=1, logprobs=True, top_logprobs=20)
        hot = await chat(
            running, max_tokens=1, logprobs=True, top_logprobs=20, temperature=2, top_k=3, seed=1, ignore_eos=True
        )
        first = plain["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        assert len(first) == 20
        assert 0.05 < sum(math.exp(one["logprob"]) for one in first) <= 1.0001
        assert [one["logprob"] for one in first] == sorted((one["logprob"] for one in first), reverse=True)
        second = hot["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        assert [one["id"] for one in first] == [one["id"] for one in second]
        assert [one["logprob"] for one in first] == pytest.approx([one["logprob"] for one in second], abs=1e-3)

    async def test_a_schema_is_held_by_a_grammar(self, running: LocalEndpoint) -> None:
        """The model talks gibberish, so only the grammar can make this valid."""
        wanted = {"type": "json_schema", "json_schema": {"name": "vote", "strict": True, "schema": VOTE}}
        for text in ("Score it.", "Tell a story.", "¿Qué?"):
            vote = json.loads(said(await chat(running, text, response_format=wanted, max_tokens=200)))
            assert set(vote) == {"score", "sure"}
            assert vote["score"] in range(6)

    async def test_the_same_request_gets_the_same_answer(self, running: LocalEndpoint) -> None:
        greedy = {said(await chat(running)) for _ in range(3)}
        seeded = {said(await chat(running, temperature=1, seed=5)) for _ in range(3)}
        other = said(await chat(running, temperature=1, seed=6))
        assert len(greedy) == len(seeded) == 1
        assert other not in seeded

    async def test_a_shared_beginning_is_read_once(self, running: LocalEndpoint) -> None:
        beginning = "The task is as follows. " * 20
        first = await chat(running, f"{beginning}Bid.", max_tokens=1)
        second = await chat(running, f"{beginning}Judge.", max_tokens=1)
        assert first["timings"]["prompt_n"] > len(beginning)
        assert second["timings"]["prompt_n"] < 60

    async def test_calls_at_one_time_each_have_their_whole_context(self, running: LocalEndpoint) -> None:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(chat(running, letter * 900, max_tokens=50, ignore_eos=True)) for letter in "abc"]
        assert [call.result()["usage"]["completion_tokens"] for call in calls] == [50, 50, 50]

    async def test_too_long_a_prompt_is_refused_and_nobody_else_suffers(self, running: LocalEndpoint) -> None:
        body = {"messages": [{"role": "user", "content": "x" * 1100}], "max_tokens": 5}
        async with asyncio.TaskGroup() as group:
            other = group.create_task(chat(running, max_tokens=400, ignore_eos=True))
            answer = await post(running, body)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "exceed_context_size_error"
        assert other.result()["usage"]["completion_tokens"] == 400

    async def test_an_answer_ends_where_the_context_does(self, running: LocalEndpoint) -> None:
        answer = await chat(running, "x" * 900, max_tokens=5000, ignore_eos=True)
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["total_tokens"] <= 1024

    async def test_it_never_claims_more_than_the_model_was_trained_for(self, tiny: Path) -> None:
        engine = LocalEngine(tiny, context=2 * CONTEXT, parallel=1)
        try:
            body = {"messages": [{"role": "user", "content": "x" * (CONTEXT + 1)}], "max_tokens": 1}
            assert (await post(await engine.start(), body)).status_code == 400
        finally:
            await engine.aclose()


class TestLife:
    async def test_many_starts_are_one_engine(self, tiny: Path) -> None:
        engine = LocalEngine(tiny, context=256)
        try:
            async with asyncio.TaskGroup() as group:
                starts = [group.create_task(engine.start()) for _ in range(5)]
            assert len({start.result() for start in starts}) == 1
        finally:
            await engine.aclose()

    async def test_a_closed_engine_starts_again_with_another_key(self, tiny: Path) -> None:
        engine = LocalEngine(tiny, context=256)
        first = await engine.start()
        pid = pid_of(engine)
        await engine.aclose()
        await engine.aclose()
        assert gone(pid)
        second = await engine.start()
        try:
            assert first.api_key != second.api_key
            assert await chat(second)
        finally:
            await engine.aclose()

    async def test_an_engine_that_died_is_started_again(self, tiny: Path) -> None:
        engine = LocalEngine(tiny, context=256)
        await engine.start()
        os.kill(pid_of(engine), signal.SIGKILL)
        assert engine._running is not None
        await asyncio.to_thread(engine._running._process.wait)
        try:
            assert await chat(await engine.start())
        finally:
            await engine.aclose()

    async def test_agents_that_share_an_engine_that_died_are_answered_again(
        self, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And it ends with the last of them."""
        spawned: list[engine_module._EngineProcess] = []
        spawn = LocalEngine._spawn

        def noted(engine: LocalEngine) -> engine_module._EngineProcess:
            spawned.append(spawn(engine))
            return spawned[-1]

        monkeypatch.setattr(LocalEngine, "_spawn", noted)
        table = f'gguf = "{tiny}"\ncontext = 256\nprice = 1.0\n'
        one, two = build_agents(parse(f'[[agents]]\nname = "one"\n{table}[[agents]]\nname = "two"\n{table}'))
        assert isinstance(one, Contractor)
        assert isinstance(two, Contractor)
        asked = GenerationRequest(Prompt(system="", user="Hi there", template="test"), max_tokens=4)
        try:
            for agent in (one, two):
                await agent._model.generate(asked)
            (first,) = spawned
            first._process.kill()
            await asyncio.to_thread(first._process.wait)
            for agent in (one, two):
                await agent._model.generate(asked)
            assert len(spawned) == 2
            await one.aclose()
            await two._model.generate(asked)
        finally:
            await one.aclose()
            await two.aclose()
        assert len(spawned) == 2
        assert not spawned[1].alive

    async def test_a_call_that_is_given_up_frees_its_place(self, slow_file: Path) -> None:
        engine = LocalEngine(slow_file, context=CONTEXT, parallel=1)
        endpoint = await engine.start()
        try:
            begun = processor_seconds(engine)
            await chat(endpoint, max_tokens=400, ignore_eos=True)
            part = processor_seconds(engine) - begun
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(chat(endpoint, max_tokens=3900, ignore_eos=True), 0.5)
            begun = processor_seconds(engine)
            await chat(endpoint, max_tokens=1)
            worked = processor_seconds(engine) - begun
        finally:
            await engine.aclose()
        assert worked < 5 * part, f"worked {worked:.1f} s more, and a tenth of the call takes {part:.1f} s"

    async def test_closing_does_not_wait_for_the_call_it_is_in(
        self, slow_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_module, "STOP_SECONDS", HANG)
        engine = LocalEngine(slow_file, context=CONTEXT, parallel=1)
        call = asyncio.create_task(chat(await engine.start(), max_tokens=3900, ignore_eos=True))
        await asyncio.sleep(0.5)
        assert engine._running is not None
        process = engine._running._process
        await engine.aclose()
        assert process.returncode != -signal.SIGKILL, "it was killed for being slow"
        with pytest.raises(httpx2.HTTPError):
            await call

    async def test_a_terminals_interrupt_is_not_for_the_engine(self, tiny: Path) -> None:
        engine = LocalEngine(tiny, context=256)
        endpoint = await engine.start()
        try:
            os.kill(pid_of(engine), signal.SIGINT)
            await asyncio.sleep(0.2)
            assert await chat(endpoint)
        finally:
            await engine.aclose()

    async def test_the_key_is_on_no_command_line(self, tiny: Path) -> None:
        engine = LocalEngine(tiny, context=256)
        endpoint = await engine.start()
        try:
            for shown in ("cmdline", "environ"):
                text = await asyncio.to_thread(Path(f"/proc/{pid_of(engine)}/{shown}").read_bytes)
                assert text
                assert endpoint.api_key.get_secret_value().encode() not in text
            assert endpoint.api_key.get_secret_value() not in repr(endpoint)
        finally:
            await engine.aclose()


PARENT = """
import asyncio, atexit, http.client, json, sys, threading, urllib.request
from pathlib import Path

ends = []

@atexit.register  # before the engine is there: so it runs after the engine has ended
def tell():
    thread.join()
    print(*ends, flush=True)

from sale.models.local.engine import LocalEngine

engine = LocalEngine(Path(sys.argv[1]), context=4096, parallel=1)
endpoint = asyncio.run(engine.start())
body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3900, "ignore_eos": True}
headers = {"Authorization": "Bearer " + endpoint.api_key.get_secret_value(), "Content-Type": "application/json"}
request = urllib.request.Request(endpoint.base_url + "/chat/completions", json.dumps(body).encode(), headers)

def call():
    try:
        urllib.request.urlopen(request).read()
        ends.append("answered")
    except (OSError, http.client.HTTPException):
        ends.append("given up")

thread = threading.Thread(target=call, daemon=True)
thread.start()
print(engine._running._process.pid, flush=True)
sys.stdin.readline()
"""


def parent(weights: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", PARENT, str(weights)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


class TestEnd:
    def test_a_program_that_forgets_to_close_ends_cleanly_and_quietly(self, slow_file: Path) -> None:
        with parent(slow_file) as process:
            assert process.stdout
            pid = int(process.stdout.readline())
            time.sleep(0.5)
            said, errors = process.communicate("\n", timeout=HANG)
        assert process.returncode == 0
        assert errors == ""
        assert said == "given up\n", "it waited for the call it was in"
        assert gone(pid)

    def test_the_engine_does_not_outlive_a_killed_program(self, slow_file: Path) -> None:
        with parent(slow_file) as process:
            assert process.stdout
            pid = int(process.stdout.readline())
            process.kill()
            process.wait()
            assert gone(pid)


class TestRefusals:
    async def refusal(self, path: Path) -> ModelFileError:
        engine = LocalEngine(path, context=256)
        with pytest.raises(ModelFileError) as caught:
            await engine.start()
        assert engine._running is None
        await engine.aclose()
        return caught.value

    async def test_a_file_that_is_not_there_or_is_no_weights(self, tmp_path: Path) -> None:
        await self.refusal(tmp_path / "nothing.gguf")
        (tmp_path / "text.gguf").write_text("hello", encoding="utf-8")
        assert "not a GGUF file" in (await self.refusal(tmp_path / "text.gguf")).message

    async def test_a_file_that_was_cut_short_is_refused_in_llama_cpps_words(self, tiny: Path, tmp_path: Path) -> None:
        cut = tmp_path / "cut.gguf"
        await asyncio.to_thread(shutil.copyfile, tiny, cut)
        os.truncate(cut, 60_000)
        error = await self.refusal(cut)
        assert "not within the file bounds" in error.message
        assert error.where == str(cut)
        assert error.hint

    async def test_loading_has_a_time_limit(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_module, "START_SECONDS", 0.01)
        assert "more than" in (await self.refusal(tiny)).message

    async def test_a_process_that_dies_while_it_loads(
        self, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host = tmp_path / "host.py"
        host.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", encoding="utf-8")
        monkeypatch.setattr(engine_module, "HOST", host)
        assert "SIGKILL" in (await self.refusal(tiny)).message

    async def test_without_llama_cpp(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_module, "find_spec", {}.get)
        with pytest.raises(MissingExtraError, match="needs llama") as caught:
            await LocalEngine(tiny).start()
        assert "sale[local]" in caught.value.hint


def test_a_containers_quota_counts(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    bound = usable_cores(quota)
    assert bound == len(os.sched_getaffinity(0))
    quota.write_text("max 100000\n", encoding="ascii")
    assert usable_cores(quota) == bound
    quota.write_text("50000 100000\n", encoding="ascii")
    assert usable_cores(quota) == 1
    quota.write_text("100000000 100000\n", encoding="ascii")
    assert usable_cores(quota) == bound
