"""The record of the benchmark, and the page made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.gateway.load import Measured

PAGE = Path("docs/gateway-speed.md")
BEGIN, END = "<!-- made by `python -m benchmarks.gateway`: begin -->", "<!-- end -->"
DIRECT = "direct"
LITELLM = "LiteLLM"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One contender in one mode at one number of connections."""

    contender: str
    mode: str
    connections: int
    measured: Measured
    rss_mib: float

    @property
    def per_second(self) -> float:
        """Requests per second of the clock."""
        return self.measured.requests / self.measured.seconds

    @property
    def per_core_second(self) -> float:
        """Requests per second of the server's own processor time."""
        cpu = self.measured.server_cpu_seconds
        return self.measured.requests / cpu if cpu else 0.0

    @property
    def line(self) -> str:
        """For those who watch."""
        latency, first = self.measured.latency, self.measured.first_token
        return (
            f"{self.contender:42} {self.mode:6} c{self.connections:<4} {self.per_second:8.1f}/s "
            f"{self.per_core_second:8.1f}/core-s p50 {shown(latency.p50):>8} p99 {shown(latency.p99):>8} "
            f"first {shown(first.p50):>8} ms, {self.rss_mib:.0f} MiB, errors {self.measured.errors or 0}"
        )


@dataclass(frozen=True, kw_only=True)
class Soak:
    """Many requests, and the memory after each part of them."""

    server: str
    requests: int
    seconds: float
    start_mib: float
    rss_mib: Sequence[float]
    errors: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything a run measured."""

    at: str
    python: str
    peers: Mapping[str, str]
    """Versions of the others, by name."""
    cells: list[Cell]
    soaks: list[Soak]

    @classmethod
    def read(cls, path: Path) -> Record:
        """The record on disk; an empty one where there is none."""
        if not path.exists():
            return cls(at="", python="", peers={}, cells=[], soaks=[])
        return TypeAdapter(cls).validate_json(path.read_bytes())

    def with_soaks(self, soaks: list[Soak]) -> Record:
        """The same with these soaks in place of earlier ones of the same servers."""
        ours = {one.server for one in soaks}
        return replace(self, soaks=[*(one for one in self.soaks if one.server not in ours), *soaks])

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def shown(figure: float | None) -> str:
    """Three figures that mean something."""
    if figure is None:
        return "–"
    return f"{figure:.0f}" if abs(figure) >= 100 else f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def write_page(record: Record) -> None:
    """Put the tables between the page's marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(record)}\n{END}{after}", encoding="utf-8")


def tables(record: Record) -> str:
    """All of them, in Markdown."""
    if not record.cells:
        return "Nothing is on record.\n"
    others = ", ".join(f"{name} {version}" for name, version in sorted(record.peers.items()))
    parts = [f"Measured on {record.at} with Python {record.python}, {others}.\n"]
    titles = {
        "whole": "Whole answers",
        "stream": "Streams whose frames come all at once",
    }
    parts += [f"### {title}\n\n{_throughput(record.cells, mode)}" for mode, title in titles.items()]
    parts.append(f"### Streams of a frame every ten milliseconds\n\n{_pace(record.cells)}")
    if record.soaks:
        parts.append(f"### Memory over many requests\n\n{_memory(record.soaks)}")
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _pick(cells: Sequence[Cell], mode: str, connections: int, contender: str) -> Cell | None:
    wanted = (mode, connections, contender)
    return next((one for one in cells if (one.mode, one.connections, one.contender) == wanted), None)


def _throughput(cells: Sequence[Cell], mode: str) -> str:
    head = ["connections, contender", "requests/s", "per core-second", "× LiteLLM", "p50", "p90", "p99", "errors"]
    rows: list[list[str]] = []
    for one in (cell for cell in _ordered(cells) if cell.mode == mode):
        direct = _pick(cells, mode, one.connections, DIRECT)
        peer = _pick(cells, mode, one.connections, LITELLM)
        latency = one.measured.latency
        own = one.contender == DIRECT
        ratio = one.per_core_second / peer.per_core_second if peer and peer.per_core_second and not own else None
        base = direct.measured.latency if direct and not own else None
        rows.append(
            [
                f"{one.connections}, {one.contender}",
                f"{one.per_second:.0f}",
                f"{one.per_core_second:.0f}",
                "" if ratio is None else f"{ratio:.1f}",
                _over(latency.p50, base and base.p50),
                _over(latency.p90, base and base.p90),
                _over(latency.p99, base and base.p99),
                str(sum(one.measured.errors.values())),
            ]
        )
    return _table(head, rows)


def _pace(cells: Sequence[Cell]) -> str:
    head = ["connections, contender", "first token p50", "p99", "between frames p50", "p99", "errors"]
    rows: list[list[str]] = []
    for one in (cell for cell in _ordered(cells) if cell.mode == "paced"):
        direct = _pick(cells, "paced", one.connections, DIRECT)
        base = direct.measured if direct and one.contender != DIRECT else None
        first, between = one.measured.first_token, one.measured.between
        rows.append(
            [
                f"{one.connections}, {one.contender}",
                _over(first.p50, base and base.first_token.p50),
                _over(first.p99, base and base.first_token.p99),
                _over(between.p50, base and base.between.p50),
                _over(between.p99, base and base.between.p99),
                str(sum(one.measured.errors.values())),
            ]
        )
    return _table(head, rows)


def _memory(soaks: Sequence[Soak]) -> str:
    head = ["server", "requests", "at start", "after a tenth", "after half", "at the end", "errors"]
    rows = [
        [
            one.server,
            str(one.requests),
            shown(one.start_mib),
            _after(one, 0.1),
            _after(one, 0.5),
            _after(one, 1.0),
            str(sum(one.errors.values())),
        ]
        for one in soaks
    ]
    return _table(head, rows)


def _after(soak: Soak, share: float) -> str:
    return shown(soak.rss_mib[int(share * (len(soak.rss_mib) - 1))])


def _ordered(cells: Sequence[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda cell: cell.connections)


def _over(figure: float | None, base: float | None) -> str:
    """A figure in milliseconds, with what it adds to the direct one."""
    if figure is None or base is None:
        return shown(figure)
    return f"{shown(figure)} ({figure - base:+.2f})"
