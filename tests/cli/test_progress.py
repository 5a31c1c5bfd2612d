"""Progress where there is no terminal: a line now and then on standard error; and words for a verb that is mistyped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import pytest

from sale.agents.tools.corpus import BATCH, index_corpus
from sale.cli.main import app
from sale.cli.progress import BYTES, LINE_SECONDS, ProgressReport
from sale.models.embedding import Vectors
from tests.cli.test_statuses import write
from tests.support.command import run_sale


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_a_line_comes_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with ProgressReport(clock=clock) as report:
        row = report.row("indexing", total=5, unit="passage")
        for done in range(6):
            row.update(done, note="slowly")
            clock.seconds += LINE_SECONDS / 2 + 1
    assert lines(capsys) == [f"indexing: {done} of 5 passages, slowly" for done in (0, 2, 4, 5)]


def test_a_step_may_be_worth_a_line_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressReport(clock=Clock()) as report:
        row = report.row("checking", total=1, unit="agent", every=0.0)
        row.update(0, note="a")
        row.update(0, note="b")
        row.update(0, note="b")
    assert lines(capsys) == ["checking: 0 of 1 agent, a", "checking: 0 of 1 agent, b"]


def test_downloads_say_megabytes_and_speed(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with ProgressReport(clock=clock) as report:
        row = report.row("small", unit=BYTES)
        row.update(0, total=400_000_000, title="small (hub)")
        clock.seconds += 10.0
        row.update(100_000_000)
    assert lines(capsys) == ["small (hub): 0 of 400 MB", "small (hub): 100 of 400 MB, 10.0 MB/s"]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressReport(quiet=True) as report:
        report.row("checking", total=2).update(1)
    assert lines(capsys) == []


def test_doctor_says_which_agent_it_waits_for(tmp_path: Path) -> None:
    place = write(tmp_path, "true")
    done = run_sale(place, "doctor", "--json")
    assert done.err.splitlines() == ["checking: 0 of 1 agent, worker …"]
    assert run_sale(place, "doctor", "--quiet").err == ""


async def test_indexing_tells_how_far_it_is_once(tmp_path: Path) -> None:
    class Lengths:
        name, dimensions = "lengths", 1

        async def embed(self, texts: Sequence[str], /) -> Vectors:
            return np.array([[len(text)] for text in texts], dtype=np.float32)

    corpus = tmp_path / "notes.jsonl"
    count = BATCH + 1
    corpus.write_text("\n".join(f'{{"id": "{n}", "title": "t", "text": "x"}}' for n in range(count)), encoding="utf-8")
    told: list[tuple[int, int]] = []
    for _ in range(2):
        await index_corpus(
            corpus, embedder=Lengths(), cache=tmp_path / "kept", progress=lambda done, of: told.append((done, of))
        )
    assert told == [(0, count), (BATCH, count), (count, count)], "what is kept is not made again"


def verbs(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*path, name)
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from verbs(found, (*path, name))


@pytest.mark.parametrize("verb", [one for one in verbs(app) if len(one[-1]) > 2], ids=" ".join)
def test_a_mistyped_verb_is_answered_with_the_right_one(verb: tuple[str, ...], tmp_path: Path) -> None:
    name = verb[-1]
    mistyped = name[:-2] + name[-1] + name[-2]
    if name[-1] == name[-2]:
        mistyped = name + "x"
    done = run_sale(tmp_path, *verb[:-1], mistyped)
    assert done.code == 2
    assert f"'{name}'" in done.err.split("Did you mean")[-1]


def test_rnu_suggests_run(tmp_path: Path) -> None:
    assert "Did you mean 'run'?" in run_sale(tmp_path, "rnu").err
