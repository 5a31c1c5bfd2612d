"""Browsers, and clients with other ideas of the base URL, the key's header and the address."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from sale import config
from sale.errors import ConfigError
from sale.server.gateway.api_paths import UNSERVED, api_path
from tests.server.gateway.conftest import Gateway, Opening, Serving
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.replies import Json
from tests.support.wire import Out, Request, Wire, usage

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]
CHAT: Json = {"model": "only", "messages": HELLO}
APP = "https://app.example"
OTHER = "https://other.example"


def preflight(gateway: Gateway, origin: str, path: str = "/v1/chat/completions", method: str = "POST") -> Any:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    }
    return httpx2.request("OPTIONS", f"{gateway.base}{path}", headers=headers)


class TestOrigins:
    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/responses", "/v1/models"])
    def test_pages_of_a_named_origin_may_ask(self, opening: Opening, path: str) -> None:
        with opening({"cors_origins": [APP]}, only="good") as gateway:
            found = preflight(gateway, APP, path)
            assert found.status_code == 200
            assert found.headers["access-control-allow-origin"] == APP
            assert "POST" in found.headers["access-control-allow-methods"]
            assert "x-stainless-os" in found.headers["access-control-allow-headers"]
            assert "access-control-allow-credentials" not in found.headers

    def test_answers_and_errors_and_streams_can_be_read_by_the_page(self, opening: Opening) -> None:
        with opening({"cors_origins": [APP]}, only="good") as gateway:
            own = {"origin": APP}
            for body, status in ((CHAT, 200), (CHAT | {"stream": True}, 200), (CHAT | {"model": "none"}, 404)):
                done = httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=own, timeout=HANG)
                assert done.status_code == status
                assert done.headers["access-control-allow-origin"] == APP
                assert "x-sale-session" in done.headers["access-control-expose-headers"]
                assert "Origin" in done.headers["vary"]
            wrong = httpx2.get(f"{gateway.url}/nothing", headers=own)
            assert (wrong.status_code, wrong.headers["access-control-allow-origin"]) == (404, APP)

    @pytest.mark.parametrize("keys", [False, True])
    @pytest.mark.parametrize("origins", [[], [APP]])
    def test_pages_of_others_may_not(self, opening: Opening, origins: list[str], keys: bool) -> None:
        with opening({"cors_origins": origins}, only="good") as gateway:
            assert gateway.store is not None
            key = gateway.do(gateway.store.create_key("mine"))[0] if keys else "any"
            found = preflight(gateway, OTHER)
            assert (found.status_code, found.json()["error"]["code"]) == (403, "foreign_origin")
            assert "cors_origins" in found.json()["error"]["message"]
            headers = {"origin": OTHER, "authorization": f"Bearer {key}"}
            done = httpx2.post(f"{gateway.url}/chat/completions", json=CHAT, headers=headers, timeout=HANG)
            assert done.status_code == (200 if keys else 403), "a key is enough for what is no browser"
            assert not any(name.startswith("access-control") for name in done.headers)

    def test_the_dashboard_is_for_its_own_pages(self, opening: Opening) -> None:
        with opening({"cors_origins": [APP]}, only="good") as gateway:
            for path in ("/", "/weights/use", "/keys/create", "/metrics"):
                done = httpx2.post(f"{gateway.base}{path}", headers={"origin": APP})
                assert (done.status_code, done.json()["error"]["code"]) == (403, "foreign_origin"), path
                assert "access-control-allow-origin" not in preflight(gateway, APP, path).headers

    def test_a_foreign_name_of_this_machine_is_refused_all_the_same(self, opening: Opening) -> None:
        with opening({"cors_origins": [APP]}, only="good") as gateway:
            own = {"origin": APP, "host": "rebound.example"}
            done = httpx2.post(f"{gateway.url}/chat/completions", json=CHAT, headers=own)
            assert (done.status_code, done.json()["error"]["code"]) == (403, "foreign_origin")

    def test_new_origins_count_once_the_settings_are_read_again(self, opening: Opening) -> None:
        with opening({"cors_origins": [APP]}, only="good") as gateway:
            assert gateway.state is not None
            new = opening({"cors_origins": [OTHER]}, only="good")
            gateway.do(gateway.state.reload(new.market(new.settings), new.settings.server))
            assert preflight(gateway, OTHER).headers["access-control-allow-origin"] == OTHER
            assert preflight(gateway, APP).status_code == 403

    @pytest.mark.parametrize("wrong", ["*", "app.example", "https://app.example/", "https://APP.example", "null", ""])
    def test_what_is_no_origin_is_refused(self, wrong: str) -> None:
        with pytest.raises(ConfigError, match="no origin"):
            config.parse(f"[server]\ncors_origins = {json.dumps([wrong])}\n")


class TestAddresses:
    @pytest.mark.parametrize(
        ("path", "there"),
        [
            ("/chat/completions", "/v1/chat/completions"),
            ("/messages/count_tokens", "/v1/messages/count_tokens"),
            ("/models", "/v1/models"),
            ("/v1/v1/messages", "/v1/messages"),
            ("/v1/responses", "/v1/responses"),
            ("/", "/"),
            ("/agents", "/agents"),
            ("/v1/chat/completions/", "/v1/chat/completions"),
            ("/v1/v1/messages//", "/v1/messages"),
            ("/models/", "/v1/models"),
            ("/v1", "/v1"),
            ("/v1/", "/v1/"),
            ("/v1//", "/v1//"),
            ("/agents/", "/agents/"),
            ("//chat/completions", "//chat/completions"),
            ("/healthz", "/healthz"),
        ],
    )
    def test_the_api_is_below_v1_and_without_it(self, path: str, there: str) -> None:
        assert api_path(path) == there
        assert api_path(there) == there

    def test_every_protocol_works_without_v1_and_is_the_same_on_the_ledger(self, opening: Opening) -> None:
        with opening(only="good") as gateway:
            with OpenAI(base_url=gateway.base, api_key="any", max_retries=0) as ask:
                assert ask.chat.completions.create(model="only", messages=HELLO).choices[0].message.content
                made = ask.responses.create(model="only", input="Hi.")
                assert ask.responses.retrieve(made.id) == made
                assert {one.id for one in ask.models.list()} == {"sale", "only"}
            message: Json = {"model": "only", "max_tokens": 50, "messages": HELLO}
            for address in (f"{gateway.base}/messages", f"{gateway.url}/v1/messages", f"{gateway.url}/messages/"):
                done = httpx2.post(address, json=message, timeout=HANG)
                assert done.json()["content"][0]["text"] == "The answer is 42."
            wrong = httpx2.post(f"{gateway.base}/messages", json={})
            assert wrong.json()["type"] == "error", "errors have the protocol's form"
            paths = [line.path for line in gateway.lines()]
        assert paths[:5] == ["/v1/chat/completions", "/v1/responses", *["/v1/messages"] * 3]

    def test_without_keys_no_proxy_is_served_there_either(self, gateway: Gateway) -> None:
        for path in ("/v1/models", "/models", "/v1/v1/models", "/models/"):
            done = httpx2.get(f"{gateway.base}{path}", headers={"x-forwarded-for": "203.0.113.9"})
            assert (done.status_code, done.json()["error"]["code"]) == (403, "not_from_here"), path

    @pytest.mark.parametrize("path", ["/v1/models", "/models/only", "/healthz", "/readyz", "/openapi.json"])
    def test_head_is_get_without_a_body(self, opening: Opening, path: str) -> None:
        with opening(only="good") as gateway:
            got, head = httpx2.get(f"{gateway.base}{path}"), httpx2.head(f"{gateway.base}{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))

    @pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
    @pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/v1/messages", "/v1/completions"])
    def test_a_key_in_any_of_three_headers(self, opening: Opening, header: str, path: str) -> None:
        with opening(only="good") as gateway:
            assert gateway.store is not None
            key = gateway.do(gateway.store.create_key("mine"))[0]
            shown = {header: f"Bearer {key}" if header == "authorization" else key}
            method = "GET" if path == "/v1/models" else "POST"
            asked = httpx2.request(method, f"{gateway.base}{path}", headers=shown, timeout=HANG)
            assert asked.status_code == (200 if method == "GET" else 400), asked.text
            assert httpx2.request(method, f"{gateway.base}{path}").status_code == 401


class TestUnserved:
    @pytest.mark.parametrize("name", sorted(UNSERVED))
    def test_what_is_not_served_is_refused_with_a_sentence(self, gateway: Gateway, name: str) -> None:
        for path, method in ((f"/v1/{name}", "POST"), (f"/{name}/some/thing", "GET")):
            if path == "/v1/chat/completions":
                continue
            done = httpx2.request(method, f"{gateway.base}{path}")
            assert done.status_code == 404
            error = done.json()["error"]
            assert f"/v1/{name} is not served here; {UNSERVED[name]}" in error["message"]
            if name.startswith("messages"):
                assert (done.json()["type"], error["type"]) == ("error", "not_found_error")
                assert done.headers["x-sale-error"] == "not_served"
            else:
                assert error["code"] == "not_served"

    def test_a_key_is_needed_to_be_told_so(self, opening: Opening) -> None:
        with opening(only="good") as gateway:
            assert gateway.store is not None
            gateway.do(gateway.store.create_key("mine"))
            assert httpx2.post(f"{gateway.url}/files").status_code == 401

    def test_clients_see_an_error_of_theirs(self, gateway: Gateway) -> None:
        with OpenAI(base_url=gateway.url, api_key="any", max_retries=0) as ask:
            for call in (
                lambda: ask.files.create(file=b"x", purpose="batch"),
                lambda: ask.images.generate(prompt="A cat.", model="small"),
                lambda: ask.audio.speech.create(input="Hi.", model="small", voice="alloy"),
                lambda: ask.batches.list(),
                lambda: ask.conversations.create(),
            ):
                with pytest.raises(openai.NotFoundError, match="is not served here"):
                    call()


def completed(text: str, taken: Json | None = None) -> Json:
    choice = {"index": 0, "text": text, "finish_reason": "stop"}
    found: Json = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
    return found if taken is None else found | {"usage": taken}


class TestPassedThrough:
    def test_a_completion_goes_to_the_agent_named_and_is_paid_for(self, serving: Serving) -> None:
        async def answer(request: Request, out: Out) -> None:
            await out.body(completed(" 42", usage(10, 5)))

        with Wire(only=answer) as wire, serving(wire.agent("only", price=2.0)) as gateway:
            assert gateway.store is not None
            key = gateway.do(gateway.store.create_key("mine", budget=1.0))[0]
            with OpenAI(base_url=gateway.url, api_key=key, max_retries=0) as ask:
                raw = ask.completions.with_raw_response.create(
                    model="only",
                    prompt="6 × 7 =",
                    max_tokens=5,
                    seed=3,
                    extra_body={"metadata": {"sale_session": "one"}},  # the gateway's own, which no endpoint is sent
                )
                assert raw.parse().choices[0].text == " 42"
            assert raw.headers["x-sale-agent"] == "only"
            assert float(raw.headers["x-sale-cost"]) == pytest.approx(15 * 2e-6)
            (sent,) = wire.work()
            assert sent.path == "/v1/completions"
            assert sent.body == {"model": "only", "prompt": "6 × 7 =", "max_tokens": 5, "seed": 3}
            (line,) = gateway.lines()
            assert (line.path, line.agent, line.status) == ("/v1/completions", "only", 200)
            assert (line.input_tokens, line.output_tokens) == (10, 5)
            assert line.work_dollars == pytest.approx(15 * 2e-6)

    @pytest.mark.parametrize("wanted", [False, True])
    def test_a_stream_of_one_too_byte_for_byte(self, serving: Serving, wanted: bool) -> None:
        texts = [completed(word) | {"x": 1} for word in (" 4", "2")]

        async def answer(request: Request, out: Out) -> None:
            assert request.body["stream_options"]["include_usage"] is True
            await out.events(*texts, {"choices": [], "usage": usage(10, 2)})

        more = {"stream_options": {"include_usage": True}} if wanted else {}
        with Wire(only=answer) as wire, serving(wire.agent("only")) as gateway:
            body = {"model": "only", "prompt": "6 × 7 =", "stream": True, **more}
            done = httpx2.post(f"{gateway.url}/completions", json=body, timeout=HANG)
            events = [json.loads(line[6:]) for line in done.text.split("\n\n") if line.startswith("data: {")]
            assert events[:2] == texts
            assert (len(events) == 3) is wanted
            assert done.text.endswith("data: [DONE]\n\n")
            (line,) = gateway.lines()
            assert (line.input_tokens, line.output_tokens, line.streamed) == (10, 2, True)

    def test_a_stream_that_breaks_off_never_looks_whole(self, serving: Serving) -> None:
        async def half(request: Request, out: Out) -> None:
            choice = {"index": 0, "text": " 4", "finish_reason": None}
            await out.events({"id": "x", "choices": [choice]}, done=False)

        with Wire(only=half) as wire, serving(wire.agent("only")) as gateway:
            body = {"model": "only", "prompt": "6 × 7 =", "stream": True}
            done = httpx2.post(f"{gateway.url}/completions", json=body, timeout=HANG)
            assert "[DONE]" not in done.text
            assert '"code":"upstream_broken"' in done.text
            (line,) = gateway.lines()
            assert (line.status, line.error) == (502, "upstream_broken")
            assert line.output_tokens == 1

    def test_rerank(self, serving: Serving) -> None:
        async def answer(request: Request, out: Out) -> None:
            found = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
            await out.body({"results": found, "usage": {"total_tokens": 20}})

        with Wire(only=answer) as wire, serving(wire.agent("only", price=2.0)) as gateway:
            body = {"model": "only", "query": "cats", "documents": ["dogs", "cats"], "top_n": 2}
            done = httpx2.post(f"{gateway.url}/rerank", json=body, timeout=HANG)
            assert [one["index"] for one in done.json()["results"]] == [1, 0]
            assert wire.work()[0].body == body
            (line,) = gateway.lines()
            assert (line.input_tokens, line.output_tokens) == (20, 0)
            assert float(done.headers["x-sale-cost"]) == pytest.approx(20 * 2e-6)

    @pytest.mark.parametrize("path", ["completions", "rerank"])
    @pytest.mark.parametrize(
        ("model", "status", "code"),
        [
            ("sale", 400, "unsupported"),
            ("nobody", 404, "model_not_found"),
            (None, 400, "invalid_value"),
        ],
    )
    def test_an_agent_has_to_be_named(
        self, gateway: Gateway, path: str, model: str | None, status: int, code: str
    ) -> None:
        done = httpx2.post(f"{gateway.url}/{path}", json={"model": model, "prompt": "x"}, timeout=HANG)
        assert (done.status_code, done.json()["error"]["code"]) == (status, code)
        assert done.json()["error"]["param"] == "model"

    def test_limits_hold(self, serving: Serving, endpoint: Endpoint) -> None:
        agent = {"name": "only", "endpoint": endpoint.base_url, "model": "good", "price": 100.0}
        with serving(agent, agent | {"name": "other"}) as gateway:
            assert gateway.store is not None
            poor = gateway.do(gateway.store.create_key("poor", budget=1e-6))[0]
            few = gateway.do(gateway.store.create_key("few", agents=["other"]))[0]
            for key, status in ((poor, 429), (few, 403)):
                done = httpx2.post(
                    f"{gateway.url}/completions",
                    json={"model": "only", "prompt": "x"},
                    headers={"x-api-key": key},
                    timeout=HANG,
                )
                assert done.status_code == status, done.text
        assert not endpoint.requests()

    def test_what_is_no_answer_is_refused_and_what_the_endpoint_refuses_is_passed_on(self, serving: Serving) -> None:
        async def odd(request: Request, out: Out) -> None:
            await out.body({"fine": True})

        async def no(request: Request, out: Out) -> None:
            await out.body({"error": {"message": "there are no completions here", "code": "nope"}}, 404)

        with Wire(odd=odd, no=no) as wire, serving(wire.agent("odd"), wire.agent("no")) as gateway:
            for model in ("odd", "no"):
                done = httpx2.post(f"{gateway.url}/completions", json={"model": model, "prompt": "x"}, timeout=HANG)
                assert done.status_code == 502
            assert "there are no completions here" in done.text
