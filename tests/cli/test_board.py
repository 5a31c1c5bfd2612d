"""The board on terminals of several widths and abilities: nothing that tells agents apart is cut."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sale.auction.scoring import weigh
from sale.cli.bid_table import BidTable, explain_bids
from sale.cli.board import auction_board, money, plain
from sale.types import Auction, Bid, Score, Settlement, SuccessModel, TrackRecord, Weights
from tests.cli.test_statuses import write
from tests.support.builders import TASK, score, strategy
from tests.support.command import run_sale

ALIKE = tuple(f"qwen2.5-coder-32b-instruct-q4_k_m-{place}" for place in ("east-1a", "east-1b", "west-1a", "west-1b"))
SIXTY_FOUR = tuple(f"{'n' * 61}-{place}a" for place in (1, 2))
MODEL = SuccessModel(
    worth=1500.0,
    intercepts={},
    newcomer=0.0,
    coefficients={},
    means={},
    work={},
    rates={},
    newcomer_tokens=100.0,
    newcomer_rate=0.5,
)

WEIGHTS = Weights(cost=1.0, entropy=8.0, jurors={"x": 10.0}, track=40.0)
RECORD = TrackRecord(agent="small", successes=4.0, failures=0.0, spent=0.0, costed=0.0)


def auction(*agents: str, chances: bool = False, jurors: tuple[str, ...] | None = None) -> Auction:
    bids = tuple(
        Bid(
            strategy=strategy(agent, tokens=60 + place, entropy=0.25),
            price=0.125 * 10**place,
            cost=1234.5 + place,
            value=191.25 - place,
            chance=0.25 + place / 10 if chances else None,
            scores=tuple(score(juror, agent, 3.5) for juror in (agents if jurors is None else jurors)),
        )
        for place, agent in enumerate(agents)
    )
    return Auction(
        id="0e6eda95",
        task=TASK,
        bids=bids,
        provisional=agents[0],
        refinements=(),
        winner=bids[1],
        dropouts=(),
        weights=Weights(cost=1.0, entropy=1.0, jurors=dict.fromkeys(agents, 1.0), model=MODEL if chances else None),
        jury="panel",
        settlement=Settlement(calls=()),
        seconds=1.0,
    )


def shown(what: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("chances", [False, True], ids=["bids", "chances"])
@pytest.mark.parametrize("names", [ALIKE, SIXTY_FOUR, ("small", "large")], ids=["alike", "longest", "short"])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_name_and_no_figure_is_cut(names: tuple[str, ...], width: int, chances: bool) -> None:
    held = auction(*names, chances=chances)
    text = shown(BidTable(held), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    column = "".join(found[1] for line in text.splitlines() if (found := re.match(r"^.{4}(\S+)", line)))
    for bid in held.bids:
        assert bid.agent in column
        for figure in (f"{bid.cost:,.0f}", f"{bid.value:.2f}", f"{bid.price:g}", str(bid.strategy.tokens), "0.25"):
            assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", text), figure
    assert text.count("3.5") == len(names) ** 2, "every juror's score of every bid"


def test_the_usual_board_is_one_table_of_80_columns() -> None:
    usual = shown(BidTable(auction("operations", "generalist", chances=True)), 80)
    assert usual.count("agent") == 1
    heading = " ".join(usual.split("─")[0].split())
    assert heading == "expected agent chance cost value net price plan entropy jury"


def test_the_board_says_what_its_columns_and_marks_mean() -> None:
    text = " ".join(shown(auction_board(auction("a", "b", chances=True)), 200).split())
    assert "★ gets the task; ☆ led before the award." in text
    assert "The largest net wins: value less expected cost, in millionths of a dollar." in text
    assert "value: the chance of success × 1,500, the worth of a task if solved" in text
    assert "In the paper cost is C, value is V, entropy is H, chance is P̂, and the smallest C − V wins." in text


def test_the_cost_of_a_bid_without_a_plan_is_explained_where_there_is_one() -> None:
    held = auction("a", "b")
    said = "cost of a bid without a plan: of one of 200 tokens."
    assert said not in explain_bids(held)
    bare = weigh(replace(held.bids[0].strategy, text="", tokens=0), 0.09, [], WEIGHTS)
    assert bare.cost == pytest.approx(18.0)
    assert said in explain_bids(replace(held, bids=(bare, held.bids[1])))


def test_the_largest_net_is_that_of_the_smallest_c_minus_v() -> None:
    held = auction("a", "b")
    nets = re.findall(r"−1,\d{3}", shown(BidTable(held), 120))
    assert nets == [f"−{bid.net_cost:,.0f}" for bid in held.bids]


def test_a_mark_is_explained_where_it_is_shown_and_only_there() -> None:
    held = auction("a", "b")
    leader = replace(held, winner=held.bids[0])
    assert explain_bids(leader)[0] == "★ gets the task."
    assert explain_bids(held)[0] == "★ gets the task; ☆ led before the award."


def test_the_lead_is_told_by_what_it_is_made_of() -> None:
    small = weigh(strategy("small", tokens=10, entropy=0.5), 1.0, [score("x", "small", 4)], WEIGHTS, RECORD)
    large = weigh(strategy("large", tokens=20, entropy=0.25), 9.0, [score("x", "large", 5)], WEIGHTS)
    held = replace(auction("small", "large"), bids=(small, large), winner=small, provisional="small", weights=WEIGHTS)
    text = " ".join(shown(auction_board(held), 120).split())
    lead = large.net_cost - small.net_cost
    assert (
        f"small is ahead of large by {lead:,.2f}: jury −10.00, entropy +2.00, past success +10.00, cost +170.00."
        in text
    )
    assert "4.0 of 4.0" in text
    assert "like tasks: how many this agent solved, each counted by likeness." in text
    even = replace(
        large, cost=small.cost, value=small.value, strategy=small.strategy, scores=small.scores, track=RECORD
    )
    even = replace(even, strategy=replace(small.strategy, agent="large"))
    assert any("are level: the lower price wins" in line for line in explain_bids(replace(held, bids=(small, even))))


def test_no_lead_is_told_where_there_is_none_or_another_rule_scored() -> None:
    alone = auction("a", "b")
    assert not any("is ahead of" in line for line in explain_bids(alone)), "values that are not the weights' own"
    one = replace(alone, bids=alone.bids[1:], provisional="b")
    assert not any("is ahead of" in line for line in explain_bids(one))
    assert not any("is ahead of" in line for line in explain_bids(replace(alone, winner=alone.bids[1])))


def test_one_note_on_several_bids_is_said_once() -> None:
    held = auction("a", "b")
    noted = tuple(replace(bid, notes=("entropy unknown",)) for bid in held.bids)
    text = shown(auction_board(replace(held, bids=noted, winner=noted[1])), 120)
    assert "a, b: entropy unknown" in text
    assert text.count("entropy unknown") == 1


def test_a_juror_that_failed_everywhere_is_not_said_to_be_replaced_by_others() -> None:
    held = auction("a", "b", jurors=("x",))
    failed = tuple(
        replace(bid, scores=(Score(juror="x", bidder=bid.agent, value=2.5, imputed=True, note="timed out"),))
        for bid in held.bids
    )
    text = " ".join(shown(auction_board(replace(held, bids=failed, winner=failed[1])), 200).split())
    assert (
        "x gave no score: timed out. What counts instead is in brackets: the mean of the other jurors, or the" in text
    )


@pytest.mark.parametrize(
    ("dollars", "said"),
    [
        (0.0, "$0"),
        (1234.5, "$1,234.50"),
        (0.12, "$0.12"),
        (0.001, "$0.001"),
        (0.0000048, "$0.0000048"),
        (-0.000027, "$-0.000027"),
    ],
)
def test_money_is_never_a_power_of_ten(dollars: float, said: str) -> None:
    assert money(dollars) == said


def test_what_models_wrote_shows_in_the_order_it_has() -> None:
    """The characters that turn a line around hide what it says, as escape sequences would."""
    turning = "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
    assert plain(f"a{turning}b\x1b[2J\rc\td\n") == f"a{'�' * len(turning)}b�[2J�c\td\n"
    assert plain("שלום – été") == "שלום – été"


def test_the_heading_names_the_jurors_that_sat() -> None:
    assert "· jurors match, reader ·" in shown(auction_board(auction("a", "b", jurors=("match", "reader"))), 120)
    assert "· panel jury ·" in shown(auction_board(auction("a", "b")), 120)


@pytest.mark.parametrize(
    "asked", [{"SALE_ASCII": "1"}, {"TERM": "dumb", "TTY_COMPATIBLE": "1"}], ids=["setting", "dumb"]
)
def test_a_terminal_that_asks_for_ascii_gets_it(tmp_path: Path, asked: dict[str, str]) -> None:
    place = write(tmp_path, "printf", "%s", "Grüße.")
    done = run_sale(place, "run", "Say it.", env=asked)
    assert done.code == 0, done.err
    board = done.out.replace("Grüße", "")
    assert board.isascii(), re.findall(r"[^\x00-\x7f]", board)
    assert "Grüße" in done.out, "what others wrote is shown as it is"
    assert done.err.replace("Grüße", "").isascii()


def test_no_color_is_kept_to(tmp_path: Path) -> None:
    place = write(tmp_path, "printf", "%s", "Done.")
    coloured = run_sale(place, "run", "--quiet", "Say it.", env={"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    plain = run_sale(place, "run", "--quiet", "Say it.", env={"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"})
    colour = re.compile(r"\x1b\[(?:\d+;)*3\d")
    assert colour.search(coloured.out)
    assert not colour.search(plain.out)
