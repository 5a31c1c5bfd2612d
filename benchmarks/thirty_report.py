"""Tables from the record of the thirty tasks. Every figure with its sample size; shares with 95 % Wilson intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist, fmean
from typing import Any

Record = dict[str, Any]
MIN_COUNT = 5
Z = NormalDist().inv_cdf(0.975)


def tables(records: Sequence[Record], direct: Sequence[Record]) -> str:
    """All tables, as Markdown."""
    parts = [
        success(records, direct),
        money(records),
        signals(records, "all tasks"),
        *(
            signals([r for r in records if r["source"] == kind], f"{kind} alone")
            for kind in dict.fromkeys(r["source"] for r in records)
            if telling([r for r in records if r["source"] == kind])
        ),
        votes(records),
        refinement(records),
        log(records),
    ]
    return "\n\n".join(parts)


def success(records: Sequence[Record], direct: Sequence[Record]) -> str:
    """Who solves what."""
    rows = [["the market (the winner's work)", share(map(solved, records)), *by_kind(records, solved)]]
    alone = {(line["id"], line["agent"]): line["verdict"] == "success" for line in direct}
    for name in agents(records):

        def planned(record: Record, name: str = name) -> bool:
            return planned_success(record, name)

        def unplanned(record: Record, name: str = name) -> bool:
            return alone.get((record["id"], name), False)

        rows.append([f"{name}, with its own first plan", share(map(planned, records)), *by_kind(records, planned)])
        if any(who == name for _, who in alone):
            rows.append([f"{name}, without a plan", share(map(unplanned, records)), *by_kind(records, unplanned)])

    def anybody(record: Record) -> bool:
        return any(planned_success(record, name) for name in agents(records))

    def anyhow(record: Record) -> bool:
        return any(alone.get((record["id"], name), False) for name in agents(records))

    rows.append(
        ["any agent with its first plan (the oracle)", share(map(anybody, records)), *by_kind(records, anybody)]
    )
    if alone:
        rows.append(["any agent without a plan", share(map(anyhow, records)), *by_kind(records, anyhow)])
    kinds = [f"{kind} (n = {count})" for kind, count in Counter(r["source"] for r in records).items()]
    return (
        f"**Solved**, n = {len(records)} tasks; an agent that dropped out of an auction has not solved its task\n\n"
        + table(["", "all", *kinds], rows)
    )


def by_kind(records: Sequence[Record], good: Callable[[Record], bool]) -> list[str]:
    """How many of each source, as counts."""
    kinds = dict.fromkeys(r["source"] for r in records)
    return [str(sum(good(r) for r in records if r["source"] == kind)) for kind in kinds]


def money(records: Sequence[Record]) -> str:
    """What it cost, and where it went."""
    settled = [r["result"]["settlement"] for r in records]
    total, auction = fsum(s["dollars"] for s in settled), fsum(s["auction_dollars"] for s in settled)
    largest = fsum(r["result"]["always_largest"]["dollars"] for r in records)
    wins = Counter(r["result"]["auction"]["winner"]["agent"] for r in records)
    seconds = fmean(r["result"]["auction"]["seconds"] for r in records)
    rows = [
        ["spent on auctions", f"${auction:.5f} ({auction / total:.0%} of the total)"],
        ["spent on work", f"${total - auction:.5f}"],
        ["always the largest, estimated", f"${largest:.5f}"],
        ["seconds per auction, mean", f"{seconds:.0f}"],
        ["tasks won", ", ".join(f"{name} {wins[name]}" for name in agents(records))],
    ]
    return "**Money**\n\n" + table(["", ""], rows)


def telling(records: Sequence[Record]) -> bool:
    """Whether there are plans of both outcomes, some of each: an area from fewer says nothing."""
    won = [planned_success(record, bid["agent"]) for record in records for bid in record["result"]["auction"]["bids"]]
    return min(won.count(True), won.count(False)) >= MIN_COUNT


def signals(records: Sequence[Record], which: str) -> str:
    """Does a signal about a first bid rank plans whose author succeeded above plans whose author failed?"""
    bids = [
        (bid, planned_success(record, bid["agent"]))
        for record in records
        for bid in record["result"]["auction"]["bids"]
    ]
    names = agents(records)
    found: list[tuple[str, list[tuple[float, bool, str]]]] = [
        (
            "entropy",
            [(b["strategy"]["entropy"]["normalised"], ok, b["agent"]) for b, ok in bids if b["strategy"]["entropy"]],
        ),
        ("plan length (tokens)", [(b["strategy"]["tokens"], ok, b["agent"]) for b, ok in bids]),
        ("price", [(b["price"], ok, b["agent"]) for b, ok in bids]),
        (
            "mean of the jury",
            [(fmean(s["value"] for s in b["scores"]), ok, b["agent"]) for b, ok in bids if b["scores"]],
        ),
        ("the market's V", [(b["value"], ok, b["agent"]) for b, ok in bids]),
    ]
    for juror in names:
        for field, words in (("value", "score"), ("expected", "expected score")):
            found.append(
                (
                    f"{words} of {juror}",
                    [
                        (s[field], ok, b["agent"])
                        for b, ok in bids
                        for s in b["scores"]
                        if s["juror"] == juror and not s["imputed"] and s[field] is not None
                    ],
                )
            )
    rows = [
        [
            name,
            *(auc([(v, ok) for v, ok, who in values if who in group]) for group in ([*names], *([n] for n in names))),
        ]
        for name, values in found
    ]
    return (
        f"**What ranks plans by the success of their author** (area under the ROC curve; 0.5 is chance), "
        f"{which}: n = {len(bids)} standing first bids\n\n"
        + table(["", "all bids", *(f"bids of {n}" for n in names)], rows)
    )


def votes(records: Sequence[Record]) -> str:
    """How jurors use the scale."""
    rows: list[list[str]] = []
    for juror in agents(records):
        given = [s for r in records for b in r["result"]["auction"]["bids"] for s in b["scores"] if s["juror"] == juror]
        counts = Counter(int(s["value"]) for s in given if not s["imputed"])
        own = [s["value"] for s in given if s["bidder"] == juror and not s["imputed"]]
        others = [s["value"] for s in given if s["bidder"] != juror and not s["imputed"]]
        missing = sum(s["imputed"] for s in given)
        means = [f"{fmean(v):.2f}" if v else "–" for v in (own, others)]
        rows.append([juror, *(str(counts[score]) for score in range(6)), str(missing), *means])
    head = ["juror", *map(str, range(6)), "missing", "mean, own plans", "mean, others' plans"]
    return "**How the jurors vote** on first bids\n\n" + table(head, rows)


def refinement(records: Sequence[Record]) -> str:
    """What refinement does."""
    refined = [
        (record, one)
        for record in records
        for one in record["result"]["auction"]["refinements"]
        if one["bid"] is not None
    ]
    first = {(r["id"], b["agent"]): b["net_cost"] for r in records for b in r["result"]["auction"]["bids"]}
    better = sum(one["bid"]["net_cost"] < first[record["id"], one["agent"]] for record, one in refined)
    flips = [r for r in records if r["result"]["auction"]["flipped"]]
    failed = sum(
        one["bid"] is None and bool(one["pairs"]) for r in records for one in r["result"]["auction"]["refinements"]
    )
    rows = [
        ["auctions in which somebody refined", f"{len({record['id'] for record, _ in refined})} of {len(records)}"],
        ["refined bids", f"{len(refined)}, and {failed} that came to nothing"],
        ["refined bids with a lower C − V than the agent's first", f"{better} of {len(refined)}"],
        ["auctions that refinement decided", str(len(flips))],
        ["of these, solved", str(sum(solved(r) for r in flips))],
        [
            "of these, the provisional winner would have solved",
            str(sum(planned_success(r, r["result"]["auction"]["provisional"]) for r in flips)),
        ],
    ]
    drops = Counter(f"{d['agent']}: {d['reason']}" for r in records for d in r["result"]["auction"]["dropouts"])
    dropped = "; ".join(f"{reason} ({count})" for reason, count in drops.most_common())
    return "**Refinement**\n\n" + table(["", ""], rows) + f"\n\nDropped out: {dropped or 'nobody'}."


def log(records: Sequence[Record]) -> str:
    """Every task in one line."""
    names = agents(records)
    rows: list[list[str]] = []
    for record in records:
        auction = record["result"]["auction"]
        marks = ["✓" if planned_success(record, n) else "·" if n in record["executions"] else "–" for n in names]
        winner = auction["winner"]["agent"] + (" (refined)" if auction["flipped"] else "")
        rows.append([record["id"], winner, "✓" if solved(record) else "·", *marks])
    return (
        "**Every task**: who won it, whether it was solved, and which agents solve it with their first plan\n\n"
        + table(["task", "winner", "solved", *names], rows)
    )


def agents(records: Sequence[Record]) -> list[str]:
    """The pool, cheapest first."""
    return list(records[0]["result"]["auction"]["weights"]["jurors"]) if records else []


def solved(record: Record) -> bool:
    """Whether the winner's work was right."""
    return record["result"]["outcome"]["verdict"] == "success"


def planned_success(record: Record, agent: str) -> bool:
    """Whether an agent's first plan led to success; an agent that dropped out has none."""
    return record["executions"].get(agent, {}).get("verdict") == "success"


def auc(pairs: Sequence[tuple[float, bool]]) -> str:
    """Probability that a successful bid ranks above a failed one, ties counting half."""
    good = [value for value, ok in pairs if ok]
    bad = [value for value, ok in pairs if not ok]
    if not good or not bad:
        return f"– (n = {len(pairs)})"
    wins = fsum(1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad)
    return f"{wins / (len(good) * len(bad)):.2f} (n = {len(good)} + {len(bad)})"


def share(flags: Iterable[bool]) -> str:
    """k/n with a 95 % Wilson interval."""
    values = list(flags)
    n, k = len(values), sum(values)
    if not n:
        return "–"
    centre = (k + Z * Z / 2) / (n + Z * Z)
    half = Z / (n + Z * Z) * math.sqrt(k * (n - k) / n + Z * Z / 4)
    return f"{k}/{n} ({100 * max(0.0, centre - half):.0f} to {100 * min(1.0, centre + half):.0f} %)"


def fsum(values: Iterable[float]) -> float:
    """Exact sum."""
    return math.fsum(values)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)
