"""The rest of the Responses API: responses shown again and deleted, and fields honoured, refused or named as lost."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from tests.server.gateway.conftest import Gateway, Opening, Serving
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.replies import Json
from tests.support.wire import Out, Request, Wire, chunk, whole


def client(gateway: Gateway, key: str = "any") -> OpenAI:
    return OpenAI(base_url=gateway.url, api_key=key, max_retries=0)


def refused(gateway: Gateway, **more: Any) -> Json:
    done = httpx2.post(f"{gateway.url}/responses", json={"model": "only", "input": "Hi.", **more}, timeout=HANG)
    assert done.status_code == 400, done.text
    error: Json = done.json()["error"]
    return error


class TestKept:
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_response_is_shown_again_as_it_was(self, opening: Opening, stream: bool) -> None:
        with opening(only="good") as gateway, client(gateway) as ask:
            if stream:
                events: Any = list(ask.responses.create(model="only", input="What is 6 × 7?", stream=True))
                first = events[-1].response
            else:
                first = ask.responses.create(model="only", input="What is 6 × 7?")
            again = ask.responses.retrieve(first.id)
            assert again == first
            assert again.output_text == "The answer is 42."
            assert again.usage is not None
        with opening(only="good") as gateway, client(gateway) as ask:
            assert ask.responses.retrieve(first.id) == first, "not there after a restart"

    def test_its_input_items_are_listed_page_by_page(self, opening: Opening) -> None:
        image: Any = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
        given: Any = [
            {"role": "user", "content": "One."},
            {"role": "assistant", "content": "Two."},
            {"role": "user", "content": [{"type": "input_text", "text": "Three."}, image]},
        ]
        with opening(only="good") as gateway, client(gateway) as ask:
            made = ask.responses.create(model="only", input=given)
            items: list[Any] = list(ask.responses.input_items.list(made.id, order="asc", limit=2))
            assert [item.role for item in items] == ["user", "assistant", "user"]
            assert items[0].content[0].text == "One."
            assert items[2].content[1].image_url == image["image_url"]
            newest = ask.responses.input_items.list(made.id, limit=1, include=["message.input_image.image_url"])
            assert (newest.data[0], newest.has_more) == (items[2], True)
            later = ask.responses.create(model="only", input="Four.", previous_response_id=made.id)
            (own,) = ask.responses.input_items.list(later.id)
            assert own.content[0].text == "Four."  # type: ignore[union-attr]
            for wrong in ("limit=0", "limit=x", "order=up", "after=nothing"):
                said = httpx2.get(f"{gateway.url}/responses/{made.id}/input_items?{wrong}")
                assert (said.status_code, said.json()["error"]["param"]) == (400, wrong.partition("=")[0])

    def test_a_deleted_one_is_gone_and_so_is_what_goes_on_from_it(self, opening: Opening) -> None:
        with opening(only="good") as gateway, client(gateway) as ask:
            first = ask.responses.create(model="only", input="My name is Ada.")
            second = ask.responses.create(model="only", input="What is it?", previous_response_id=first.id)
            deleted = httpx2.delete(f"{gateway.url}/responses/{first.id}").json()
            assert deleted == {"id": first.id, "object": "response", "deleted": True}
            for gone in (ask.responses.retrieve, ask.responses.delete):
                with pytest.raises(openai.NotFoundError):
                    gone(first.id)
            assert ask.responses.retrieve(second.id) == second
            with pytest.raises(openai.NotFoundError) as caught:
                ask.responses.create(model="only", input="And now?", previous_response_id=second.id)
            assert caught.value.code == "previous_response_not_found"

    def test_what_is_not_to_be_stored_is_not_there(self, opening: Opening) -> None:
        with opening(only="good") as gateway, client(gateway) as ask:
            made = ask.responses.create(model="only", input="Hi.", store=False)
            with pytest.raises(openai.NotFoundError):
                ask.responses.retrieve(made.id)

    def test_another_tenants_response_is_never_shown(self, opening: Opening) -> None:
        """By no address, and the refusal is the same as for one that never was."""
        with opening(only="good") as gateway:
            assert gateway.store is not None
            mine, yours = (gateway.do(gateway.store.create_key(name))[0] for name in ("a", "b"))
            with client(gateway, mine) as ask:
                made = ask.responses.create(model="only", input="The launch code is quillfeather.")
            own = {"authorization": f"Bearer {yours}"}
            told: set[str] = set()
            for name in (made.id, "resp_never_was"):
                address = f"{gateway.url}/responses/{name}"
                asked = {"model": "only", "input": "What is the code?", "previous_response_id": name}
                for done in (
                    httpx2.get(address, headers=own),
                    httpx2.get(f"{address}/input_items", headers=own),
                    httpx2.delete(address, headers=own),
                    httpx2.post(f"{gateway.url}/responses", json=asked, headers=own, timeout=HANG),
                ):
                    assert done.status_code == 404
                    assert "quillfeather" not in done.text
                    told.add(done.text.replace(name, ""))
                assert httpx2.get(address).status_code == 401
            assert len(told) == 2, "a refusal tells whether there is one"
            with client(gateway, mine) as ask:
                assert ask.responses.retrieve(made.id) == made

    def test_one_that_is_kept_is_not_streamed_again(self, opening: Opening) -> None:
        with opening(only="good") as gateway, client(gateway) as ask:
            made = ask.responses.create(model="only", input="Hi.")
            said = httpx2.get(f"{gateway.url}/responses/{made.id}?stream=true")
            assert (said.status_code, said.json()["error"]["param"]) == (400, "stream")


class TestFields:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("background", True),
            ("background", "yes"),
            ("conversation", "conv_1"),
            ("conversation", {"id": "conv_1"}),
            ("truncation", "auto"),
            ("truncation", "sometimes"),
            ("prompt", {"id": "pmpt_1"}),
            ("include", ["message.everything"]),
            ("include", "reasoning.encrypted_content"),
            ("max_output_tokens", 0),
            ("max_output_tokens", "many"),
            ("max_output_tokens", True),
            ("store", "no"),
            ("reasoning", "high"),
            ("text", "json"),
        ],
    )
    def test_what_cannot_be_had_is_refused_with_a_sentence(self, gateway: Gateway, name: str, value: object) -> None:
        done = httpx2.post(
            f"{gateway.url}/responses", json={"model": "small", "input": "Hi.", name: value}, timeout=HANG
        )
        error = done.json()["error"]
        assert (done.status_code, error["param"]) == (400, name)
        assert error["message"].startswith(name)
        assert len(error["message"].split()) >= 4

    def test_what_changes_nothing_is_taken(self, opening: Opening, endpoint: Endpoint) -> None:
        usual: Json = {"background": False, "truncation": "disabled", "conversation": None, "store": None}
        usual |= {"include": ["reasoning.encrypted_content"], "max_tool_calls": 3, "stream_options": {}}
        with opening(only="good") as gateway:
            body = {"model": "only", "input": "Hi.", **usual}
            done = httpx2.post(f"{gateway.url}/responses", json=body, timeout=HANG)
        assert (done.status_code, done.headers.get("x-sale-lost")) == (200, None)
        assert done.json()["truncation"] == "disabled"
        assert endpoint.requests()[-1].body.keys() == {"model", "messages"}

    def test_what_nobody_was_told_is_named(self, opening: Opening) -> None:
        more: Json = {
            "include": ["web_search_call.action.sources"],
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {"verbosity": "low", "colour": "red"},
            "context_management": [{"type": "compaction"}],
            "a_new_field": 1,
        }
        with opening(only="good") as gateway:
            body = {"model": "only", "input": "Hi.", **more}
            done = httpx2.post(f"{gateway.url}/responses", json=body, timeout=HANG)
        assert set(done.headers["x-sale-lost"].split(", ")) == {
            "a_new_field",
            "context_management",
            "include.web_search_call.action.sources",
            "reasoning.summary",
            "text.colour",
        }

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
    )
    def test_an_answer_that_was_cut_says_why(self, serving: Serving, stream: bool, finish: str, reason: str) -> None:
        async def cut(request: Request, out: Out) -> None:
            if stream:
                await out.events(chunk({"content": "half"}), chunk({}, finish))
            else:
                found = whole("half")
                found["choices"][0]["finish_reason"] = finish
                await out.body(found)

        with Wire(only=cut) as wire, serving(wire.agent("only")) as gateway, client(gateway) as ask:
            made: Any = ask.responses.create(model="only", input="Hi.", max_output_tokens=50, stream=stream)
            if stream:
                events = list(made)
                assert events[-1].type == "response.incomplete"
                made = events[-1].response
            assert (made.status, made.incomplete_details.reason) == ("incomplete", reason)
            assert wire.work()[-1].body["max_tokens"] == 50
            assert ask.responses.retrieve(made.id) == made

    @pytest.mark.parametrize("stream", [False, True])
    def test_log_probabilities_are_included_where_they_are_asked_for(self, opening: Opening, stream: bool) -> None:
        with opening(only="good") as gateway, client(gateway) as ask:
            asked: Any = {"include": ["message.output_text.logprobs"], "top_logprobs": 2, "stream": stream}
            made: Any = ask.responses.create(model="only", input="What is 6 × 7?", **asked)
            made = list(made)[-1].response if stream else made
            if stream:  # the test endpoint sends them with whole answers alone
                assert made.output[0].content[0].logprobs == []
            else:
                tokens = made.output[0].content[0].logprobs
                assert "".join(one.token for one in tokens) == made.output_text
                assert len(tokens[0].top_logprobs) == 2

    def test_a_file_in_the_input_reaches_the_endpoint_and_one_by_its_id_is_refused(
        self, opening: Opening, endpoint: Endpoint
    ) -> None:
        file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}
        with opening(only="good") as gateway:
            body: Json = {"model": "only", "input": [{"role": "user", "content": [file]}]}
            assert httpx2.post(f"{gateway.url}/responses", json=body, timeout=HANG).status_code == 200
            sent = endpoint.requests()[-1].body["messages"][0]["content"]
            assert sent == [{"type": "file", "file": {"file_data": file["file_data"], "filename": "a.pdf"}}]
            error = refused(gateway, input=[{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}])
        assert error["param"] == "input[0].content"
