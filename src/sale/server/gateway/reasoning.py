"""Reasoning and signatures of an assistant's message, carried through protocols whose clients cannot read them.

Some endpoints refuse a tool loop unless an assistant's message comes back with the reasoning (DeepSeek, Moonshot) or
the signatures (Gemini, Anthropic through OpenRouter or LiteLLM) that they sent with it. Chat clients send the message
back as it was. Clients of other protocols send back an opaque text in its place, a `signature` or an
`encrypted_content`; this module writes that text and reads it. Nothing is stored, so it holds after a restart and in
another process.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from sale.server.gateway.depth import is_deep

Json = dict[str, Any]

PREFIX: Final = "sale1."
"""Begins every text that this module writes; the number is the version of its format."""
TEXTS: Final = ("reasoning_content", "reasoning")
"""Fields of a message that hold the reasoning as a text. Where both are there they hold the same."""
LISTS: Final = ("reasoning_details", "thinking_blocks")
"""Fields that hold it as a list, with signatures."""
OBJECTS: Final = ("extra_content",)
"""Fields that hold signatures alone."""
PLAIN: Final = frozenset({"id", "type", "index", "function"})
"""Fields that every tool call has. Other fields of a call, such as Gemini's `extra_content`, hold its signature."""


@dataclass(slots=True)
class Reasoning:
    """The reasoning of one assistant's message, collected from its deltas or read back from what a client sent."""

    text: str = ""
    names: list[str] = field(default_factory=list[str])
    """The fields the text came in."""
    fields: Json = field(default_factory=dict[str, Any])
    """Lists and objects, by field."""
    calls: dict[str, Json] = field(default_factory=dict[str, Json])
    """Further fields of tool calls, by the call's id."""
    _words: list[str] = field(default_factory=list[str], init=False)
    """Pieces that follow the text: joined once, as there may be thousands."""
    _tails: dict[str, dict[str, list[str]]] = field(default_factory=dict[str, dict[str, list[str]]], init=False)
    """The same for the last entry of each list, by the list and the entry's field; the first piece is what it has."""

    def __bool__(self) -> bool:
        return bool(self.text or self._words or self.fields or self.calls)

    def add(self, said: Mapping[str, Any]) -> str:
        """Collect what a message or a delta holds, tool calls aside; returns its reasoning text."""
        found = {name: said[name] for name in TEXTS if isinstance(said.get(name), str) and said[name]}
        for name in found:
            if name not in self.names:
                self.names.append(name)
        text: str = next(iter(found.values()), "")
        if text:
            self._words.append(text)
        for name in LISTS:
            if isinstance(said.get(name), list):
                self._append(name, cast("list[object]", said[name]))
        for name in OBJECTS:
            if isinstance(said.get(name), dict) and said[name]:
                self.fields.setdefault(name, {}).update(said[name])
        return text

    def add_call(self, call_id: str, call: Mapping[str, Any]) -> None:
        """Collect the further fields of a tool call."""
        extra = {name: value for name, value in call.items() if name not in PLAIN and value is not None}
        if extra:
            self.calls.setdefault(call_id, {}).update(extra)

    def take(self, *, text: bool) -> str | None:
        """Return what was collected since the last call of this method, as an opaque text; `None` where nothing was.

        Args:
            text: Whether the reasoning text is in it. Otherwise the client has the text and sends it back.
        """
        if not self:
            return None
        self._join()
        value: Json = {"names": self.names, "fields": self.fields, "calls": self.calls}
        if text:
            value["text"] = self.text
        self.text, self.fields, self.calls = "", {}, {}
        return PREFIX + base64.urlsafe_b64encode(orjson.dumps(value)).decode()

    def restore(self, opaque: str, text: str | None = None) -> bool:
        """Add what `take` wrote. Return True where it was added, False where `take` did not write the text.

        Args:
            opaque: As the client sent it back.
            text: The reasoning text beside it, where the client has that.
        """
        value = _read(opaque)
        if value is None:
            return False
        told: object = value.get("text")
        if words := told if isinstance(told, str) and not text else text:
            self._words.append(words)
        names: object = value.get("names")
        for name in cast("list[object]", names) if isinstance(names, list) else []:
            if name in TEXTS and name not in self.names:
                self.names.append(cast("str", name))
        fields, calls = _object(value.get("fields")), _object(value.get("calls"))
        for name in LISTS:
            if isinstance(fields.get(name), list):
                self._append(name, fields[name])
        for name in OBJECTS:
            if isinstance(fields.get(name), dict):
                self.fields.setdefault(name, {}).update(fields[name])
        for call_id, extra in calls.items():
            kept = {name: one for name, one in _object(extra).items() if name not in PLAIN}
            self.calls.setdefault(call_id, {}).update(kept)
        return True

    def put_back(self, message: Json) -> None:
        """Give an assistant's message the fields that its endpoint sent with it.

        Of several tool calls with one id the first gets the fields of that id.
        """
        self._join()
        if self.text:
            message.update(dict.fromkeys(self.names or TEXTS[:1], self.text))
        message.update(self.fields)
        left = dict(self.calls)
        for call in cast("list[Json]", message.get("tool_calls") or []):
            call.update(left.pop(str(call.get("id")), {}))

    def _append(self, name: str, entries: list[object]) -> None:
        """Add entries of a list; one that goes on with the last one, as streams cut them, is joined to it."""
        kept: list[object] = self.fields.setdefault(name, [])
        tail = self._tails.setdefault(name, {})
        for entry in entries:
            if not (kept and _joined(kept[-1], entry, tail)):
                _close(kept, tail)
                kept.append(dict(cast("Json", entry)) if isinstance(entry, dict) else entry)

    def _join(self) -> None:
        """Put all pieces in their places."""
        self.text += "".join(self._words)
        self._words.clear()
        for name, tail in self._tails.items():
            _close(self.fields[name], tail)
        self._tails.clear()


def _close(entries: list[object], tail: dict[str, list[str]]) -> None:
    """Give the last entry its texts whole."""
    for name, pieces in tail.items():
        cast("Json", entries[-1])[name] = "".join(pieces)
    tail.clear()


def _joined(last: object, entry: object, tail: dict[str, list[str]]) -> bool:
    """Join an entry to the last one, in place; returns whether they belong together: same `index`, same `type`.

    Texts go to `tail`.
    """
    if not isinstance(last, dict) or not isinstance(entry, dict):
        return False
    kept, added = cast("Json", last), cast("Json", entry)
    if added.get("index") is None or any(kept.get(name) != added.get(name) for name in ("index", "type")):
        return False
    for name, value in added.items():
        if name in {"text", "summary", "data", "thinking"} and isinstance(value, str):
            if name not in tail:
                before: object = kept.get(name)
                tail[name] = [before if isinstance(before, str) else ""]
            tail[name].append(value)
        elif value is not None:
            tail.pop(name, None)
            kept[name] = value
    return True


def _read(opaque: str) -> Json | None:
    if not opaque.startswith(PREFIX):
        return None
    try:
        raw = base64.b64decode(opaque.removeprefix(PREFIX), altchars=b"-_", validate=True)
        value: object = orjson.loads(raw)
    except (binascii.Error, ValueError):
        return None
    return cast("Json", value) if isinstance(value, dict) and not is_deep(raw, cast("object", value)) else None


def _object(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}
