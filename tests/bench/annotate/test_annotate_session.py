"""The clock and the record: what counts as time, and that nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.bench.annotate.attempts import attempts_of
from sale.bench.annotate.events import read_events
from sale.bench.annotate.session import BEAT, SILENCE, AnnotationSession, in_order
from sale.errors import InputError
from tests.bench.annotate.site import THREE, Clock, lines, session, task

ID = "made/capital"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "ada.jsonl"


def seconds(record: Path, name: str = "ada") -> float:
    """From the file alone, as `sale bench times` does."""
    return attempts_of(read_events(record))[name, ID].seconds()


def working(served: AnnotationSession, clock: Clock, total: float) -> None:
    """Work with the page open."""
    for _ in range(int(total / BEAT)):
        clock.work(BEAT)
        served.beat()
    clock.work(total % BEAT)


def test_pauses_do_not_count(record: Path) -> None:
    clock = Clock()
    with session(record, clock) as served:
        clock.work(100)  # the task is hidden
        served.start(ID)
        working(served, clock, 20)
        served.pause(ID)
        clock.work(1000)
        assert served.seconds == 20
        served.resume(ID)
        working(served, clock, 12)
        assert served.submit(ID, "Paris")
        clock.work(50)
        assert served.current is None
    assert seconds(record) == 32
    assert lines(record, "submit")[0]["answer"] == "Paris"
    assert [line["why"] for line in lines(record, "pause")] == ["asked"]


def test_a_silent_page_is_a_pause_from_its_last_beat_and_noted(record: Path) -> None:
    clock = Clock()
    with session(record, clock) as served:
        served.start(ID)
        working(served, clock, 10)
        clock.work(SILENCE + 1)
        served.beat()
        assert served.attempt is not None
        assert (served.attempt.phase, served.attempt.why, served.seconds) == ("paused", "silence", 10)
    assert lines(record, "pause")[0]["why"] == "silence"


def test_a_short_silence_counts_as_work(record: Path) -> None:
    clock = Clock()
    with session(record, clock) as served:
        served.start(ID)
        clock.work(SILENCE)
        served.beat()
        assert served.seconds == SILENCE


def test_a_machine_asleep_is_a_pause_though_its_clock_stood_still(record: Path) -> None:
    clock = Clock()
    with session(record, clock) as served:
        served.start(ID)
        working(served, clock, 10)
        clock.sleep(3600)
        clock.work(1)
        served.beat()
        assert served.attempt is not None
        assert (served.attempt.why, served.seconds) == ("silence", 10)


def test_a_clock_set_back_changes_no_time(record: Path) -> None:
    clock = Clock()
    with session(record, clock) as served:
        served.start(ID)
        working(served, clock, 10)
        clock.sleep(-7200)
        working(served, clock, 10)
        assert served.submit(ID, "Paris")
    assert seconds(record) == 20


def test_an_answer_after_a_gap_is_kept_and_not_handed_in(record: Path) -> None:
    clock = Clock()
    with session(record, clock) as served:
        served.start(ID)
        working(served, clock, 5)
        clock.work(SILENCE * 10)
        assert not served.submit(ID, "Paris")
        assert served.attempt is not None
        assert (served.attempt.phase, served.attempt.draft, served.seconds) == ("paused", "Paris", 5)
        served.resume(ID)
        clock.work(2)
        assert served.submit(ID, "Paris")
    assert seconds(record) == 7


@pytest.mark.parametrize("cut", [b"", b'{"kind":"beat","ru'])
def test_a_crash_counts_up_to_the_last_beat_and_keeps_what_was_written(record: Path, cut: bytes) -> None:
    clock = Clock()
    dead = session(record, clock)
    dead.start(ID)
    working(dead, clock, 15)
    dead.draft(ID, "Par")
    clock.work(3)
    dead._writer.close()  # the process is gone, without a word to the record
    record.write_bytes(record.read_bytes() + cut)

    later = Clock(mono=5.0)  # after a restart of the machine the clock begins anew
    with session(record, later) as served:
        attempt = served.attempt
        assert attempt is not None
        assert (attempt.phase, attempt.why, attempt.draft, served.seconds) == ("paused", "stopped", "Par", 15)
        served.resume(ID)
        working(served, later, 10)
        assert served.submit(ID, "Paris")
    assert seconds(record) == 25
    assert attempts_of(read_events(record))["ada", ID].silences == 1


def test_closing_stops_the_clock(record: Path) -> None:
    clock = Clock()
    with session(record, clock) as served:
        served.start(ID)
        working(served, clock, 10)
    assert seconds(record) == 10
    assert lines(record)[-1]["kind"] == "pause"


def test_steps_that_do_not_fit_change_nothing(record: Path) -> None:
    clock = Clock()
    with session(record, clock, THREE) as served:
        first = served.current
        assert first is not None
        for step in (served.pause, served.resume, served.give_up):
            step(first.id)
        served.flag(first.id, "?")
        assert not served.submit(first.id, "Paris")
        served.start("made/unknown")
        assert len(lines(record)) == 1
        served.start(first.id)
        clock.work(4)
        served.start(first.id)
        served.resume(first.id)
        assert not served.submit(first.id, " \n ")
        assert served.seconds == 4
        served.give_up(first.id)
        second = served.current
        assert second is not None
        served.start(second.id)
        before = len(lines(record))
        served.give_up(first.id)
        served.draft(first.id, "late")
        assert not served.submit(first.id, "late")
        assert len(lines(record)) == before


def test_two_pages_have_one_clock_and_one_beat(record: Path) -> None:
    clock = Clock()
    with session(record, clock) as served:
        served.start(ID)
        for _ in range(10):
            clock.work(BEAT)
            served.beat()
            served.beat()
        assert served.seconds == 10 * BEAT
    assert len(lines(record, "beat")) == 10


def test_every_step_is_on_disk_when_it_returns(record: Path) -> None:
    clock = Clock()
    with session(record, clock) as served:
        for step, kind in ((served.start, "start"), (served.pause, "pause"), (served.resume, "resume")):
            step(ID)
            assert lines(record)[-1]["kind"] == kind
        served.draft(ID, "P")
        assert lines(record)[-1]["text"] == "P"
        served.submit(ID, "Paris")
        assert lines(record)[-1]["kind"] == "submit"
        served.record_verdict(ID, True)
        assert lines(record)[-1]["right"] is True


def test_the_record_says_what_was_shown_and_allowed(record: Path) -> None:
    with session(record, Clock()) as served:
        served.start(ID)
    start = lines(record, "start")[0]
    assert len(start["prompt"]) == 64
    assert "search engine" in start["tools"]
    assert lines(record, "opened")[0]["seed"] == 1


def test_one_process_a_record(record: Path) -> None:
    with session(record, Clock()), pytest.raises(InputError, match="another"):
        session(record, Clock())
    session(record, Clock()).close()


def test_records_are_not_mixed_up(record: Path, tmp_path: Path) -> None:
    session(record, Clock()).close()
    with pytest.raises(InputError, match="'ada'"):
        session(record, Clock(), name="bob")
    session(record, Clock()).close()  # the refusal let go of it
    with pytest.raises(InputError, match="name of an annotator"):
        session(record, Clock(), name="../ada")
    notes = tmp_path / "notes.txt"
    notes.write_text("one line without an end", encoding="utf-8")
    with pytest.raises(InputError, match="no record"):
        session(notes, Clock())
    assert notes.read_text(encoding="utf-8") == "one line without an end"


def test_a_task_that_changed_is_refused(record: Path) -> None:
    with session(record, Clock()) as served:
        served.start(ID)
    with pytest.raises(InputError, match="changed"):
        session(record, Clock(), [task(prompt="What is the capital of Spain?")])


def test_the_order_is_the_annotators_own_and_stays() -> None:
    tasks = [task(f"t{number}") for number in range(20)]
    ada, bob = in_order(tasks, "ada"), in_order(tasks, "bob")
    assert ada == in_order(list(reversed(tasks)), "ada")
    assert ada != bob
    assert ada != tasks
    assert sorted(one.id for one in ada) == sorted(one.id for one in tasks)
    some = tasks[:15]
    assert in_order(some, "ada") == [one for one in ada if one in some]


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ('"kind":"beat","task":"made/capital"', "never started"),
        ('"kind":"nap","task":"made/capital"', "nap"),
        ('"kind":"submit","task":"made/capital"', "answer"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(record: Path, events: str, what: str) -> None:
    stamp = '"run":"r","annotator":"ada","mono":1.0,"wall":"2026-03-01T12:00:00Z"'
    record.write_text(f"{{{stamp},{events}}}\n", encoding="utf-8")
    with pytest.raises(InputError, match=what):
        attempts_of(read_events(record))


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["start", "pause", "resume", "beat", "draft", "crash", "submit"]),
            st.floats(0, 60),
            st.sampled_from([0.0, 0.0, 0.0, 500.0]),
        ),
        max_size=25,
    )
)
def test_the_clock_shows_what_the_record_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float, float]]
) -> None:
    """Whatever happens, time is never more than passed while the task was shown, and the file alone says as much."""
    record, clock = tmp_path_factory.mktemp("walk") / "ada.jsonl", Clock()
    served = session(record, clock)
    shown = 0.0
    for step, work, asleep in steps:
        if served.attempt is not None and served.attempt.phase == "running":
            shown += work
        clock.work(work)
        clock.sleep(asleep)
        if step == "crash":
            served._writer.close()
            clock.mono = 3.0
            served = session(record, clock)
        elif step == "beat":
            served.beat()
        elif step == "draft":
            served.draft(ID, f"{work}")
        elif step == "submit":
            served.submit(ID, "Paris")
        else:
            getattr(served, step)(ID)
    served.close()
    events = read_events(record)
    if any(event.kind == "start" for event in events):
        assert 0 <= seconds(record) <= shown + 1e-6
