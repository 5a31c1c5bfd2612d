"""Each table of a report begins with a sentence that needs no paper."""

from __future__ import annotations

import ast
from pathlib import Path

from sale.bench.report import tables
from sale.bench.report.plain_words import SENTENCES, explain_table
from sale.bench.report.report_table import ReportTable


def keys() -> set[str]:
    """The keys that the tables of a report are made with, without their domain."""
    found: set[str] = set()
    for name in (tables.__file__, str(Path(tables.__file__).with_name("refined.py"))):
        for node in ast.walk(ast.parse(Path(name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "key":
                parts = node.value.values if isinstance(node.value, ast.JoinedStr) else [node.value]
                found.add("".join(str(part.value) for part in parts if isinstance(part, ast.Constant)).strip("-"))
    return found


def test_every_table_of_a_report_is_explained() -> None:
    made = keys()
    assert {"main", "bins", "shapley", "overall-main", "signals", "record"} <= made
    for key in made - {"signals"} | {"signals-planned", "signals-direct"}:
        table = ReportTable(
            key=key if key in {"record", "overall-main"} else f"coding-{key}", title="t", head=(), rows=()
        )
        assert explain_table(table), key


def test_the_sentence_stands_between_title_and_table() -> None:
    table = ReportTable(key="coding-bins", title="Bins", head=("a",), rows=(("1",),), note="n")
    assert table.markdown(explain_table(table)).splitlines()[:4] == ["**Bins**", "", SENTENCES["bins"], ""]
    assert table.markdown().splitlines()[2] == "| a |"
    assert explain_table(ReportTable(key="other", title="t", head=(), rows=())) == ""
