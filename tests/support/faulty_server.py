"""A provider that fails in whatever way it is told: a raw HTTP server, so that every byte can be wrong.

    with FaultWall() as wall:
        ...  # ask for the model `cut-3`, or say `fault:cut-3` in the last message to any other model
        assert wall.seen("cut-3")[0].gone

What a market asks on its own account (bids, judgements) is always answered well, and so is the model `always`; only
work fails. `<n>` is a number.
In a stream the counted frames come first; where a fault says nothing of streams, whole answers meet it alike.

Before the first token:

    500 502 503 529        that status, in OpenAI's form
    429                    with `Retry-After: 1`
    quota                  429 with the code `insufficient_quota`
    401 404                the provider's own key, or its own name for the model, is wrong
    context-too-long       400 with the code `context_length_exceeded`
    redirect               307 to nowhere
    close                  the connection is closed unanswered
    close-head             closed in the middle of the header
    rst                    reset unanswered
    garbage                bytes that are no HTTP
    html                   200 and a web page
    empty                  200 and an empty body
    error-in-200           200 and an error object (whole), or an error as the first frame (stream)
    truncated              200 and half a JSON document, of the promised length
    not-utf8               200 and JSON with bytes that are not UTF-8 (stream: in the second frame)
    hang                   reads the request and says nothing
    slow-<ms>              waits, then answers well
    drip-<ms>              the header comes a byte at a time, so long apart
    wrong-length           promises more bytes than it sends, then closes

After some tokens (streams):

    cut-<n>                n frames, then the connection is closed
    reset-<n>              n frames, then it is reset
    half-close-<n>         n frames, then only this side is closed
    clean-cut-<n>          n frames, then a proper end, but no finish and no `[DONE]`
    stall-<n>              n frames, then silence
    malformed-<n>          n frames, then one with half a JSON document, then the rest
    error-frame-<n>        n frames, then an error object as a frame, then the end
    no-blank-<n>           n frames, then half a line, then the connection is closed

Odd, and right all the same:

    good                   nothing is wrong
    no-done                all frames and the finish, a proper end, no `[DONE]`
    bytewise               every byte sent alone, in the middle of letters too
    crlf                   lines end in CRLF; comments and empty events between the frames
    no-space               `data:{…}`
    huge-frame             one frame with a million letters
    one-write              the whole stream in one piece
    no-usage               none is told
    usage-everywhere       on every frame, growing
    negative-usage, odd-usage, null-usage
    late                   frames after `[DONE]`
    calls                  every tool that is offered is called, all at once
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from tests.support.hang import HANG
from tests.support.raw_server import RawServer
from tests.support.replies import Ask, Json, chunks, completion, text_for, tool_calls_for

TOLD = re.compile(r"fault:([a-z0-9-]+)")
NUMBER = re.compile(r"^(.*[a-z])-(\d+)$")
HUGE = "x" * 1_000_000
BEFORE = [
    *("500", "502", "503", "529", "429", "quota", "401", "404", "redirect", "close", "close-head", "rst", "garbage"),
    *("html", "empty", "error-in-200", "hang", "wrong-length"),
]
"""Faults before the first token, streamed or not; another agent can take over."""
AFTER = ["cut-3", "reset-3", "half-close-3", "clean-cut-3", "stall-3", "malformed-3", "error-frame-3", "no-blank-3"]
"""Faults of streams after the first token; nobody can take over."""
RIGHT = [
    *("good", "no-done", "bytewise", "crlf", "no-space", "huge-frame", "one-write", "no-usage", "usage-everywhere"),
    *("negative-usage", "odd-usage", "null-usage", "late", "slow-200"),
]
"""No faults, though odd."""
STATUSES: Mapping[str, tuple[int, str, str | None]] = {
    "500": (500, "Oops.", None),
    "502": (502, "Bad gateway.", None),
    "503": (503, "Overloaded.", None),
    "529": (529, "Overloaded.", "overloaded_error"),
    "429": (429, "Slow down.", "rate_limit_exceeded"),
    "quota": (429, "You exceeded your current quota.", "insufficient_quota"),
    "401": (401, "Incorrect API key provided: sk-provider-secret.", "invalid_api_key"),
    "404": (404, "The model does not exist.", "model_not_found"),
    "context-too-long": (400, "This model's maximum context length is 128 tokens.", "context_length_exceeded"),
}


@dataclass(kw_only=True)
class Seen:
    """One request for work."""

    fault: str
    body: Json
    headers: Mapping[str, str]
    at: float
    ended: float | None = None
    gone: bool = False
    """The client left before the answer was whole."""


class ClientGoneError(Exception):
    """The other side has closed."""


@dataclass(kw_only=True)
class Act:
    """One answer being given."""

    ask: Ask
    fault: str
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    whole: Json

    @property
    def stream(self) -> bool:
        return bool(self.ask.body.get("stream"))

    @property
    def frames(self) -> list[bytes]:
        found = chunks(self.whole)
        wants: Json = self.ask.body.get("stream_options") or {}
        if not wants.get("include_usage"):
            found = [one for one in found if "usage" not in one]
        return [json.dumps(one).encode() for one in found]

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():
            raise ClientGoneError
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as error:
            raise ClientGoneError from error

    async def head(self, status: int = 200, kind: str = "application/json", *lines: str) -> None:
        told = "".join(f"{line}\r\n" for line in lines)
        await self.send(f"HTTP/1.1 {status} Whatever\r\ncontent-type: {kind}\r\n{told}\r\n".encode())

    async def body(self, data: bytes, status: int = 200, kind: str = "application/json", *lines: str) -> None:
        await self.head(status, kind, f"content-length: {len(data)}", *lines)
        await self.send(data)

    async def begin_stream(self) -> None:
        await self.head(200, "text/event-stream; charset=utf-8", "transfer-encoding: chunked")

    async def chunk(self, data: bytes) -> None:
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, data: bytes) -> None:
        await self.chunk(b"data: " + data + b"\n\n")

    async def some(self, count: int) -> None:
        await self.begin_stream()
        for frame in self.frames[:count]:
            await self.event(frame)
        await asyncio.sleep(0.05)  # so that they are passed on before the fault; a reset would take them with it

    async def finish(self, rest: list[bytes], *, done: bool = True) -> None:
        for frame in rest:
            await self.event(frame)
        if done:
            await self.event(b"[DONE]")
        await self.send(b"0\r\n\r\n")

    async def good(self) -> None:
        if self.stream:
            await self.begin_stream()
            await self.finish(self.frames)
        else:
            await self.body(json.dumps(self.whole).encode())

    async def until_gone(self) -> None:
        with contextlib.suppress(OSError):
            await self.reader.read()
        raise ClientGoneError

    def reset(self) -> None:
        found: socket.socket = self.writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


def _streamed(play: Callable[[Act], Awaitable[None]]) -> Callable[[Act], Awaitable[None]]:
    """Only streams are odd; a whole answer is as it should be."""

    async def either(act: Act) -> None:
        await (play(act) if act.stream else act.good())

    return either


async def _refused(act: Act) -> None:
    status, message, code = STATUSES[act.fault]
    error = {"error": {"message": message, "type": "provider_error", "param": None, "code": code}}
    after = ["retry-after: 1"] if status == 429 else []
    await act.body(json.dumps(error).encode(), status, "application/json", *after)


async def _redirect(act: Act) -> None:
    await act.body(b"", 307, "text/plain", "location: http://127.0.0.1:9/v1/chat/completions")


async def _close(act: Act) -> None:
    act.close()


async def _close_head(act: Act) -> None:
    await act.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
    act.close()


async def _rst(act: Act) -> None:
    act.reset()


async def _garbage(act: Act) -> None:
    await act.send(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n")
    act.close()


async def _html(act: Act) -> None:
    await act.body(b"<html><body>Please log in.</body></html>", 200, "text/html")


async def _empty(act: Act) -> None:
    await act.body(b"", 200, "text/event-stream" if act.stream else "application/json")


async def _error_in_200(act: Act) -> None:
    error = json.dumps({"error": {"message": "the model is down", "type": "server_error", "code": 502}}).encode()
    if act.stream:
        await act.begin_stream()
        await act.finish([error])
    else:
        await act.body(error)


async def _truncated(act: Act) -> None:
    sent = json.dumps(act.whole).encode()
    await act.body(sent[: len(sent) // 2])


async def _not_utf8(act: Act) -> None:
    if act.stream:
        first, *rest = act.frames
        await act.begin_stream()
        await act.finish([first, rest[0].replace(b'"content": "', b'"content": "\xff\xfe'), *rest[1:]])
    else:
        await act.body(json.dumps(act.whole).encode().replace(b"answer", b"\xff\xfe\x80"))


async def _hang(act: Act) -> None:
    await act.until_gone()


async def _slow(act: Act) -> None:
    await asyncio.sleep(act.number / 1000)
    await act.good()


async def _drip(act: Act) -> None:
    for byte in b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n":
        await act.send(bytes([byte]))
        await asyncio.sleep(act.number / 1000)
    await act.until_gone()


async def _wrong_length(act: Act) -> None:
    kind = "text/event-stream" if act.stream else "application/json"
    await act.head(200, kind, "content-length: 100000")
    if not act.stream:
        await act.send(json.dumps(act.whole).encode())
    act.close()


async def _cut(act: Act) -> None:
    if act.stream:
        await act.some(act.number)
    else:
        await act.head(200, "application/json", "content-length: 5000")
        await act.send(json.dumps(act.whole).encode()[:100])
    act.close()


async def _reset(act: Act) -> None:
    if act.stream:
        await act.some(act.number)
    act.reset()


async def _half_close(act: Act) -> None:
    await act.some(act.number)
    act.writer.write_eof()
    await act.until_gone()


async def _clean_cut(act: Act) -> None:
    await act.some(act.number)
    await act.finish([], done=False)


async def _stall(act: Act) -> None:
    await act.some(act.number)
    await act.until_gone()


async def _malformed(act: Act) -> None:
    await act.some(act.number)
    await act.finish([b'{"id": "chatcmpl-1", "choices": [{"del', *act.frames[act.number :]])


async def _error_frame(act: Act) -> None:
    await act.some(act.number)
    await act.finish([b'{"error": {"message": "the model is down", "type": "server_error", "code": 502}}'], done=False)


async def _no_blank(act: Act) -> None:
    await act.some(act.number)
    await act.chunk(b'data: {"id": "chatcmpl-1", "cho')
    act.close()


@_streamed
async def _no_done(act: Act) -> None:
    await act.begin_stream()
    await act.finish(act.frames, done=False)


@_streamed
async def _bytewise(act: Act) -> None:
    await act.begin_stream()
    for frame in act.frames:
        for byte in b"data: " + json.dumps(json.loads(frame), ensure_ascii=False).encode() + b"\n\n":
            await act.chunk(bytes([byte]))
    await act.finish([])


@_streamed
async def _crlf(act: Act) -> None:
    await act.begin_stream()
    for frame in act.frames:
        await act.chunk(b": waiting\r\n\r\ndata: " + frame + b"\r\n\r\n")
    await act.chunk(b"data: [DONE]\r\n\r\n")
    await act.send(b"0\r\n\r\n")


@_streamed
async def _no_space(act: Act) -> None:
    await act.begin_stream()
    for frame in [*act.frames, b"[DONE]"]:
        await act.chunk(b"data:" + frame + b"\n\n")
    await act.send(b"0\r\n\r\n")


async def _huge_frame(act: Act) -> None:
    act.whole["choices"][0]["message"]["content"] = HUGE
    await act.good()


async def _one_write(act: Act) -> None:
    frames = b"".join(b"data: " + frame + b"\n\n" for frame in [*act.frames, b"[DONE]"])
    kind = "text/event-stream"
    await act.body(frames, 200, kind) if act.stream else await act.good()


@_streamed
async def _usage_everywhere(act: Act) -> None:
    told: list[bytes] = []
    for count, frame in enumerate(act.frames):
        usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count}
        told.append(json.dumps({**json.loads(frame), "usage": usage}).encode())
    await act.begin_stream()
    await act.finish(told)


@_streamed
async def _late(act: Act) -> None:
    await act.begin_stream()
    await act.finish([*act.frames, b"[DONE]", *act.frames[-2:]])


async def _good(act: Act) -> None:
    await act.good()


async def _calls(act: Act) -> None:
    whole = act.whole["choices"][0]
    calls: list[Json] = []
    for tool in act.ask.body.get("tools") or []:
        asked = {**act.ask.body, "tools": [tool]}
        (call,) = tool_calls_for(replace(act.ask, body=asked, traits=("tool-caller",))) or []
        calls.append({**call, "id": f"call_{len(calls)}"})
    whole["message"] = {"role": "assistant", "content": None, "tool_calls": calls}
    whole["finish_reason"] = "tool_calls"
    await act.good()


async def _null_usage(act: Act) -> None:
    act.whole["usage"] = None
    await act.good()


FAULTS: Mapping[str, Callable[[Act], Awaitable[None]]] = {
    **dict.fromkeys(STATUSES, _refused),
    **dict.fromkeys(("good", "no-usage", "negative-usage", "odd-usage"), _good),
    "redirect": _redirect,
    "close": _close,
    "close-head": _close_head,
    "rst": _rst,
    "garbage": _garbage,
    "html": _html,
    "empty": _empty,
    "error-in-200": _error_in_200,
    "truncated": _truncated,
    "not-utf8": _not_utf8,
    "hang": _hang,
    "slow": _slow,
    "drip": _drip,
    "wrong-length": _wrong_length,
    "cut": _cut,
    "reset": _reset,
    "half-close": _half_close,
    "clean-cut": _clean_cut,
    "stall": _stall,
    "malformed": _malformed,
    "error-frame": _error_frame,
    "no-blank": _no_blank,
    "no-done": _no_done,
    "bytewise": _bytewise,
    "crlf": _crlf,
    "no-space": _no_space,
    "huge-frame": _huge_frame,
    "one-write": _one_write,
    "usage-everywhere": _usage_everywhere,
    "null-usage": _null_usage,
    "late": _late,
    "calls": _calls,
}


@dataclass
class FaultWall(RawServer):
    """The server, with every request it has seen."""

    say: Callable[[Ask], str | None] | None = None
    """Words in place of the usual ones; `None` from it for the usual ones."""
    _seen: list[Seen] = field(default_factory=list[Seen])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seen(self, fault: str | None = None) -> list[Seen]:
        """Requests for work so far, in order; of one fault if it is named."""
        with self._lock:
            return [one for one in self._seen if fault is None or one.fault == fault]

    def reset(self) -> None:
        """Forget every request."""
        with self._lock:
            self._seen.clear()

    def wait(self, condition: Callable[[], bool], seconds: float = HANG) -> bool:
        """Wait until something is so."""
        until = time.monotonic() + seconds
        while not (met := condition()) and time.monotonic() < until:
            time.sleep(0.01)
        return met

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection can be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body: Json = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
        act = self._act(body, headers, reader, writer)
        known = Seen(fault=_label(act), body=body, headers=headers, at=time.monotonic())
        if "x-stainless-lang" not in headers:
            with self._lock:
                self._seen.append(known)
        try:
            await FAULTS[act.fault](act)
        except ClientGoneError:
            known.gone = True
        known.ended = time.monotonic()
        return not writer.is_closing() and not known.gone

    def _act(
        self, body: Json, headers: Mapping[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Act:
        fault, number = _told(body, headers)
        ask = Ask(body=body, headers=headers, traits=(fault,), turn=1)
        words = self.say(ask) if self.say is not None else None
        whole = completion(ask, words or text_for(ask), tool_calls_for(ask))
        return Act(ask=ask, fault=fault, number=number, reader=reader, writer=writer, whole=whole)


def _label(act: Act) -> str:
    return f"{act.fault}-{act.number}" if act.number else act.fault


def _told(body: Json, headers: Mapping[str, str]) -> tuple[str, int]:
    """The fault of a request: what its last message says, else its model's name; the market's own calls have none."""
    if "x-stainless-lang" in headers or body.get("model") == "always":
        return "good", 0
    messages: list[Json] = body.get("messages") or [{}]
    found = TOLD.search(json.dumps(messages[-1]))
    named = found[1] if found else str(body.get("model")).partition("@")[0]
    numbered = NUMBER.match(named)
    name, number = (numbered[1], int(numbered[2])) if numbered and numbered[1] in FAULTS else (named, 0)
    return (name, number) if name in FAULTS else ("good", 0)
