"""Tables from what others recorded: published router figures computed again, and success against human time.

They are made from derived aggregates that are committed, so the records themselves, which may not be passed on, are not
needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sale.bench.report.report_table import ReportTable
from sale.errors import InputError
from sale.files.reading import read_text

REPRODUCTIONS, HUMAN_TIME = "reproductions.json", "human_time.json"
AGREES = {True: "yes", False: "no", None: "–"}


def external_tables(folder: Path) -> Iterator[ReportTable]:
    """The tables of the aggregates in a folder, those that are there.

    Raises:
        InputError: A file cannot be read.
    """
    if (found := _read(folder / REPRODUCTIONS)) is not None:
        yield _reproductions(found)
    if (found := _read(folder / HUMAN_TIME)) is not None:
        yield _horizons(found["metr"])
        yield _ratios(found["swebench"])


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error


def _reproductions(found: Mapping[str, Any]) -> ReportTable:
    rows: list[tuple[str, ...]] = []
    for one in found["reproductions"]:
        published, ours = one["published"], one["ours"]
        rows.append(
            (
                one["name"],
                one["unit"],
                "–" if published is None else f"{published['value']:g} ± {published['error']:g}",
                f"{ours['value']:.3g} ({ours['low']:.3g} to {ours['high']:.3g})",
                str(one["n"]),
                AGREES[one["agrees"]] if one["same_conditions"] else "other training",
                one["explanation"],
                "" if published is None else f"{published['source']} ({published['checked']})",
            )
        )
    return ReportTable(
        key="reproductions",
        title="Published figures of routers, and ours on the same public tables",
        head=("figure", "unit", "published", "ours (95 %)", "tasks", "agrees", "notes", "source"),
        rows=tuple(rows),
        note=(
            "Agrees: the published figure, within its own error or rounding, meets our interval. Where the training "
            "data differ the two stand side by side and nothing is claimed."
        ),
    )


def _horizons(metr: Mapping[str, Any]) -> ReportTable:
    models = metr["models"]
    bins = list(dict.fromkeys(part["bin"] for model in models for part in model["by_bin"]))
    rows: list[tuple[str, ...]] = []
    for model in models:
        by_bin = {part["bin"]: part["pass_at_1"] for part in model["by_bin"]}
        published = model["published"]
        rows.append(
            (
                model["model"],
                *(f"{100 * by_bin[label]['value']:.0f}" if label in by_bin else "–" for label in bins),
                _interval(model["horizon"]),
                "–" if published is None else _interval(published),
            )
        )
    return ReportTable(
        key="horizons",
        title="METR's runs: share solved, %, by human minutes, and the 50 % time horizon in minutes",
        head=("model", *bins, "horizon, ours", "horizon, published"),
        rows=tuple(rows),
        note=f"{metr['differences']} Source: {metr['source']}. Published: {metr['published_source']}.",
    )


def _ratios(swe: Mapping[str, Any]) -> ReportTable:
    rows = [
        (
            f"{contest['small']} / {contest['large']}",
            part["bin"],
            str(part["tasks"]),
            _interval(part["success"]),
            _interval(part["dollars"]),
        )
        for contest in swe["ratios"]
        for part in contest["by_bin"]
    ]
    return ReportTable(
        key="swebench",
        title="SWE-bench Verified in one scaffold: what cheap models reach of dear ones, by human time",
        head=("cheap / dear", "human time", "tasks", "ratio of tasks solved", "ratio of dollars"),
        rows=tuple(rows),
        note=f"Source: {swe['source']}.",
    )


def _interval(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    low, high = found.get("low"), found.get("high")
    shown = _short(found["value"])
    return shown if low is None or high is None else f"{shown} ({_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    """Two figures that count, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
