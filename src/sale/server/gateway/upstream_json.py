"""Data of an endpoint, read as far as possible: JSON that is not quite JSON, letters in halves, reasons anywhere.

Endpoints send `-Infinity` for the log-probability of what cannot be, half an emoji where a token ends in its middle,
and errors under status 200. What can be mended is; what cannot is an error with the endpoint's own reason in it,
without keys and addresses.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from sale.models.errors import HIDDEN, redact
from sale.server.gateway.depth import is_deep
from sale.server.gateway.errors import ApiError
from sale.server.key_forms import KEY_BEGINNING

Json = dict[str, Any]

MESSAGE_CHARACTERS: Final = 2000
READ_CHARACTERS: Final = 4 * MESSAGE_CHARACTERS
"""Characters of a reason that are looked at: it may repeat a request of any length."""
CODE_CHARACTERS: Final = 100
LENIENT_BYTES: Final = 16 * 1024 * 1024
"""Bytes above which a text that is not JSON is not read leniently."""
UNLIKELY: Final = -9999.0
"""The value of OpenAI's protocol for the logarithm of next to nothing."""
MAX_NUMBER_DIGITS: Final = 18
MESSAGES: Final = ("message", "detail", "msg", "error_description", "reason", "error")
"""Where a reason may be, the likeliest first; `detail` is FastAPI's."""
STATUSES: Final = ("code", "status", "status_code")
"""Where a number may be that is a status."""
REFUSED: Final = frozenset({400, 409, 413, 415, 422, 451})
"""The request itself is at fault: another agent's endpoint may well say the same, so the client is told."""
_KEYS = re.compile(rf"{KEY_BEGINNING}[A-Za-z0-9_-]{{8,}}|(?<=Bearer )\S{{8,}}")
_PLACES = re.compile(r"[a-z][a-z0-9+.-]{0,30}://[^\s'\"<>)]+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamComplaint:
    """An endpoint's complaint."""

    message: str = ""
    code: str | None = None
    param: str | None = None
    status: int | None = None
    """Where it gives one in its own words."""


def read_completion(raw: bytes, hide: Sequence[str]) -> tuple[bytes, Json]:
    """A body as a chat completion, and the bytes to pass on: as they came, unless they had to be mended.

    Raises:
        ApiError: It is none, or reports an error.
    """
    value, damage = read_json(raw)
    if damage == "bytes":
        raise protocol_error("sent what is no UTF-8")
    if damage:
        value = mend_text(value, "text")
        raw = orjson.dumps(value)
    if (error := error_in(value)) is not None:
        raise reported_error(error, hide)
    if not isinstance(value, dict) or not cast("Json", value).get("choices"):
        raise protocol_error("sent what is no chat completion")
    found = cast("Json", value)
    check_choices(found, "message")
    if any(not isinstance(choice.get("message"), dict) for choice in cast("list[Json]", found["choices"])):
        raise protocol_error("sent what is no chat completion")
    return raw, found


def read_json(data: bytes) -> tuple[object, str]:
    """A value, and what was not right about it: nothing, its `text` (half letters, `NaN`), or its `bytes`.

    Strings of a value with damaged bytes hold these as Python's `surrogateescape` does.

    Raises:
        ApiError: It cannot be read, or not be written again.
    """
    value, damage = _read(data)
    if is_deep(data, value):
        raise protocol_error("sent JSON that is too deep")
    return value, damage


def _read(data: bytes) -> tuple[object, str]:
    try:
        return orjson.loads(data), ""
    except orjson.JSONDecodeError:
        if len(data) > LENIENT_BYTES:
            raise protocol_error("sent what is no JSON") from None
    damage = "text"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text, damage = data.decode(errors="surrogateescape"), "bytes"
    try:
        return json.loads(text, parse_constant=_constant, parse_int=_whole), damage
    except (ValueError, RecursionError):
        raise protocol_error("sent what is no JSON") from None


def mend_text(value: object, damage: str) -> Any:  # noqa: ANN401  as JSON is
    """The value with whole letters only: halves that belong together are joined, others become a mark."""
    if isinstance(value, str):
        return value if value.isascii() else _joined(value, damage)
    if isinstance(value, list):
        return [mend_text(one, damage) for one in cast("list[object]", value)]
    if isinstance(value, dict):
        return {mend_text(name, damage): mend_text(one, damage) for name, one in cast("Json", value).items()}
    return value


@dataclass(slots=True)
class SurrogateJoiner:
    """Letters that come in two chunks of a stream: the first half waits for the second."""

    _waiting: dict[tuple[object, ...], tuple[str, codecs.IncrementalDecoder]] = field(
        default_factory=dict[tuple[object, ...], tuple[str, codecs.IncrementalDecoder]]
    )

    @property
    def are_there(self) -> bool:
        """True where letters have been met in halves, so that every chunk must be looked at."""
        return bool(self._waiting)

    def join(self, chunk: Json, damage: str) -> Json:
        """The chunk with whole letters, as far as they have come.

        Raises:
            ApiError: Bytes that are no letters and begin none.
        """
        for choice in cast("list[Json]", chunk.get("choices") or []):
            delta: object = choice.get("delta")
            if isinstance(delta, dict):
                self._said(cast("Json", delta), (choice.get("index"),), damage)
        return mend_text(chunk, damage)

    def _said(self, fields: Json, where: tuple[object, ...], damage: str) -> None:
        for name, text in list(fields.items()):
            if isinstance(text, str):
                fields[name] = self._text(text, (*where, name), damage)
        for place, call in enumerate(cast("list[Json]", fields.get("tool_calls") or [])):
            function: object = call.get("function")
            if isinstance(function, dict):
                self._said(cast("Json", function), (*where, call.get("index", place)), damage)

    def _text(self, text: str, key: tuple[object, ...], damage: str) -> str:
        if key not in self._waiting:
            if not damage or text.isascii():
                return text
            codec = "utf-16-le" if damage == "text" else "utf-8"
            errors = "replace" if damage == "text" else "strict"
            self._waiting[key] = damage, codecs.getincrementaldecoder(codec)(errors)
        kind, decoder = self._waiting[key]
        try:
            if kind == "text":
                return decoder.decode(text.encode("utf-16-le", "surrogatepass"))
            return decoder.decode(text.encode(errors="surrogateescape"))
        except UnicodeError:
            raise protocol_error("sent what is no UTF-8") from None


def check_choices(value: Json, where: str) -> None:
    """See that the choices of a completion, or of a chunk, are made as whoever reads them expects.

    Args:
        value: The completion, or the chunk.
        where: `message`, or `delta`.

    Raises:
        ApiError: They are not.
    """
    given: object = value.get("choices")
    if given is None:
        return
    if not isinstance(given, list) or not all(_is_choice(one, where) for one in cast("list[object]", given)):
        raise protocol_error("sent what is no chat completion")


def error_in(value: object) -> UpstreamComplaint | None:
    """The error a body or a chunk reports, whatever its status; `None` where it reports none."""
    if not isinstance(value, dict):
        return None
    fields = cast("Json", value)
    if fields.get("error"):
        return read_complaint(fields)
    choices: object = fields.get("choices")
    if not choices:
        marked = fields.get("object") == "error" or fields.get("type") == "error"
        told = any(isinstance(fields.get(name), str | list) and fields[name] for name in MESSAGES)
        return read_complaint(fields) if marked or (told and "usage" not in fields) else None
    for choice in cast("list[object]", choices) if isinstance(choices, list) else []:
        found = cast("Json", choice) if isinstance(choice, dict) else {}
        if found.get("error") or found.get("finish_reason") == "error":
            return read_complaint(found)
    return None


def read_complaint(value: object) -> UpstreamComplaint:
    """A complaint in any of the forms endpoints have for one."""
    if isinstance(value, str):
        return UpstreamComplaint(message=value)
    if isinstance(value, list):  # FastAPI: what was wrong, and where
        faults = [_fault(one) for one in cast("list[object]", value)[:5]]
        return UpstreamComplaint(message="; ".join(fault for fault in faults if fault))
    if not isinstance(value, dict):
        return UpstreamComplaint()
    fields = cast("Json", value)
    nested: object = fields.get("error")
    if isinstance(nested, dict) and nested:
        fields = cast("Json", nested)
    given = next((fields[name] for name in MESSAGES if fields.get(name)), None)
    found = read_complaint(given) if not isinstance(given, bool) else UpstreamComplaint()
    code, param = fields.get("code"), fields.get("param")
    kind: object = fields.get("type")
    numbers = [one for name in STATUSES if (one := _status(fields.get(name))) is not None]
    return UpstreamComplaint(
        message=found.message,
        code=code if isinstance(code, str) else found.code or (kind if isinstance(kind, str) else None),
        param=param if isinstance(param, str) else found.param,
        status=numbers[0] if numbers else found.status,
    )


def reported_error(error: UpstreamComplaint, hide: Sequence[str], *, amid: bool = False) -> ApiError:
    """An error that an endpoint reports under status 200. Another agent may do better.

    Args:
        error: What it says.
        hide: Its address and key.
        amid: It had begun to answer.
    """
    what = "reported an error" + (" in the middle of its answer" if amid else "")
    status, name = 502, "upstream_broken"
    if error.status == 429 or error.code == "rate_limit_exceeded":
        status, name = 429, "upstream_rate_limited"
    elif error.status in REFUSED:
        status, name = error.status, clean(error.code or "upstream_broken", hide)[:CODE_CHARACTERS]
    return ApiError(
        f"the agent's endpoint {what}{format_reason(error, hide)}", status=status, name=name, elsewhere=True, spent=amid
    )


def format_reason(error: UpstreamComplaint, hide: Sequence[str]) -> str:
    """The endpoint's reason as the end of a sentence; nothing where it gives none, or speaks of its key."""
    if not error.message or error.status in {401, 403}:
        return ""
    return f": {clean(_PLACES.sub(HIDDEN, _beginning(error.message, hide)), hide)[:MESSAGE_CHARACTERS]}"


def clean(text: str, hide: Sequence[str]) -> str:
    """A text of the endpoint's in one line, without its key, its address, and whatever looks like a key.

    Of a long one the beginning.
    """
    return " ".join(_KEYS.sub(HIDDEN, redact(mend_text(_beginning(text, hide), "text"), hide)).split())


def _beginning(text: str, hide: Sequence[str]) -> str:
    """The beginning of a text, where no half of a key or an address is at its end."""
    return text if len(text) <= READ_CHARACTERS else redact(text, hide)[:READ_CHARACTERS]


def protocol_error(what: str) -> ApiError:
    """An upstream that does not keep to the protocol."""
    return ApiError(f"the agent's endpoint {what}", status=502, name="upstream_broken", elsewhere=True, spent=True)


def _constant(name: str) -> float | None:
    return UNLIKELY if name == "-Infinity" else None


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_NUMBER_DIGITS else float(digits)


def _joined(text: str, damage: str) -> str:
    if damage == "bytes":
        return text.encode(errors="surrogateescape").decode(errors="replace")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _fault(given: object) -> str:
    if not isinstance(given, dict):
        return given if isinstance(given, str) else ""
    fields = cast("Json", given)
    where: object = fields.get("loc")
    place = ".".join(str(one) for one in cast("list[object]", where)) if isinstance(where, list) else ""
    what = str(fields.get("msg") or fields.get("message") or "")
    return f"{place}: {what}" if place and what else what or place


def _status(value: object) -> int | None:
    number = int(value) if isinstance(value, str) and len(value) == 3 and value.isdecimal() else value
    return number if isinstance(number, int) and 400 <= number < 600 else None


def _is_choice(value: object, where: str) -> bool:
    if not isinstance(value, dict):
        return False
    choice = cast("Json", value)
    given: object = choice.get(where)
    if not isinstance(choice.get("index"), int | None):
        return False
    if given is None:
        return True
    if not isinstance(given, dict):
        return False
    calls: object = cast("Json", given).get("tool_calls")
    return calls is None or (isinstance(calls, list) and all(_is_call(one) for one in cast("list[object]", calls)))


def _is_call(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    index: object = cast("Json", value).get("index")
    function: object = cast("Json", value).get("function")
    return isinstance(index, int | None) and isinstance(function, Mapping | None)
