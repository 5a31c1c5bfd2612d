"""What the test endpoint's models say: plans, ballots, answers and tool calls that look like the real thing.

Everything here is a pure function of the request, so a test that asks twice is told the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

PLAN = """1. Read the task and name its inputs, outputs and edge cases ({name}).
2. Work out the smallest example by hand, so that there is something to compare with.
3. Write the solution in one go, simplest way first.
4. Check it against the example; the easiest mistake is to forget the empty input."""
ANSWER = "The answer is 42."
THOUGHTS = "The user wants something.\n1. I could guess.\n2. Better not."
TRUE_MEANINGS = {"boolean": True, "number": 1.0, "string": "print(6 * 7)", "array": [], "object": {}, "null": None}
ODD_LOGPROBS: tuple[object, ...] = (math.nan, -9999.0, "low", None, 3.5, math.inf, True, -0.25)

_TOKEN = re.compile(r"\d|[^\W\d]+|\s+|[^\w\s]|_")
_PLAN_LABEL = re.compile(r"^<plan (\w+) [0-9a-f]{8}>$", re.MULTILINE)
_VERDICT_LABEL = re.compile(r'{"(correct_\w+)": true} or')


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One chat request, as its behaviours see it."""

    body: Json
    headers: Mapping[str, str]
    traits: tuple[str, ...]
    turn: int
    """How many requests this model has had, this one included."""

    def has(self, trait: str) -> bool:
        return trait in self.traits

    def number(self, prefix: str) -> int | None:
        """The number of a trait like `slow-<ms>`; `None` where the model has no such trait."""
        found = (trait.removeprefix(prefix) for trait in self.traits if trait.startswith(prefix))
        return next((int(rest) for rest in found if rest.isdigit()), None)

    @property
    def prompt(self) -> str:
        return "\n".join(str(message.get("content") or "") for message in self.messages)

    @property
    def messages(self) -> list[Json]:
        found: object = self.body.get("messages")
        return found if isinstance(found, list) else []

    @property
    def schema(self) -> Json | None:
        wanted: object = self.body.get("response_format")
        named: object = wanted.get("json_schema") if isinstance(wanted, dict) else None
        return named.get("schema") if isinstance(named, dict) else None

    @property
    def judging(self) -> bool:
        return self.schema is not None or "JSON only" in self.prompt

    @property
    def planning(self) -> bool:
        return "numbered steps" in self.prompt

    @property
    def max_tokens(self) -> int:
        return int(self.body.get("max_completion_tokens") or self.body.get("max_tokens") or 10**9)


def text_for(ask: Ask) -> str:
    """What the model has to say: a ballot, a plan or an answer, by what it is asked for."""
    if ask.judging:
        return _ballot(ask)
    if ask.planning:
        return PLAN.format(name=ask.body.get("model"))
    observed = [message for message in ask.messages if message.get("role") == "tool"]
    return f"{ANSWER} The tool said: {observed[-1]['content']}" if observed else ANSWER


def _ballot(ask: Ask) -> str:
    if ask.has("prose-ballot") or (ask.has("prose-then-ballot") and ask.turn % 2):
        return "Both plans are fine, but I like the first one better: five out of five."
    scores = json.dumps(_fill(ask))
    return f"```json\n{scores}\n```" if ask.has("fenced-ballot") else scores


def _fill(ask: Ask) -> Json:
    """An object that the schema allows; without one, a score for each plan the prompt shows."""
    if ask.schema is not None:
        properties: Json = ask.schema.get("properties", {})
    elif found := _VERDICT_LABEL.search(ask.prompt):
        properties = {found[1]: {"type": "boolean"}}
    else:
        properties = {label: {"type": "integer"} for label in _PLAN_LABEL.findall(ask.prompt)}
    fixed = ask.number("score-")
    scores = {
        name: (3 + position % 3 if fixed is None else fixed)
        if kind.get("type") == "integer"
        else TRUE_MEANINGS.get(str(kind.get("type")))
        for position, (name, kind) in enumerate(properties.items())
    }
    return dict.fromkeys(scores, 9) if ask.has("out-of-range-ballot") else scores


def tool_calls_for(ask: Ask) -> list[Json] | None:
    """The tool call the model makes now, if it makes one."""
    tools: list[Json] = ask.body.get("tools") or []
    if not tools:
        return None
    used = any(message.get("role") == "tool" for message in ask.messages)
    wants = ask.has("tool-loops-forever") or (
        not used and any(ask.has(trait) for trait in ("tool-caller", "tool-bad-arguments", "tool-unknown"))
    )
    if not wants:
        return None
    function: Json = tools[0]["function"]
    properties: Json = function.get("parameters", {}).get("properties", {})
    arguments = {
        name: 2 if kind.get("type") == "integer" else TRUE_MEANINGS.get(str(kind.get("type")))
        for name, kind in properties.items()
    }
    bad = ask.has("tool-bad-arguments")
    name = "no_such_tool" if ask.has("tool-unknown") else function["name"]
    call = {"name": name, "arguments": '{"n": ' if bad else json.dumps(arguments)}
    return [{"id": f"call_{ask.turn}", "type": "function", "function": call}]


def completion(ask: Ask, text: str, calls: list[Json] | None) -> Json:
    """A whole chat completion, bent as the model's traits say."""
    tokens = _TOKEN.findall("" if calls else text)
    limit = len(tokens) // 2 if ask.has("truncated") else ask.max_tokens
    cut = len(tokens) > limit
    tokens = tokens[:limit]
    message: Json = {"role": "assistant", "content": None if calls else "".join(tokens)}
    if calls:
        message["tool_calls"] = calls
    elif ask.has("reasoning-field"):
        message["reasoning_content"] = THOUGHTS
    elif ask.has("refusal"):
        message |= {"content": None, "refusal": "I cannot help with that."}
    choice: Json = {
        "index": 0,
        "message": message,
        "finish_reason": "tool_calls" if calls else "length" if cut or ask.has("thinking-cut") else "stop",
        "logprobs": _logprobs(ask, tokens),
    }
    if ask.has("null-text"):
        message["content"] = None
    found: Json = {
        "id": f"chatcmpl-{ask.turn}",
        "object": "chat.completion",
        "created": 1_780_000_000,
        "model": ask.body.get("model"),
        "choices": [] if ask.has("empty-choices") else None if ask.has("null-choices") else [choice],
        "usage": _usage(ask, len(tokens) or (12 if calls else 0)),
    }
    if found["usage"] is None:
        del found["usage"]
    return found


def chunks(whole: Json) -> list[Json]:
    """The same completion as a stream: the role, each word, the finish, and the usage last."""
    choices: list[Json] = whole["choices"] or []
    shell = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    deltas: list[tuple[Json, str | None]] = []
    for choice in choices:
        message = choice["message"]
        deltas.append(({"role": "assistant", "content": ""}, None))
        deltas += [({"content": word}, None) for word in re.findall(r"\S+\s*", message.get("content") or "")]
        deltas += [({"refusal": message["refusal"]}, None)] if message.get("refusal") else []
        calls: list[Json] = message.get("tool_calls") or []
        if calls:
            deltas.append(({"tool_calls": [{"index": index, **call} for index, call in enumerate(calls)]}, None))
        deltas.append(({}, choice["finish_reason"]))
    parts = [{**shell, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} for delta, finish in deltas]
    return [*parts, {**shell, "choices": [], "usage": whole["usage"]}] if whole.get("usage") else parts


def embedding(text: str, size: int) -> list[float]:
    """A vector of length one: words are hashed to dimensions, so texts that share words are close."""
    vector = [0.0] * size
    for word in re.findall(r"\w+", text.lower()) or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % size] += 1.0 if digest[1] % 2 else -1.0
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector] if length else [1.0] + [0.0] * (size - 1)


def _usage(ask: Ask, completion_tokens: int) -> Json | None:
    if ask.has("no-usage"):
        return None
    if ask.has("negative-usage"):
        return {"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12}
    if ask.has("zero-usage"):
        return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    if ask.has("odd-usage"):
        return {"prompt_tokens": "many", "completion_tokens": None, "total_tokens": []}
    prompt_tokens = len(_TOKEN.findall(ask.prompt))
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _logprobs(ask: Ask, tokens: Sequence[str]) -> Json | None:
    if not ask.body.get("logprobs") or ask.has("no-logprobs"):
        return None
    top = int(ask.body.get("top_logprobs") or 0)
    odd = ask.has("weird-logprobs")

    def entry(index: int, token: str) -> Json:
        chosen: object = ODD_LOGPROBS[index % len(ODD_LOGPROBS)] if odd else -0.1
        others = [(token, chosen), *((f"~{rank}", -3.0 - rank) for rank in range(1, top))][:top]
        found = [{"token": text, "logprob": value, "bytes": list(text.encode())} for text, value in others]
        return {"token": token, "logprob": chosen, "bytes": list(token.encode()), "top_logprobs": found}

    return {"content": [entry(index, token) for index, token in enumerate(tokens)], "refusal": None}
