"""`sale fit`, `sale weights`, `sale replay`: on a memory that a market has filled, as a user runs them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sale import Answer, Check, FunctionAgent, Market, Price, Question, Seat, Task
from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder
from tests.support.command import Done, run_sale

TASKS = 24
SETTINGS = """
[[agents]]
name = "small"
price = 0.1
endpoint = "http://127.0.0.1:9/v1"
model = "s"

[[agents]]
name = "large"
price = 1.0
endpoint = "http://127.0.0.1:9/v1"
model = "l"

[memory]
path = "memory.sqlite3"
"""


def agent(name: str, price: float) -> FunctionAgent:
    """The small one is right about even numbers only; the large one always is."""

    async def plan(task: Task) -> str:
        return f"1. Add them as {name} does."

    async def work(task: Task, strategy: str | None) -> str:
        number = int(task.text.split()[1])
        return str(2 * number) if name == "large" or number % 2 == 0 else "no idea"

    return FunctionAgent(name, price=Price(input=price, output=price, blended=price), bid=plan, execute=work)


class Parity:
    """A juror that trusts everybody with even numbers."""

    name = "parity"
    price = Price(input=0.0, output=0.0, blended=0.0)

    async def answer(self, question: Question, /) -> Answer:
        return Answer(probability=0.8 if int(question.task.text.split()[1]) % 2 == 0 else 0.1)


async def fill(path: Path, seats: Sequence[Seat] = (), *, together: bool = False) -> None:
    """Every task by each agent, as a market of both would give all of them to the cheap one; then by that, if told."""

    async def opener() -> AuctionMemory:
        return await AuctionMemory.open(path, embedder=MiniLMEmbedder())

    async def right(task: Task, answer: str) -> bool:
        return answer == str(2 * int(task.text.split()[1]))

    alone = [[agent("small", 0.1)], [agent("large", 1.0)]]
    for pool in [*alone, [agent("small", 0.1), agent("large", 1.0)]][: 3 if together else 2]:
        async with Market(pool, seats=seats, memory=opener) as market:
            for number in range(TASKS):
                await market.run(f"Add {number} and {number}.", verifier=Check(right))


@dataclass(frozen=True)
class Shell:
    folder: Path

    def __call__(self, *arguments: str) -> Done:
        done = run_sale(self.folder, *arguments, env={"COLUMNS": "160"})
        assert "Traceback" not in done.err, done.err
        return done


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    folder = tmp_path_factory.mktemp("market")
    (folder / "sale.toml").write_text(SETTINGS, encoding="utf-8")
    asyncio.run(fill(folder / "memory.sqlite3"))
    return Shell(folder)


@pytest.fixture
def empty(tmp_path: Path) -> Shell:
    (tmp_path / "sale.toml").write_text(SETTINGS, encoding="utf-8")
    return Shell(tmp_path)


def test_fit_show_use_diff_and_replay(shell: Shell) -> None:
    fitted = shell("fit", "--worth", "0.001")
    assert fitted.code == 0, fitted.err
    assert "version 1" in fitted.out
    assert "utility" in fitted.out
    assert "Where the chance of each agent starts" in fitted.out
    assert "pass@1" in fitted.out
    assert "sale weights use 1" in fitted.out

    second = shell("fit", "--objective", "margin", "--json")
    assert second.code == 0, second.err
    told = json.loads(second.out)
    assert told["schema"] == "sale.weights/1"
    assert told["weights"]["version"] == 2
    assert told["weights"]["in_use"] is False

    used = shell("weights", "use", "1")
    assert used.code == 0, used.err
    listed = shell("weights", "list")
    assert "utility" in listed.out
    assert "margin" in listed.out
    assert listed.out.count("yes") == 1
    assert "version 1 from" in listed.out
    assert "version 1  in use" in shell("weights", "show", "1").out
    assert shell("weights", "show").out == shell("weights", "show", "1").out
    assert "version 2" in shell("weights", "diff", "1", "2").out
    assert "They weigh alike." in shell("weights", "diff", "1", "1").out

    assert "nothing speaks against them" in shell("weights", "check").out
    own = shell.folder / "own.toml"
    own.write_text(f"{SETTINGS}\n[weights]\nentropy = 1.0\n[weights.jurors]\n", encoding="utf-8")
    for verb in ("list", "check"):
        said = shell("weights", verb, "--config", str(own)).out
        assert "they decide, and not these" in said
        assert "yes" not in said
    replayed = shell("replay")
    assert replayed.code == 0, replayed.err
    for sign in ("as awarded", "version 1", "version 2", "solved"):
        assert sign in replayed.out
    machine = json.loads(shell("replay", "1", "--json").out)["replay"]
    assert set(machine) == {"as awarded", "version 1"}
    assert machine["as awarded"]["auctions"] == 2 * TASKS
    assert machine["as awarded"]["success"]["value"] == pytest.approx(0.75)

    back = shell("weights", "use", "default")
    assert "the default weights" in back.out
    assert "yes" not in shell("weights", "list").out.replace("interval", "")


def test_the_jury_is_held_against_outcomes(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    (tmp_path / "sale.toml").write_text(SETTINGS)
    none = shell("weights", "jury")
    assert none.code == 0, none.err
    assert "No work on record was both scored by a juror and judged." in none.out
    asyncio.run(fill(tmp_path / "memory.sqlite3", seats=[Seat(respondent=Parity(), reads="plan")]))
    shown = shell("weights", "jury")
    assert shown.code == 0, shown.err
    assert "parity" in shown.out
    assert "scored a success above a failure" in shown.out
    (one,) = json.loads(shell("weights", "jury", "--json").out)["jurors"]
    assert (one["juror"], one["scored"], one["silent"]) == ("parity", 2 * TASKS, 0)
    # Each of 12 failures is scored below the 24 even successes, and like the 12 odd ones of the large agent.
    assert one["area"][0] == pytest.approx((24 + 12 / 2) / 36)
    assert one["pairs"] == 12 * 36
    assert [(band["scored"], band["solved"]) for band in one["bands"]] == [(24, 12), (24, 24)]


def test_fit_if_due_says_why_or_why_not(tmp_path: Path) -> None:
    (tmp_path / "sale.toml").write_text(SETTINGS, encoding="utf-8")
    asyncio.run(fill(tmp_path / "memory.sqlite3"))
    shell = Shell(tmp_path)
    due = shell("fit", "--if-due", "--worth", "0.001", "--use")
    assert "the default weights decide" in due.out
    assert "version 1  in use" in shell("weights", "show", "1").out
    held = shell("fit", "--if-due")
    assert held.code == 0, held.err
    assert "weights 1 hold" in held.out
    assert "version 2" not in shell("weights", "list").out
    (tmp_path / "own.toml").write_text(f"{SETTINGS}\n[weights]\nentropy = 1.0\n[weights.jurors]\n", encoding="utf-8")
    named = ("--config", str(tmp_path / "own.toml"))
    own = shell("fit", "--worth", "0.001", "--use", *named)
    assert "has weights of its own" in " ".join(own.out.split()), own.err
    listed = json.loads(shell("weights", "list", "--json", *named).out)["weight_sets"]
    assert [one["in_use"] for one in listed] == [False, False]
    assert "version 1  in use" not in shell("weights", "show", "1", *named).out


def test_a_refit_spends_as_the_weights_in_use_were_told(tmp_path: Path) -> None:
    (tmp_path / "sale.toml").write_text(SETTINGS, encoding="utf-8")
    asyncio.run(fill(tmp_path / "memory.sqlite3", together=True))
    shell = Shell(tmp_path)

    def told(*arguments: str) -> dict[str, float | str]:
        done = shell("fit", "--use", "--json", *arguments)
        assert done.code == 0, done.err
        return json.loads(done.out)["weights"]["training"]["settings"]

    assert told()["spend"] == "match"
    assert told("--spend", "0.25")["spend"] == told()["spend"] == 0.25
    assert told("--worth", "0.002")["worth"] == told()["worth"] == 0.002
    assert "spend" not in told()
    assert told("--spend", "match")["spend"] == told()["spend"] == "match"
    assert told("--beyond", "4")["beyond"] == told()["beyond"] == 4.0
    assert told("--beyond", "0")["beyond"] == told("--spend", "match")["beyond"] == 0.0


def test_a_fit_counts_with_the_errors_of_the_check(shell: Shell, tmp_path: Path) -> None:
    """The small agent passes half the time; where the check passes half of what is wrong, it solves next to nothing."""
    place = json.dumps(str(shell.folder / "memory.sqlite3"))
    weak = SETTINGS.replace('"memory.sqlite3"', place) + "[auction]\nattempts = 2\n[auction.check]\nfalse_pass = 0.5\n"
    (tmp_path / "weak.toml").write_text(weak, encoding="utf-8")

    def fitted(*arguments: str) -> tuple[dict[str, float | str], float]:
        done = shell("fit", "--json", *arguments)
        assert done.code == 0, done.err
        found = json.loads(done.out)["weights"]
        return found["training"]["settings"], found["weights"]["model"]["rates"]["small"]

    (plain, rate), (knowing, lower) = fitted(), fitted("--config", str(tmp_path / "weak.toml"))
    assert "false_pass" not in plain
    assert knowing["false_pass"] == 0.5
    assert lower < rate - 0.2


def test_without_a_version_the_weights_in_use_are_shown(shell: Shell, tmp_path: Path) -> None:
    prior = shell("weights", "show")
    assert prior.code == 0, prior.err
    assert "Weights default: a stated prior" in prior.out
    assert "2 plans of 200 tokens" in " ".join(prior.out.split())
    assert prior.out == shell("weights", "show", "default").out
    assert "per juror's point" in prior.out
    assert json.loads(shell("weights", "show", "--json").out)["weights"] is None
    own = f"{SETTINGS}\n[weights]\nentropy = 1.0\n[weights.jurors]\n"
    (tmp_path / "own.toml").write_text(own, encoding="utf-8")
    named = ("--config", str(tmp_path / "own.toml"))
    assert "has weights of its own" in shell("weights", "show", *named).out
    assert json.loads(shell("weights", "show", *named, "--json").out)["weights"] is None
    assert "has weights of its own" in shell("weights", "list", *named).out
    assert "has weights of its own" not in shell("weights", "list").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("weights", "show", "7"), "no weights of version 7"),
        (("weights", "show", "best"), "'best' is no version"),
        (("weights", "show", "shipped"), "nothing is shipped for this pool"),
        (("weights", "use", "7"), "7"),
        (("weights", "use", "best"), "'best' is no version"),
        (("weights", "diff", "1", "9"), "version"),
        (("replay", "9"), "no weights of version 9"),
        (("fit", "--worth", "-1"), "worth"),
        (("fit", "--spend", "0"), "is no share"),
        (("fit", "--spend", "half"), "half"),
        (("fit", "--spend", "0.5", "--worth", "1"), "give one of them"),
        (("fit", "--spend", "0.5", "--beyond", "2"), "match only"),
        (("fit", "--beyond", "-2"), "beyond"),
        (("fit", "--since", "2999-01-01"), "no settled auction"),
    ],
)
def test_what_is_not_there_is_said(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    done = shell(*arguments)
    assert done.code == 2
    assert said in done.err


def test_an_empty_memory_has_nothing_to_teach(empty: Shell) -> None:
    assert "Only the default weights" in empty("weights", "list").out
    assert empty("fit").code == 2
    assert "no weights to compare" in empty("replay").err
    assert "default weights are in use" in empty("weights", "check").err


def test_when_auctions_pay_by_own_records(shell: Shell, empty: Shell) -> None:
    """Both agents' work is free of tokens here, so there is no cost to compare with: that is said, not divided by."""
    done = shell("weights", "map")
    assert done.code != 0
    assert "different tasks" in done.err
    assert "at least 30 tasks" in empty("weights", "map").err
