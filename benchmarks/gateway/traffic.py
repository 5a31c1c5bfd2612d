"""A day of traffic, made up, written down and replayed: conversations of several turns, as clients have them.

    python -m benchmarks.gateway.traffic --conversations 2000 > day.jsonl

A line is one conversation. More begin during working hours; most have few turns and few words, and some many, so that
bills are as uneven as real ones. Every fourth is streamed, and of every third its user says how it came out. The same
seed makes the same day.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2

HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 14, 16, 15, 13, 11, 13, 15, 15, 13, 9, 6, 4, 3, 3, 2, 1)
"""Weights of the hours of the day."""
TOPICS = ("invoice", "password", "delivery", "contract", "printer", "holiday", "budget", "server")
MAX_TURNS = 8
MAX_WORDS = 400
SECONDS = 120.0
"""For one answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """A conversation of the day."""

    session: str
    at: float
    """Seconds after midnight."""
    hard: bool
    """Its user says so, for upstreams that make a difference."""
    turns: tuple[str, ...]
    """The user's words, turn by turn; the first ones name the session."""
    stream: bool
    verdict: str | None
    """The user's feedback; `None` where there is none."""


def make_day(conversations: int, seed: int = 16) -> list[Conversation]:
    """Make up a day.

    Args:
        conversations: How many begin on it.
        seed: Of the random numbers.
    """
    chance = random.Random(seed)
    hours = chance.choices(range(len(HOURS)), HOURS, k=conversations)
    times = sorted(hour * 3600 + chance.random() * 3600 for hour in hours)
    return [_conversation(number, at, chance) for number, at in enumerate(times)]


def _conversation(number: int, at: float, chance: random.Random) -> Conversation:
    session, topic = f"ticket-{number:06}", chance.choice(TOPICS)
    hard = chance.random() < 0.3
    turns = [f"{session}: a {'hard' if hard else 'simple'} question about the {topic}. {_words(chance)}"]
    while len(turns) < MAX_TURNS and chance.random() < 0.55:
        turns.append(f"And what of it, the {len(turns)}. time? {_words(chance)}")
    verdict = chance.choice(("success", "success", "failure")) if number % 3 == 0 else None
    return Conversation(
        session=session, at=round(at, 1), hard=hard, turns=tuple(turns), stream=number % 4 == 0, verdict=verdict
    )


def _words(chance: random.Random) -> str:
    return " ".join(chance.choices(TOPICS, k=min(MAX_WORDS, int(chance.lognormvariate(3.0, 1.0)))))


def read_day(file: Path) -> list[Conversation]:
    """Read a day that was written down."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [Conversation(**row | {"turns": tuple(row["turns"])}) for row in rows]


def day_lines(day: Iterable[Conversation]) -> str:
    """Return a day as JSON, a line for each conversation."""
    return "".join(f"{json.dumps(asdict(one))}\n" for one in day)


async def replay(base_url: str, day: Sequence[Conversation], *, side_by_side: int = 8) -> int:
    """Have a day's conversations again, in their order and without the pauses; returns the requests answered.

    Args:
        base_url: Of the gateway, ending in `/v1`.
        day: The conversations.
        side_by_side: Conversations at one time.

    Raises:
        httpx2.HTTPStatusError: A request was refused.
    """
    waiting = iter(sorted(day, key=lambda one: one.at))
    async with httpx2.AsyncClient(timeout=SECONDS) as http, asyncio.TaskGroup() as group:
        workers = [group.create_task(_work(http, base_url, waiting)) for _ in range(side_by_side)]
    return sum(worker.result() for worker in workers)


async def _work(http: httpx2.AsyncClient, base_url: str, waiting: Iterable[Conversation]) -> int:
    answered = 0
    for one in waiting:  # the workers share the iterator
        messages: list[dict[str, str]] = []
        for words in one.turns:
            messages.append({"role": "user", "content": words})
            body = {"model": "sale", "messages": messages, "stream": one.stream}
            headers = {"x-sale-session": one.session}
            done = await http.post(f"{base_url}/chat/completions", json=body, headers=headers)
            done.raise_for_status()
            messages.append({"role": "assistant", "content": _said(done.text, stream=one.stream)})
            answered += 1
        if one.verdict is not None:
            told = {"session_id": one.session, "verdict": one.verdict}
            (await http.post(f"{base_url}/feedback", json=told)).raise_for_status()
    return answered


def _said(text: str, *, stream: bool) -> str:
    if not stream:
        return str(json.loads(text)["choices"][0]["message"]["content"])
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for event in events for choice in json.loads(event)["choices"]]
    return "".join(str(delta.get("content") or "") for delta in deltas)


def main() -> None:
    """Print a day."""
    parser = argparse.ArgumentParser(description="A day of made-up traffic, as JSON lines.")
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=16)
    given = parser.parse_args()
    sys.stdout.write(day_lines(make_day(given.conversations, given.seed)))


if __name__ == "__main__":
    main()
