"""A coding agent of others, unchanged, in a folder with one faulty file, with `sale serve` between it and its model.

    with coding("codex", tmp_path, mending) as coder:
        coder.run("exec", "Mend it.")
        assert coder.file.read_text() == MENDED
        coder.check_bill(requests=3)

The model is scripted; everything between it and the file is real. A client is installed by `python -m
benchmarks.gateway.environments NAME`; where it is not, the test is skipped. Nothing that a client wants from elsewhere
reaches it: its proxy is a closed port of this machine.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gateway.environments import PROGRAMS, found
from tests.support.endpoint import Endpoint
from tests.support.gateway_process import Served, gateway
from tests.support.hang import HANG
from tests.support.replies import Ask, Json

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
PAGE_ORIGIN = "http://127.0.0.1:8127"
"""The address of the gateway on the page."""
WRONG, RIGHT = "(len(values) + 1)", "len(values)"
BUGGY = f"def mean(values):\n    return sum(values) / {WRONG}\n"
MENDED = f"def mean(values):\n    return sum(values) / {RIGHT}\n"
TASK = "mean([2, 4]) in averages.py gives 2.0. Mend it."
CLOSED = "http://127.0.0.1:9"
OFFLINE = {"https_proxy": CLOSED, "http_proxy": CLOSED, "no_proxy": "127.0.0.1"}
"""Set in upper case as well: clients read the one or the other."""
PRICES = {"first": 0.1, "second": 4.0}
"""Dollars per million tokens of the two agents; `first` wins every auction."""
Call = tuple[str, Any]
"""A tool's name and its arguments."""


@dataclass(frozen=True, kw_only=True)
class Coder:
    """A client in a folder with one file, `averages.py`."""

    client: str
    served: Served
    endpoint: Endpoint
    file: Path

    @property
    def home(self) -> Path:
        """The client's home folder; nothing of this machine's own is in it."""
        return self.file.parent.parent

    def settings(self, language: str) -> str:
        """The first block of a language in the client's section of the page for users, for this gateway."""
        return self._blocks(language)[0]

    def _blocks(self, language: str = r"\w+") -> list[str]:
        """Blocks of the client's section, with this gateway's address in place of the page's."""
        found = re.findall(rf"^```{language}\n(.*?)^```", _section(self.client), re.DOTALL | re.MULTILINE)
        return [block.replace(PAGE_ORIGIN, self.served.origin) for block in found]

    def exported(self) -> dict[str, str]:
        """The environment variables that the page has its user export."""
        found = re.findall(r"^export (\w+)=(.*)$", "\n".join(self._blocks()), re.MULTILINE)
        return dict(found)

    def run(self, *arguments: str, **environment: str) -> str:
        """What one run of the client prints; the page's variables are set."""
        programs = found(self.client)
        assert programs is not None
        done = subprocess.run(
            [str(programs / PROGRAMS[self.client].command), *arguments],
            cwd=self.file.parent,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(self.home),
                **self.exported(),
                **OFFLINE,
                **{name.upper(): value for name, value in OFFLINE.items()},
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.served.said
        return done.stdout

    def work(self) -> list[Json]:
        """The requests for work that reached the endpoint."""
        return [one.body for one in self.endpoint.requests() if one.body.get("tools")]

    def lines(self, count: int) -> list[Json]:
        """The ledger, once it has so many lines."""
        self.served.wait(lambda: len(self.served.lines()) >= count)
        lines = self.served.lines()
        assert len(lines) == count, lines
        return lines

    def check_bill(self, lines: Sequence[Json]) -> None:
        """See that one auction was held, all was one conversation, and the ledger has what the endpoint was asked."""
        assert {line["status"] for line in lines} == {200}
        auctioned = {line["auction_id"] for line in lines} - {None}
        assert len(auctioned) == 1, "one conversation, one auction"
        assert len({line["session_id"] for line in lines if line["auction_id"]}) == 1
        assert sum(line["auction_dollars"] > 0 for line in lines) == 1
        billed = sum(line["work_dollars"] + line["auction_dollars"] for line in lines)
        assert billed == pytest.approx(self.spent(), abs=1e-12)

    def spent(self) -> float:
        """Dollars by the endpoint's own count, for bids and ballots and work."""
        found = 0.0
        for one in self.endpoint.requests():
            tokens = sum((one.usage or {}).get(name, 0) for name in ("prompt_tokens", "completion_tokens"))
            found += PRICES[one.model.rpartition("@")[2]] * tokens / 1e6
        return found


@contextlib.contextmanager
def coding(client: str, folder: Path, call: Callable[[Ask, Path], list[Json] | None]) -> Generator[Coder]:
    """A client with its file, its gateway and its model; skipped where the client is not installed.

    Args:
        client: Its name in `benchmarks.gateway.environments`.
        folder: Takes everything.
        call: What the model calls next, by the request and the file.
    """
    if found(client) is None:
        pytest.skip(f"{client} is not installed: python -m benchmarks.gateway.environments {client}")
    file = folder / "home" / "package" / "averages.py"
    file.parent.mkdir(parents=True)
    file.write_text(BUGGY, encoding="utf-8")
    with Endpoint() as endpoint:
        endpoint.call = lambda ask: call(ask, file)
        shared = {"endpoint": endpoint.base_url, "logprobs": 0}
        models = {"first": "reasoning-field+score-3@first", "second": "good@second"}
        agents: list[Json] = [{"name": one, "model": models[one], "price": PRICES[one], **shared} for one in PRICES]
        with gateway(folder / "gateway", agents) as served:
            yield Coder(client=client, served=served, endpoint=endpoint, file=file)


def next_call(ask: Ask, steps: Sequence[Call]) -> list[Json] | None:
    """The call of the first step that has no result yet; none in a request without tools, and when all is done.

    Each call has a signature, as models of some providers want theirs back.
    """
    done = sum(message["role"] == "tool" for message in ask.messages)
    if not ask.body.get("tools") or done >= len(steps):
        return None
    name, given = steps[done]
    function = {"name": name, "arguments": json.dumps(given)}
    return [{"id": f"call_{done}", "type": "function", "function": function, "extra_content": {"signature": done}}]


def signatures(body: Json) -> list[Any]:
    """Those of the calls in a request's history, in order."""
    calls = [call for message in body["messages"] for call in message.get("tool_calls") or ()]
    return [call.get("extra_content") for call in calls]


def _section(client: str) -> str:
    """The client's section of the page for users."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = {title.lower().replace(" ", "-"): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}
    return sections[client]
