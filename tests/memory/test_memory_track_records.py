"""Track records: which executions count for an agent, and how much."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sale.memory.retrieval import IndexedAuction, RecallIndex
from sale.memory.store import AuctionMemory
from sale.memory.track_records import ALIKE, BANDWIDTH, NEAREST, TrackedWork
from sale.types import Attempt, Task, TrackRecord, Verdict
from tests.memory.builders import Fresh, HashEmbedder, Place, bid, execution, only_sqlite, outcome, remember

NOW = Task(text="sort the list of names")


def counted(cosines: Iterable[float], nearest: float | None = None) -> list[float]:
    """What executions count, by the rule as it is written down."""
    clipped = [min(1.0, float(cosine)) for cosine in cosines]
    top = max(clipped, default=0.0) if nearest is None else nearest
    return [math.exp((cosine - top) / BANDWIDTH) * min(1.0, max(0.0, top / ALIKE)) for cosine in clipped]


def nothing(agent: str) -> TrackRecord:
    return TrackRecord(agent=agent, successes=0.0, failures=0.0)


async def did(memory: AuctionMemory, name: str, text: str, agent: str, verdict: Verdict | None = "success") -> None:
    await remember(memory, name, text, (bid(agent, 1.0), bid("also bid", 2.0)), verdict=verdict)


async def test_who_never_worked_has_a_record_of_nothing(memory: AuctionMemory):
    assert await memory.track_records(NOW, ()) == {}
    assert await memory.track_records(NOW, ("a",)) == {"a": nothing("a")}
    await did(memory, "x", NOW.text, "a")
    found = await memory.track_records(NOW, ("b", "a", "also bid"))
    assert list(found) == ["b", "a", "also bid"]
    assert found["b"] == nothing("b")
    assert found["also bid"] == nothing("also bid"), "to bid is not to work"
    assert found["a"].successes == pytest.approx(1.0)
    assert found["a"].failures == 0.0


async def test_likeness_weighs(memory: AuctionMemory, embedder: HashEmbedder):
    texts = {"x0": "sort the list of numbers", "x1": "bake a cake", "x2": NOW.text}
    verdicts: dict[str, Verdict] = {"x0": "success", "x1": "failure", "x2": "failure"}
    for name, text in texts.items():
        await did(memory, name, text, "a", verdicts[name])
    vectors = (await embedder.embed([NOW.text, *texts.values()])).astype(np.float64)
    weights = counted(vectors[1:] @ vectors[0])
    found = (await memory.track_records(NOW, ("a",)))["a"]
    assert found.successes == pytest.approx(weights[0], rel=1e-5)
    assert found.failures == pytest.approx(weights[1] + weights[2], rel=1e-5)
    assert weights[2] == pytest.approx(1.0, rel=1e-5) != pytest.approx(weights[0])


async def test_only_what_was_done_and_judged_counts(memory: AuctionMemory):
    await did(memory, "unknown", NOW.text, "a", "unknown")
    await did(memory, "at work", NOW.text, "a", None)
    await did(memory, "for its own sake", NOW.text, "a", None)
    await memory.close_unexecuted("for its own sake")
    await memory.feedback("for its own sake", "success")
    await did(memory, "gone wrong", NOW.text, "a", None)
    await memory.abandon("gone wrong", "the tool broke")
    assert await memory.track_records(NOW, ("a",)) == {"a": nothing("a")}


async def test_feedback_counts_from_then_on(memory: AuctionMemory):
    async def now() -> tuple[int, int]:
        found = (await memory.track_records(NOW, ("a",)))["a"]
        return round(found.successes), round(found.failures)

    await did(memory, "x", NOW.text, "a", "unknown")
    seen = [await now()]
    for verdict in ("success", "failure", "unknown", "failure"):
        await memory.feedback("x", verdict)
        seen.append(await now())
    await memory.forget("x")
    seen.append(await now())
    assert seen == [(0, 0), (1, 0), (0, 1), (0, 0), (0, 1), (0, 0)]


async def test_each_attempt_counts_for_who_made_it(memory: AuctionMemory):
    async def now() -> list[tuple[int, int]]:
        found = (await memory.track_records(NOW, "abc")).values()
        return [(round(one.successes), round(one.failures)) for one in found]

    failed = (
        Attempt(execution=execution("a"), outcome=outcome("failure")),
        Attempt(execution=execution("b"), outcome=outcome("unknown")),
    )
    await did(memory, "x", NOW.text, "a", None)
    await memory.settle("x", execution("c"), outcome("success"), earlier=failed)
    assert await now() == [(0, 1), (0, 0), (1, 0)]
    await memory.feedback("x", "failure")
    assert await now() == [(0, 1), (0, 0), (0, 1)], "feedback is about the last attempt"
    assert await memory.recall(NOW, "a", 8) == (), "the plan that won had failed"


async def test_of_many_the_nearest_count_and_of_equals_the_latest(memory: AuctionMemory):
    for number in range(NEAREST + 6):
        await did(memory, f"x{number}", NOW.text, "a", "failure" if number < 10 else "success")
    await did(memory, "far", "bake a cake", "a", "failure")
    await did(memory, "other", NOW.text, "b", "failure")
    found = await memory.track_records(NOW, ("a", "b"))
    assert round(found["a"].successes, 3) == NEAREST - 4
    assert round(found["a"].failures, 3) == 4
    assert found["b"].failures == pytest.approx(1.0)


async def test_imported_records_count_and_go_with_their_source(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    await did(memory, "mine", NOW.text, "a", "failure")
    async with fresh() as other:
        await did(other, "theirs", NOW.text, "a")
        await other.export(tmp_path / "theirs.jsonl")
    await memory.import_(tmp_path / "theirs.jsonl", source="a friend")
    found = (await memory.track_records(NOW, ("a",)))["a"]
    assert (round(found.successes), round(found.failures)) == (1, 1)
    await memory.forget(source="a friend")
    found = (await memory.track_records(NOW, ("a",)))["a"]
    assert (round(found.successes), round(found.failures)) == (0, 1)


async def test_what_another_memory_of_the_same_settles_counts(memory: AuctionMemory, place: Place):
    assert await memory.track_records(NOW, ("a",)) == {"a": nothing("a")}
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as second:
        await did(second, "x", NOW.text, "a")
    assert (await memory.track_records(NOW, ("a",)))["a"].successes == pytest.approx(1.0)


async def test_the_task_is_embedded_once(memory: AuctionMemory, embedder: HashEmbedder):
    await did(memory, "x", "bake a cake", "a")
    before = embedder.embedded
    await memory.begin("now", NOW)
    await memory.track_records(NOW, ("a", "b"))
    for agent in "ab":
        await memory.recall(NOW, agent, 8)
    assert embedder.embedded == before + 1


# ------------------------------------------------------------------------------ against the rules, written plainly

TEXTS = ["sort", "sort names", "names sort", "bake", "bake a cake", "list", NOW.text]
pasts = st.lists(
    st.tuples(st.sampled_from(TEXTS), st.sampled_from("ab"), st.sampled_from([None, "success", "failure", "unknown"])),
    max_size=12,
)


@only_sqlite
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pasts, st.lists(st.integers(0, 20), max_size=4), st.lists(st.integers(0, 20), max_size=2))
async def test_an_index_that_follows_ends_up_like_the_rules(
    fresh: Fresh, drawn: list[tuple[str, str, Verdict | None]], judged: list[int], forgotten: list[int]
):
    embedder = HashEmbedder()
    verdicts: dict[str, tuple[str, str, Verdict | None]] = {}
    async with fresh(embedder) as memory:
        for number, (text, agent, verdict) in enumerate(drawn):
            await did(memory, f"x{number}", text, agent, verdict)
            verdicts[f"x{number}"] = (text, agent, verdict)
            if number % 3 == 0:
                await memory.track_records(NOW, ("a",))
        for number in judged:
            if verdicts.get(f"x{number}", ("", "", None))[2] is not None:
                await memory.feedback(f"x{number}", "failure")
                verdicts[f"x{number}"] = (*verdicts[f"x{number}"][:2], "failure")
                await memory.track_records(NOW, ("b",))
        for number in forgotten:
            if verdicts.get(f"x{number}", ("", "", None))[2] is not None:
                await memory.forget(f"x{number}")
                del verdicts[f"x{number}"]
        found = await memory.track_records(NOW, ("a", "b"))
        assert memory.path is not None
        async with await AuctionMemory.open(memory.path, embedder=HashEmbedder()) as anew:
            assert await anew.track_records(NOW, ("a", "b")) == found
    vectors = dict(zip(TEXTS, (await embedder.embed(TEXTS)).astype(np.float64), strict=True))
    likeness = {text: min(1.0, float(vector @ vectors[NOW.text])) for text, vector in vectors.items()}
    judged_texts = [text for text, _, how in verdicts.values() if how in {"success", "failure"}]
    nearest = max((likeness[text] for text in judged_texts), default=0.0)
    for agent in "ab":
        for verdict, evidence in (("success", found[agent].successes), ("failure", found[agent].failures)):
            mine = [likeness[text] for text, who, how in verdicts.values() if (who, how) == (agent, verdict)]
            assert evidence == pytest.approx(sum(counted(mine, nearest)), rel=1e-4, abs=1e-9)


def index_of(works: Sequence[tuple[int, np.ndarray, TrackedWork]]) -> RecallIndex:
    index = RecallIndex(works[0][1].shape[0])
    for number, (row, vector, work) in enumerate(works, start=1):
        index.put_tasks([(number, f"text {row}")], vector[None].astype(np.float32))
        index.put(
            IndexedAuction(
                auction=number, task=number, started=number, awarded=True, verdict=None, bidders=("a",), work=(work,)
            )
        )
    return index


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_are_those_of_the_exact_similarities(seed: int):
    """Executions closer to each other than single precision can tell apart."""
    random = np.random.default_rng(seed)
    query = random.normal(size=384)
    query /= np.linalg.norm(query)
    near = query + 1e-3 * random.normal(size=(1000, 384))
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    verdicts = random.choice(["success", "failure", "unknown"], size=1000)
    index = index_of(
        [(row, near[row], TrackedWork(agent="a", verdict=str(verdict))) for row, verdict in enumerate(verdicts)]
    )
    exact = near.astype(np.float64) @ query.astype(np.float32).astype(np.float64)
    judged = [row for row in np.argsort(-exact) if verdicts[row] != "unknown"][:NEAREST]
    found = index.tracks(query.astype(np.float32), ("a",))["a"]
    weights = counted(exact[judged])
    good = [weight for weight, row in zip(weights, judged, strict=True) if verdicts[row] == "success"]
    assert found.successes == pytest.approx(sum(good), rel=1e-12)
    assert found.evidence == pytest.approx(sum(weights), rel=1e-12)


def test_what_is_like_nothing_known_has_little_evidence_and_all_agents_one_scale():
    """The nearest task is the same yardstick for all: who worked only far from it has little to show."""
    here, aside, across = np.array([1.0, 0.0]), np.array([0.8, 0.6]), np.array([0.1, math.sqrt(0.99)])
    work = [(0, here, TrackedWork(agent="a", verdict="success")), (1, aside, TrackedWork(agent="b", verdict="failure"))]
    near = index_of(work)
    found = near.tracks(here.astype(np.float32), ("a", "b"))
    assert found["a"].successes == pytest.approx(1.0)
    assert found["b"].failures == pytest.approx(math.exp(-2.0), rel=1e-5)
    far = index_of([(0, across, TrackedWork(agent="a", verdict="success"))])
    assert far.tracks(here.astype(np.float32), ("a",))["a"].successes == pytest.approx(0.2, rel=1e-5)


def test_a_text_that_is_embedded_anew_is_compared_anew():
    """What is kept of earlier comparisons must not outlive the vectors it was made from."""
    here, there = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    index = index_of([(0, there, TrackedWork(agent="a", verdict="success"))])
    assert [likeness for _, likeness in index.similar(here.astype(np.float32), 1)] == [0.0]
    index.put_tasks([(2, "text 0")], here[None].astype(np.float32))
    assert index.tracks(here.astype(np.float32), ("a",))["a"].successes == 1.0
    assert [likeness for _, likeness in index.similar(here.astype(np.float32), 1)] == [1.0]
