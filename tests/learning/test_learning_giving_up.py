"""What giving up saves and loses, where it is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sale.errors import InputError
from sale.learning.giving_up import giving_up
from sale.types import Example, TrackRecord, Worked
from tests.learning.pools import bid

DOLLARS = 1e-4


def tasks(count: int, *, told: bool) -> list[Example]:
    """Every other task is hopeless, and costs three times as much; track records tell which, or nothing."""
    found: list[Example] = []
    for number in range(count):
        hopeless = number % 2 == 0
        good = 0.0 if hopeless else 20.0
        spent = DOLLARS * (3 if hopeless else 1)
        work = {"a": Worked(success=not hopeless, dollars=spent), "b": Worked(success=False, dollars=spent)}
        tracks = {
            name: TrackRecord(agent=name, successes=good, failures=20.0 - good) if told and name == "a" else None
            for name in work
        }
        found.append(
            Example(
                auction_id=f"{number}",
                task=f"task {number}",
                bids=tuple(bid(name, 1.0, track=tracks[name]) for name in work),
                winner="a",
                work=work,
            )
        )
    return found


def test_what_is_known_to_be_hopeless_is_given_up_at_no_loss() -> None:
    found = giving_up(tasks(40, told=True), (0.0, 0.5, 1.0))
    nothing, half, everything = found.points
    assert (nothing.saved[0], nothing.lost[0], nothing.hopeless) == (0.0, 0.0, 1.0)
    assert half.saved[0] == pytest.approx(0.75)
    assert (half.lost[0], half.hopeless) == (0.0, 1.0)
    assert everything.saved[0] == everything.lost[0] == pytest.approx(1.0)
    assert found.known.share == 0.5
    assert found.known.saved == half.saved
    assert (found.tasks, found.best) == (40, "a")


def test_without_knowledge_as_much_is_lost_as_is_given_up() -> None:
    """All chances are alike, whatever came of a task itself: a random half has half of the tasks that are solved."""
    (half,) = giving_up(tasks(200, told=False), (0.5,)).points
    assert half.hopeless == pytest.approx(0.5)
    assert half.lost[0] == pytest.approx(0.5)


def test_where_somebody_solves_everything_there_is_nothing_to_know() -> None:
    easy = [
        replace(one, work={name: Worked(success=True, dollars=DOLLARS) for name in one.work})
        for one in tasks(40, told=False)
    ]
    assert giving_up(easy).known.saved[0] == 0.0


def test_too_little_is_said() -> None:
    with pytest.raises(InputError, match="too few"):
        giving_up(tasks(10, told=True))
