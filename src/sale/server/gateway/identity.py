"""The rule by which a request without a name is taken for a turn of a conversation. Pure functions.

The gateway knows what it was asked and what it answered, and nothing else. So each turn it serves leaves digests:

- its *tail*: a chain over all messages of the request, the client's and the assistant's, in order;
- its *talk*: the same chain with the answer that was given at its end;
- its *link*: the client's last words and the answer, without anything before them, where these are long enough to tell
  conversations apart; where the answer's words are so by themselves, the answer alone, since some clients write their
  own words shorter once they are answered;
- its *hint*: the client's `prompt_cache_key` with its first words.

A request has a prefix before and after each of its answers. It goes on with

1. the conversation that served its longest prefix, where that prefix ends with an answer: so two that begin with the
   same words are told apart as soon as their answers differ. Of several with the same answers, one that waits for just
   this request comes first, then the one that was seen last;
2. where the answer after the longest prefix served is not the one that was given (the client edited it, or left part
   of it out), or where no prefix was served (the beginning was compacted): the conversation that alone has had the
   latest exchange of the request;
3. the one conversation that served the longest prefix; of several, the one that alone waits after it;
4. the conversation with the same hint that was seen last.

A request that none of this holds for begins a conversation, and so does one without an answer in it. Where the rules
leave two conversations, neither is guessed.

Not part of a message's digest: marks for prompt caches, which clients move about; digits of messages that instruct, as
many clients write the time there; of answers everything but the words and the calls: blanks, thoughts, the ids of
calls, and how their arguments are written. A key's digests are its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import orjson

from sale.types.thoughts import text_after_thoughts

Message = Mapping[str, Any]
Place = tuple[str, str]
"""A session's key, empty for none, and its name there: each key names its own sessions."""

INSTRUCTING: Final = frozenset({"system", "developer"})
DIGEST_BYTES: Final = 16
MIN_LINK_BYTES: Final = 64
"""Bytes of an exchange from which on it tells its conversation: `yes` and `ok` are said in many."""
MIN_ANSWER_BYTES: Final = 128
"""Bytes of an answer's words from which on they tell its conversation, whatever was asked. Canned answers, to refuse or
to ask what else there is, are about as long at most."""
MAX_ANSWER_CHARACTERS: Final = 50_000
"""Characters of an answer that are looked at, without blanks."""
MAX_DIGESTS: Final = 128
"""Digests of one request that a database is asked for, the longest prefixes and the latest exchanges first."""
CALLS: Final = b"\x1f"
"""Before each call of an answer."""
NO_DIGITS: Final = str.maketrans("", "", "0123456789")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefix:
    """The beginning of a request, up to one of its answers."""

    digest: str
    answered: bool
    """True where it ends with the answer, False where it ends before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedTurn:
    """The digests that a served turn leaves; an empty one is none."""

    tail: str
    talk: str = ""
    link: str = ""
    hint: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationThread:
    """A request's place in a conversation."""

    owner: str
    whole: str
    """The digest of the request, an answer begun at its end left out."""
    prefixes: tuple[Prefix, ...]
    """Those before and after its answers, the longest first."""
    links: tuple[str, ...]
    """Its exchanges that are long enough to tell conversations apart, the latest first."""
    hint: str
    """The digest of its `prompt_cache_key` and its first words; empty where it has no such key."""
    new_task: bool
    """True where the user speaks after an answer that called no tools."""
    written: tuple[bytes, ...]
    """The client's words since the last answer."""
    begun: tuple[Message, ...]
    """The answer that the client begins for the assistant, at the end of the request."""

    @property
    def fresh(self) -> bool:
        """True where no assistant has answered the user yet."""
        return not self.prefixes

    @property
    def digests(self) -> list[str]:
        """Digests by which a conversation is known that goes on with this request."""
        half = MAX_DIGESTS // 2
        prefixes = [prefix.digest for prefix in self.prefixes[:half]]
        return [*prefixes, *self.links[:half], *([self.hint] if self.hint else [])]

    def serve(self, answer: Message | None = None) -> ServedTurn:
        """The digests of this turn, once it is answered.

        Args:
            answer: The assistant's message; `None` where there is none yet.
        """
        if answer is None:
            return ServedTurn(tail=self.whole, hint=self.hint)
        said = answer_bytes([*self.begun, answer])
        return ServedTurn(
            tail=self.whole,
            talk=_chain(self.whole, said),
            link=_link(self.owner, self.written, said) or "",
            hint=self.hint,
        )


NO_CONVERSATION: Final = ConversationThread(
    owner="", whole="", prefixes=(), links=(), hint="", new_task=False, written=(), begun=()
)
"""The thread of a request that is looked for in no conversation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownConversation:
    """The digests of a conversation, as far as they are kept."""

    place: Place
    digests: Collection[str]
    latest: ServedTurn
    seen: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The conversation that a request goes on with."""

    place: Place
    certain: bool
    """True where the latest answer in the request is the one that was given: no other process can know better."""


def read_thread(messages: Sequence[Message], owner: str, cache_key: str | None = None) -> ConversationThread:
    """Read a request's place in its conversation.

    Args:
        messages: As the client sent them; each has a `role`.
        owner: The owner of the conversation: requests of others hash differently.
        cache_key: The client's `prompt_cache_key`.
    """
    digest = _chain("", owner.encode())
    prefixes: list[Prefix] = []
    links: list[str] = []
    written: list[bytes] = []
    begun: list[Message] = []
    first: bytes | None = None

    def close_answer(before: str) -> str:
        said = answer_bytes(begun)
        after = _chain(before, said)
        if first is not None:  # an example before the first question is no answer
            prefixes.extend((Prefix(digest=before, answered=False), Prefix(digest=after, answered=True)))
            if (link := _link(owner, written, said)) is not None:
                links.append(link)
        return after

    for message in messages:
        if message["role"] == "assistant":
            begun.append(message)
            continue
        if begun:
            digest = close_answer(digest)
            begun, written = [], []
        found = message_bytes(message)
        digest = _chain(digest, found)
        if message["role"] not in INSTRUCTING:
            written.append(found)
        if message["role"] == "user" and first is None:
            first = found
    if begun:
        close_answer(digest)
    return ConversationThread(
        owner=owner,
        whole=digest,
        prefixes=tuple(reversed(prefixes)),
        links=tuple(reversed(links)),
        hint=_chain(_chain("hint", owner.encode()), _encode(cache_key) + b"\0" + (first or b"")) if cache_key else "",
        new_task=_is_new_task(messages),
        written=tuple(written),
        begun=tuple(begun),
    )


def match_conversation(thread: ConversationThread, known: Iterable[KnownConversation]) -> Match | None:
    """Return the conversation that a request goes on with; `None` where it begins one. The module says by which rule.

    Args:
        thread: Of the request.
        known: Conversations that have some of its digests.
    """
    candidates = tuple(known)
    if thread.fresh:
        return None
    for place, prefix in enumerate(thread.prefixes):
        having = [one for one in candidates if prefix.digest in one.digests]
        if not having:
            continue
        if prefix.answered:
            waiting = [one for one in having if one.latest.talk == prefix.digest]
            return Match(place=_latest(waiting or having).place, certain=place == 0)
        found = _linked(thread, candidates) or _only(
            [one for one in having if one.latest.tail == prefix.digest] or having
        )
        return found or _hinted(thread, candidates)
    return _linked(thread, candidates) or _hinted(thread, candidates)


def _linked(thread: ConversationThread, known: Sequence[KnownConversation]) -> Match | None:
    for link in thread.links:
        if having := [one for one in known if link in one.digests]:
            return _only(having)
    return None


def _hinted(thread: ConversationThread, known: Sequence[KnownConversation]) -> Match | None:
    having = [one for one in known if thread.hint and one.latest.hint == thread.hint]
    return Match(place=_latest(having).place, certain=False) if having else None


def _only(having: Sequence[KnownConversation]) -> Match | None:
    return Match(place=having[0].place, certain=False) if len(having) == 1 else None


def _latest(having: Sequence[KnownConversation]) -> KnownConversation:
    return max(having, key=lambda one: one.seen)


def _is_new_task(messages: Sequence[Message]) -> bool:
    if len(messages) < 2 or messages[-1]["role"] != "user":
        return False
    before = next((one for one in reversed(messages) if one["role"] not in {"user", *INSTRUCTING}), None)
    return before is not None and before["role"] == "assistant" and not before.get("tool_calls")


def message_bytes(message: Message) -> bytes:
    """A message of the client's as it is hashed."""
    parts = [str(message["role"]), str(message.get("tool_call_id") or ""), ""]
    content: object = message.get("content")
    if isinstance(content, list):
        texts = "".join(_piece(part) for part in cast("list[object]", content))
    else:
        texts = content if isinstance(content, str) else repr(content)
    if message["role"] in INSTRUCTING:
        texts = texts.translate(NO_DIGITS)
    return _encode("\x1f".join([*parts, texts, "\x1e"]))


def answer_bytes(messages: Sequence[Message]) -> bytes:
    """An answer as it is hashed: its words without blanks and thoughts, and the calls it makes."""
    words = "".join(_words(message.get("content")) for message in messages)
    calls = [_call(call) for message in messages for call in _dicts(message.get("tool_calls"))]
    return CALLS.join([_encode(words[:MAX_ANSWER_CHARACTERS]), *map(_encode, calls)])


def _words(content: object) -> str:
    if isinstance(content, list):
        texts = [part.get("text") for part in _dicts(cast("object", content))]
        content = "".join(text for text in texts if isinstance(text, str))
    if not isinstance(content, str):
        return ""
    return "".join(text_after_thoughts(content).split())


def _call(call: Message) -> str:
    function: object = call.get("function")
    fields = cast("dict[str, Any]", function) if isinstance(function, dict) else dict[str, Any]()
    given: object = fields.get("arguments")
    try:
        value: object = orjson.loads(given.strip() or "{}") if isinstance(given, str) else given
        written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # cut off, or deeper than can be written
        written = "".join(str(given).split())
    return f"{fields.get('name')}\x1e{written}"


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in cast("list[Any]", value) if isinstance(one, dict)] if isinstance(value, list) else []


def _piece(part: object) -> str:
    if isinstance(part, dict):
        fields = cast("dict[str, Any]", part)
        if isinstance(fields.get("text"), str):
            return fields["text"]
        rest = {name: value for name, value in fields.items() if name != "cache_control"}
        return orjson.dumps(rest, option=orjson.OPT_SORT_KEYS).decode()
    return repr(part)


def _link(owner: str, written: Sequence[bytes], said: bytes) -> str | None:
    """The digest of an exchange, or of its answer; `None` where it is too short to tell conversations apart."""
    alone = len(said.partition(CALLS)[0]) >= MIN_ANSWER_BYTES
    asked = b"" if alone else b"\x1d".join(written)
    if len(asked) + len(said) < MIN_LINK_BYTES or not said:
        return None
    return _chain(_chain("link", owner.encode()), asked + b"\x1d" + said)


def _chain(before: str, added: bytes) -> str:
    digest = hashlib.blake2b(before.encode(), digest_size=DIGEST_BYTES)
    digest.update(b"\0")
    digest.update(added)
    return digest.hexdigest()


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
