"""Tables on narrow terminals: no number and no day is broken, and what is left out is said."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from sale.agents.checkup import Checkup
from sale.cli import doctor, spend
from sale.cli.tables import make_table
from sale.server.store.types import Spending
from sale.types import Price
from tests.test_house import ROOT

SESSION = "0e6eda95-7f3a-4c1d-9b1e-0a4f6c2b8d11"


def shown(table: RenderableType, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False).print(table)
    assert all(len(line.rstrip()) <= width for line in stream.getvalue().splitlines())
    return stream.getvalue()


def words(text: str) -> set[str]:
    return set(text.split())


def spending(label: str, scale: int = 1) -> Spending:
    return Spending(
        label=label,
        requests=1234 * scale,
        failures=12,
        input_tokens=1234567 * scale,
        output_tokens=234567,
        cached_tokens=0,
        work_dollars=0.000008,
        auction_dollars=0.1234,
        largest_dollars=1234.56,
    )


def test_a_table_that_fits_is_as_it_is() -> None:
    table = make_table("name", "cost of a task", right=("cost of a task",), spare=("cost of a task",))
    table.add_row("a", "$0.000008")
    assert "cost of a task" in shown(table, 80)


@pytest.mark.parametrize("width", [50, 60, 80, 100])
def test_numbers_and_days_are_whole_where_texts_are_not(width: int) -> None:
    figures = ("always largest", "cost", "of what there was")
    table = make_table("day", "name", *figures, right=figures, spare=("of what there was",))
    table.add_row(
        "2026-11-30", "a name that is longer than all the rest of it", "$1,234.56 (12%)", "$0.000008", "7,431"
    )
    table.add_row("2026-12-01", "n" * 64, "$0.10", "12", "1")
    found = shown(table, width)
    assert words(found) >= {"2026-11-30", "$1,234.56", "$0.000008", "always", "largest", "cost"}
    assert "7,431" in words(found) or "Left out: of what there was." in found
    assert found.replace("\n", "").count("n" * 5) >= 1


@pytest.mark.parametrize("by", ["day", "session", "agent"])
def test_spending_can_be_read_at_80_columns(by: str) -> None:
    label = {"day": "2026-11-30", "session": SESSION, "agent": "qwen2.5-coder-32b-instruct"}[by]
    found = shown(spend._table((spending(label), spending("other", 2)), by), 80)  # type: ignore[arg-type]
    assert words(found) >= {"1,234", "2,468", "3,702", "$1,234.56", "requests", "saved", "total"}
    assert "Left out: " in found
    assert "--json" in found
    if by == "day":
        assert label in words(found)
    if by == "session":
        assert "0e6eda95…" in words(found)
        assert SESSION[9:] not in found


def test_the_checkup_fits_80_columns() -> None:
    price = Price(input=0.008, output=0.008, blended=0.008)
    row = Checkup(
        agent="qwen2.5-coder-32b-q4_k_m", price=price, reachable=True, logprobs=True, json_schema=True,
        seconds=12.34, dollars=0.000008, lacks=(), plan=True, ballot=None,
    )  # fmt: skip
    found = shown(doctor._table([row]), 80)
    assert words(found) >= {"qwen2.5-coder-32b-q4_k_m", "schema", "plan", "ballot", "12.34"}
    assert "Left out: cost." in found


def test_styles_and_sections_stay_on_a_narrow_terminal() -> None:
    table = make_table("text", "number", right=("number",))
    table.add_row(Text("word " * 20, style="bold"), "1,234,567", end_section=True)
    table.add_row("b", "2", style="red")
    stream = io.StringIO()
    Console(file=stream, width=40, force_terminal=True, color_system="standard").print(table)
    assert "\x1b[1m" in stream.getvalue()
    assert "\x1b[31m" in stream.getvalue()


def test_every_table_is_one_that_fits() -> None:
    """Tables of `rich` itself break numbers anywhere; grids without headings may be made."""
    found: list[str] = []
    for path in (ROOT / "src" / "sale" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Table":
                found.append(path.name)
    assert set(found) <= {Path("tables.py").name}
