"""Figures: the same data give the same bytes, whatever the process and its settings; what is drawn is what is given."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from sale.bench.figure_style import darken_for_text, ink_on, png, ramp, save, shade, spread, svg, whiskers
from sale.bench.figures import (
    escalation_map,
    shapley_bars,
    success_by_bin,
    win_share_lines,
    workload_bars,
)
from sale.bench.metrics import Escalation, Workload, win_share
from sale.bench.pareto import Kind, ParetoPoint, pareto_plot
from sale.bench.stats import Interval
from sale.errors import InputError, OutputError
from tests.support.hang import HANG

ROOT = Path(__file__).parents[2]
AGENTS = ("135M", "0.5B", "1.5B")


def about(value: float, half: float | None = 0.05) -> Interval:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Interval(value=value, low=low, high=high, tasks=40, how="bootstrap")


def pareto() -> Figure:
    rows: list[tuple[str, float, float, Kind]] = [
        ("135M", 1, 0.2, "agent"),
        ("0.5B", 2, 0.5, "agent"),
        ("1.5B", 4, 0.6, "agent"),
        ("SALE", 2.5, 0.62, "ours"),
        ("CARROT", 2.6, 0.58, "router"),
        ("oracle", 1.8, 0.75, "oracle"),
    ]
    return pareto_plot(
        [
            ParetoPoint(name=name, cost=about(cost * 1e-4, 1e-5), success=about(success), kind=kind)
            for name, cost, success, kind in rows
        ]
    )


def workload() -> Figure:
    shares = tuple(tuple(about(share) for share in row) for row in ((0.5, 0.3, 0.2), (0.02, 0.38, 0.6)))
    return workload_bars(Workload(labels=("≤ 0.1", "≤ 0.5"), agents=AGENTS, tasks=(20, 30), shares=shares))


def wins() -> Figure:
    rng = np.random.default_rng(0)
    return win_share_lines([win_share(rng.integers(3, size=60), 3) for _ in range(3)], AGENTS)


def bins() -> Figure:
    rows = {name: {"≤ 0.1": about(0.9 - at), "≤ 0.5": about(0.6 - at)} for name, at in (("SALE", 0), ("1.5B", 0.02))}
    return success_by_bin(rows, ours="SALE")


def shapley() -> Figure:
    row = [about(0.1), about(0.2), about(0.3, None)]
    return shapley_bars(AGENTS, {"without memory": row, "with memory": row})


def escalation() -> Figure:
    counts = np.array([[5, 3, 2], [1, 8, 2], [0, 0, 0], [2, 2, 9]])
    share = about(0.2)
    return escalation_map(
        Escalation(agents=AGENTS, counts=counts, over=share, under=share, exact=share, hopeless=share)
    )


FIGURES: dict[str, Callable[[], Figure]] = {
    made.__name__: made for made in (pareto, workload, wins, bins, shapley, escalation)
}
every = pytest.mark.parametrize("made", FIGURES.values(), ids=FIGURES)
ELSEWHERE = """
import hashlib, runpy, sys
import matplotlib
matplotlib.rcParams.update({"font.size": 20, "svg.hashsalt": None, "lines.linewidth": 9, "axes.facecolor": "red"})
names = runpy.run_path(sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules
for name, made in names["FIGURES"].items():
    figure = made()
    print(name, hashlib.sha256(names["svg"](figure)).hexdigest(), hashlib.sha256(names["png"](figure, 80)).hexdigest())
"""


def texts(figure: Figure) -> set[str]:
    found: list[Any] = figure.axes[0].findobj(Text)
    return {text.get_text() for text in found}


@every
def test_the_same_figure_is_the_same_bytes(made: Callable[[], Figure]) -> None:
    one, other = made(), made()
    assert png(one, 80) == png(other, 80)
    assert svg(one) == svg(other) == svg(one)


def test_another_process_with_other_settings_writes_the_same_bytes() -> None:
    result = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, __file__], capture_output=True, text=True, check=True, timeout=HANG, cwd=ROOT
    )
    there = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    for name, made in FIGURES.items():
        figure = made()
        digests = " ".join(hashlib.sha256(content).hexdigest() for content in (svg(figure), png(figure, 80)))
        assert there[name] == digests, name


@every
def test_nothing_is_left_behind_and_no_date_is_written(made: Callable[[], Figure]) -> None:
    before = dict(mpl.rcParams)
    content = svg(made())
    assert dict(mpl.rcParams) == before
    assert b"<dc:date>" not in content
    assert b"<text" not in content


@every
def test_names_stay_within_the_figure(made: Callable[[], Figure]) -> None:
    figure = made()
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert box.x0 >= -1, text.get_text()
        assert box.y0 >= -1, text.get_text()
        assert box.x1 <= width + 1, text.get_text()
        assert box.y1 <= height + 1, text.get_text()


def test_names_of_points_do_not_hide_each_other() -> None:
    figure = pareto()
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 6
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:place])


def test_what_is_given_is_written() -> None:
    assert {"SALE", "CARROT", "oracle", "135M", "Cost per 1,000 tasks ($)"} <= texts(pareto())
    assert {"≤ 0.1\nn = 20", "50", "38", "60", "135M"} <= texts(workload())
    assert "2" not in texts(workload())
    assert {"8\n73 %", "9\n69 %", "0", "nobody\nn = 13", "1.5B\nn = 0"} <= texts(escalation())
    assert any("dearer than needed 20 % [15, 25]" in text for text in texts(escalation()))
    assert {"■ without memory", "■ with memory"} <= texts(shapley())


def test_the_bars_are_as_high_as_the_shares() -> None:
    bars = [bar for bar in workload().axes[0].patches if isinstance(bar, Rectangle)]
    assert [round(bar.get_height(), 9) for bar in bars] == [0.5, 0.02, 0.3, 0.38, 0.2, 0.6]


def test_one_of_everything_can_be_drawn() -> None:
    lonely = about(0.0, None)
    figures = [
        pareto_plot([ParetoPoint(name="free", cost=lonely, success=lonely)]),
        win_share_lines([win_share(np.array([0]), 1)], ["only"]),
        success_by_bin({"a": {"x": lonely}}),
        shapley_bars(["only"], {"": [lonely]}),
    ]
    assert all(svg(figure).startswith(b"<?xml") for figure in figures)


def test_nothing_to_draw_is_refused() -> None:
    for empty in (
        lambda: pareto_plot([]),
        lambda: win_share_lines([], AGENTS),
        lambda: success_by_bin({}),
        lambda: success_by_bin({"a": {}}),
        lambda: shapley_bars(AGENTS, {}),
    ):
        with pytest.raises(ValueError, match="nothing to draw"):
            empty()
    with pytest.raises(ValueError, match="one shape"):
        win_share_lines([np.ones((3, 2)), np.ones((4, 2))], ["a", "b"])
    with pytest.raises(ValueError, match="needs a value"):
        shapley_bars(AGENTS, {"all": [about(0.1)]})


def test_figures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    folder, figure = tmp_path / "figures", bins()
    folder.mkdir()
    save(figure, folder / "bins.svg")
    save(figure, folder / "bins.png")
    assert (folder / "bins.svg").read_bytes() == svg(figure)
    assert (folder / "bins.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(InputError, match=r"\.pdf"):
        save(figure, folder / "bins.pdf")
    with pytest.raises(OutputError, match="cannot be written"):
        save(figure, folder / "nowhere" / "bins.svg")
    assert sorted(path.name for path in folder.iterdir()) == ["bins.png", "bins.svg"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.2))
def test_labels_are_spread_in_order_within_bounds(wanted: list[float], gap: float) -> None:
    found = spread(wanted, gap, 0.0, 1.0)
    used = min(gap, 1 / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = [found[place] for place in order]
    assert all(later - earlier >= used - 1e-9 for earlier, later in itertools.pairwise(placed))
    assert min(found) >= -1e-9
    assert max(found) <= 1 + 1e-9


def test_labels_with_room_stay_where_they_are() -> None:
    assert spread([0.5, 0.1, 0.9], 0.1, 0.0, 1.0) == pytest.approx([0.5, 0.1, 0.9])
    assert spread([0.5, 0.5], 0.1, 0.0, 1.0) == pytest.approx([0.45, 0.55])


def test_colours_go_from_light_to_dark_and_letters_can_be_read() -> None:
    lightness = [sum(to_rgb(colour)) for colour in ramp(6)]
    assert lightness == sorted(lightness, reverse=True)
    assert (ramp(0), len(ramp(1))) == ([], 1)
    assert ink_on(shade(0.0)) != "white"
    assert ink_on(shade(1.0)) == "white"
    assert darken_for_text("#ffffff") != "#ffffff"
    assert darken_for_text("#000000") == "#000000"


def test_an_unknown_interval_has_no_whisker() -> None:
    assert whiskers([about(0.5, None), about(0.5, 0.1)]).ravel().tolist() == pytest.approx([0, 0.1, 0, 0.1])
