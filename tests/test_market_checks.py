"""A market whose checks are wrong at times: it learns how often from feedback, and stops using what does not pay."""

from __future__ import annotations

import random
from pathlib import Path

from sale import AuctionRules, Check, FunctionAgent, Market, Price, Task, Weights
from sale.agents.tools.workspace.workspace import Workspace
from sale.cli.checks import estimate_checks
from sale.memory.store import AuctionMemory
from sale.memory.tenants import Sharing
from sale.models.embedding import MiniLMEmbedder
from sale.types import CheckErrors, Outcome, Result, SuccessModel

TASKS = 200
SMALL, LARGE = 0.4, 0.8
MODEL = SuccessModel(
    worth=100.0,
    intercepts={"small": -0.405465, "large": 1.386294},
    newcomer=0.0,
    rates={"small": SMALL, "large": LARGE},
    newcomer_rate=0.5,
    coefficients={},
    means={},
    work={"small": 8.0, "large": 30.0},
    newcomer_tokens=1.0,
    difficulty=3.0,
)
WEIGHTS = Weights(cost=1.0, entropy=0.0, jurors={}, model=MODEL)


def draw(task: Task, what: str) -> float:
    """A number in [0, 1) that belongs to a task."""
    return random.Random(f"{task.text} {what}").random()


def agent(name: str, price: float, rate: float) -> FunctionAgent:
    """It solves the tasks that are easy enough: nested, so that what the large one fails the small one fails, too."""

    async def plan(task: Task) -> str:
        return f"1. Do it as {name} does."

    async def work(task: Task, strategy: str | None) -> str:
        return "right" if draw(task, "difficulty") < rate else "wrong"

    return FunctionAgent(name, price=Price(input=price, output=price, blended=price), bid=plan, execute=work)


async def strict(task: Task, answer: str) -> bool:
    return answer == "right"


async def weak(task: Task, answer: str) -> bool:
    """It passes half of all wrong answers."""
    return answer == "right" or draw(task, f"check {answer}") < 0.5


async def simulated(path: Path, check: Check, rules: AuctionRules) -> tuple[list[Result], CheckErrors]:
    """Tasks one after the other, feedback on every answer; what each came to, and what is believed of the check."""

    async def opener() -> AuctionMemory:
        return await AuctionMemory.open(path, embedder=MiniLMEmbedder())

    pool = [agent("small", 0.1, SMALL), agent("large", 1.0, LARGE)]
    found: list[Result] = []
    async with Market(pool, rules=rules, weights=WEIGHTS, memory=opener) as market:
        for number in range(TASKS):
            result = await market.run(f"Task {number}.", verifier=check)
            found.append(result)
            await market.feedback(result.auction.id, "success" if result.answer == "right" else "failure")
        return found, await market.check_errors(check)


def agents_of(result: Result) -> list[str]:
    return [one.execution.agent for one in (*result.attempts, result)]


async def test_a_weak_check_is_not_used_any_more_after_some_feedback(tmp_path: Path) -> None:
    """It begins as if the check were right: the small one first, the large one where the check fails its work."""
    rules = AuctionRules(attempts=2, refine=False)
    found, believed = await simulated(tmp_path / "m", Check(weak), rules)
    tried = [agents_of(result) for result in found]
    assert tried[0][0] == "small"
    assert ["small", "large"] in tried
    assert believed.false_pass > 0.35
    assert believed.false_fail < 0.05
    last = max(number for number, agents in enumerate(tried) if agents != ["large"])
    assert last < TASKS - 20, "and it stays so"
    assert all(agents == ["large"] for agents in tried[last + 1 :])


async def test_a_good_check_goes_on_being_used(tmp_path: Path) -> None:
    found, believed = await simulated(tmp_path / "m", Check(strict), AuctionRules(attempts=2, refine=False))
    tried = [agents_of(result) for result in found]
    assert {agents[0] for agents in tried} == {"small"}
    assert sum(len(agents) == 2 for agents in tried) > TASKS / 3
    assert believed.false_pass < 0.02


async def test_what_the_settings_say_of_a_check_counts_from_the_first_task(tmp_path: Path) -> None:
    known = AuctionRules(attempts=2, refine=False, check=CheckErrors(false_pass=0.5))
    async with Market([agent("small", 0.1, SMALL), agent("large", 1.0, LARGE)], rules=known, weights=WEIGHTS) as market:
        assert agents_of(await market.run("Task 1.", verifier=Check(strict))) == ["large"]
        assert await market.check_errors(Check(strict)) == known.check


async def test_what_is_known_of_checks_is_by_check_and_by_owner(tmp_path: Path) -> None:
    async def opener() -> AuctionMemory:
        return await AuctionMemory.open(tmp_path / "m", embedder=MiniLMEmbedder())

    rules = AuctionRules(attempts=2, refine=False)
    pool = [agent("small", 0.1, 0.0), agent("large", 1.0, 0.0)]
    async with Market(pool, rules=rules, weights=WEIGHTS, memory=opener) as market:
        for number in range(3):
            result = await market.run(f"Task {number}.", verifier=Check(strict), tenant="own")
            await market.feedback(result.auction.id, "failure")
        memory = await market.memory()
        assert memory is not None
        answers = await memory.checked_answers()
        assert {(one.check, one.passed) for one in answers} == {("callable", False)}
        assert [one.right for one in answers].count(False) == 3, "of each task the answer that was handed in"
        assert len(await memory.checked_answers({"own"})) == len(answers)
        assert await memory.checked_answers({"other"}) == ()
        (one,) = estimate_checks(answers, rules, WEIGHTS, await memory.examples())
    assert (one.check, one.judged, one.feedback) == ("callable", len(answers), 3)
    assert one.pays == 1.0
    assert estimate_checks(answers, AuctionRules(), WEIGHTS, ())[0].pays is None


async def wrong_answers_passed(path: Path, sharing: Sharing) -> dict[str, CheckErrors]:
    """What is believed of checks after five wrong answers of one tenant that a check had passed."""

    async def opener() -> AuctionMemory:
        return await AuctionMemory.open(path, embedder=MiniLMEmbedder(), sharing=sharing)

    async def pleased(task: Task, answer: str) -> bool:
        return True

    rules = AuctionRules(attempts=2, refine=False)
    async with Market([agent("large", 1.0, 0.0)], rules=rules, weights=WEIGHTS, memory=opener) as market:
        for number in range(5):
            result = await market.run(f"Task {number}.", verifier=Check(pleased), tenant="own")
            await market.feedback(result.auction.id, "failure")
        return {
            "own": await market.check_errors(Check(pleased), "own"),
            "other": await market.check_errors(Check(pleased), "other"),
            "unnamed": await market.check_errors(Unnamed(), "own"),
            "tests": await market.check_errors(Unnamed("tests"), "own"),
        }


class Unnamed:
    """A verifier that does not say the name of its check, unless it is given."""

    def __init__(self, name: str | None = None) -> None:
        if name is not None:
            self.judged_by = name

    async def verify(self, task: Task, answer: str) -> Outcome:
        return Outcome(verdict="success", judged_by="own")


async def test_feedback_on_one_check_says_nothing_of_another(tmp_path: Path) -> None:
    found = await wrong_answers_passed(tmp_path / "m", Sharing())
    assert found["own"].false_pass == found["other"].false_pass > 0.3
    assert found["unnamed"] == found["tests"] == CheckErrors()
    assert Workspace.judged_by == "command"


async def test_feedback_of_other_tenants_does_not_count_where_numbers_are_kept_apart(tmp_path: Path) -> None:
    found = await wrong_answers_passed(tmp_path / "m", Sharing(statistics=False))
    assert found["own"].false_pass > 0.3
    assert found["other"] == CheckErrors()
