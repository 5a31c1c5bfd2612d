"""`sale trial` as a user runs it, over real HTTP: agents that answer from a script, real calls, a real kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sale import config
from sale.bench.recording.log import read_record
from sale.cli.main import app
from sale.errors import MissingExtraError
from sale.models import embedding
from tests.support.command import Done, run_sale
from tests.support.doubling import PRICES, says
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.preloaded import PLAIN


@pytest.fixture
def served() -> Iterator[Endpoint]:
    with Endpoint(say=says) as endpoint:
        yield endpoint


def prepare(folder: Path, endpoint: Endpoint, count: int, trait: str = "good", **more: str) -> None:
    agents = "\n".join(
        f'[[agents]]\nname = "{name}"\nendpoint = "{endpoint.base_url}"\nmodel = "{trait}@{name}"\nprice = {price}\n'
        f"answer_tokens = 16\nlogprobs = 0\n{more.get(name, '')}\n"
        for name, price in PRICES.items()
    )
    rules = '# my rules\n[auction]\nstrategy_tokens = 40\nhold = "always"  # for now\n'
    (folder / "sale.toml").write_text(f'{agents}{rules}[memory]\npath = "memory.sqlite3"\n', encoding="utf-8")
    lines = [{"id": f"t{n}", "text": f"Double {n}.", "reference": str(2 * n)} for n in range(count)]
    (folder / "tasks.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


def trial(folder: Path, *more: str) -> Done:
    return run_sale(folder, "trial", "tasks.jsonl", "--config", "sale.toml", *more)


def billed(endpoint: Endpoint, folder: Path) -> float:
    """Dollars of all calls on record, by their own usage."""
    lines = [line for line in read_record(folder / "trial.jsonl") if line["kind"] == "call"]
    return sum(sum(line["reply"]["usage"]) * PRICES[line["agent"]] / 1e6 for line in lines)


def result_of(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    return json.loads(done.out)["trial"]


def test_a_trial_says_who_is_best_and_what_a_market_would_do_and_stops_when_that_is_clear(
    tmp_path: Path, served: Endpoint
) -> None:
    prepare(tmp_path, served, 60)
    found = result_of(trial(tmp_path, "--cap", "1", "--json"))
    report = found["report"]
    assert found["ended"] == "clear"
    assert 25 <= report["tasks"] < 60
    assert found["spent"] == pytest.approx(billed(served, tmp_path))
    ways = {way["name"]: way for way in report["ways"]}
    assert report["best"] == "large"
    assert report["cheapest"] is None
    assert ways["large"]["success"]["value"] == 1.0
    assert ways["small"]["success"]["value"] == pytest.approx(0.5, abs=0.25)
    assert ways["small"]["standing"] == "worse"
    assert ways["small"]["share"] == pytest.approx(0.05, abs=0.02)
    assert {name for name in ways if name.startswith("market")} == {
        "market, before it learns",
        "market, no auctions",
        "market, auctions where they pay",
        "market, 2 attempts",
    }
    attempts = ways["market, 2 attempts"]
    assert attempts["success"]["value"] == 1.0  # failures of the small one are found out, and the large one follows
    assert attempts["share"] < 1.0
    again = trial(tmp_path, "--cap", "1")
    assert again.code == 0
    screen = " ".join(again.out.split())
    assert "Best single agent: large, 100% solved" in screen
    assert "Recommended: " in screen
    assert "sale.recommended.toml" in screen
    assert len(again.out.splitlines()) < 35


def test_what_is_recommended_is_the_users_own_file_with_other_rules_and_is_ready_for_use(
    tmp_path: Path, served: Endpoint
) -> None:
    prepare(tmp_path, served, 60)
    report = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))["report"]
    text = (tmp_path / "sale.recommended.toml").read_text()
    assert text.startswith("# Recommended by `sale trial`: ")
    assert "# my rules" in text
    before, after = config.load(tmp_path / "sale.toml"), config.load(tmp_path / "sale.recommended.toml")
    assert before.agents == after.agents
    assert after.auction.strategy_tokens == 40
    chosen = report["recommended"]
    if chosen["kind"] == "agent":
        assert after.auction.incumbent == chosen["name"]
    else:
        assert after.auction.attempts == chosen["attempts"]
    imported = run_sale(tmp_path, "import", "trial.jsonl", "--config", "sale.recommended.toml", "--json")
    assert imported.code == 0, imported.err
    work = {one["agent"]: (one["works"], one["in_pool"]) for one in json.loads(imported.out)["import"]["agents"]}
    assert work == {"small": (60, True), "large": (60, True)}


def test_a_file_that_cannot_be_changed_as_text_takes_nothing_from_the_report(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 20)
    path = tmp_path / "sale.toml"
    rules = '[auction]\nstrategy_tokens = 40\nhold = "always"  # for now\n'
    text = path.read_text(encoding="utf-8")
    path.write_text("auction = { strategy_tokens = 40 }\n" + text.replace(rules, ""), encoding="utf-8")
    done = trial(tmp_path, "--cap", "1")
    assert done.code == 2, done.err
    assert "Recommended: " in " ".join(done.out.split())
    assert "its rules of auctions cannot be changed here" in done.err
    assert not (tmp_path / "sale.recommended.toml").exists()


def test_the_cap_is_never_exceeded_and_a_higher_one_goes_on(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 30)
    whole = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))
    calls = len(served.requests())
    for name in ("trial.jsonl", "sale.recommended.toml"):
        (tmp_path / name).unlink()
    served.reset()
    served.say = says
    cap = whole["spent"] / 2
    found = result_of(trial(tmp_path, "--cap", f"{cap:.6f}", "--keep-going", "--json"))
    assert found["ended"] == "cap"
    assert 0 < found["report"]["tasks"] < 30
    assert billed(served, tmp_path) <= found["spent"] <= cap
    assert found["report"]["notes"]
    rest = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))
    assert (rest["ended"], rest["report"]["tasks"]) == ("done", 30)
    assert len(served.requests()) == calls  # nothing was asked twice
    # Tasks stand on the two records in different orders; intervals are the same all the same. Auctions were held anew
    # for the second record, with other labels of plans, so what they come to is compared by the test below.
    agents = [[way for way in one["report"]["ways"] if way["kind"] == "agent"] for one in (rest, whole)]
    assert agents[0] == agents[1]
    assert {way["name"] for way in agents[0]} == {"small", "large"}


def test_intervals_are_the_same_whatever_the_order_of_the_record(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 26)
    report = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))["report"]
    record = tmp_path / "trial.jsonl"
    first, *lines = record.read_text().splitlines()
    record.write_text("\n".join([first, *reversed(lines), ""]))
    again = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))["report"]
    assert again == report


OWN_AGENTS = """
[[agents]]
name = "program"
command = ["{python}", "-c", "print(2 * int(input().split('Double ')[1].split('.')[0]))"]
price = 0.1
price_per_task = 0.001
follow_strategy = false
plan = "1. Double the number."

[[agents]]
name = "half"
function = "own_work:half"
price = 0.1
plan = "1. Double the number, if it is even."
"""
OWN_WORK = """
async def half(task, plan):
    number = int(task.text.split("Double ")[1].split(".")[0])
    return str(2 * number if number % 2 == 0 else 0)
"""


def test_programs_and_functions_take_part_and_are_paid(
    tmp_path: Path, served: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, served, 6)
    settings = (tmp_path / "sale.toml").read_text()
    (tmp_path / "sale.toml").write_text(OWN_AGENTS.replace("{python}", sys.executable) + settings)
    (tmp_path / "own_work.py").write_text(OWN_WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))
    ways = {way["name"]: way for way in found["report"]["ways"]}
    assert ways["program"]["success"]["value"] == 1.0
    assert ways["program"]["dollars"]["value"] == pytest.approx(0.001)
    assert ways["half"]["success"]["value"] == pytest.approx(0.5)
    lines = list(read_record(tmp_path / "trial.jsonl"))
    reserved = sum(line["kind"] == "reserved" for line in lines)
    assert reserved == sum(line["kind"] == "paid" for line in lines if line.get("number", -1) >= 0)
    assert found["spent"] == pytest.approx(sum(line["dollars"] for line in lines if line["kind"] == "paid"))
    assert found["spent"] > 6 * 0.001
    again = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))
    assert again["report"] == found["report"]
    assert again["spent"] == found["spent"]  # nothing was done twice


OWN_SEARCH = """
from sale.agents.tools.web.providers import SearchHit

class Shelf:
    name = "shelf"

    async def search(self, query, limit):
        return [SearchHit(title="Doubling", address="https://example.org/", snippet="To double is to add to itself.")]
"""
OWN_JUROR = """
from sale import Answer, Price, Usage

class Asked:
    def __init__(self, name):
        self.name, self.price = name, Price(input=100.0, output=0.0, blended=100.0)

    async def answer(self, question):
        return Answer(probability=0.5, usage=Usage(input_tokens=3))
"""


def test_fees_of_tools_and_jurors_outside_the_pool_are_paid_from_the_purse(
    tmp_path: Path, served: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching = (
        'execution = "consult"\nturns = 1\nlook = 1\n[agents.tools]\npython = false\n[agents.tools.search]\n'
        'provider = "own_search:Shelf"\nprice_per_call = 0.004\n'
    )
    prepare(tmp_path, served, 4, small=searching)
    with (tmp_path / "sale.toml").open("a", encoding="utf-8") as settings:
        settings.write('[[jurors]]\nname = "asked"\nkind = "own_juror:Asked"\n')
    (tmp_path / "own_search.py").write_text(OWN_SEARCH)
    (tmp_path / "own_juror.py").write_text(OWN_JUROR)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))
    searched = 4 * (1 + 1) * 0.004  # a look and a search at work for each task
    judged = 4 * 1 * 0.0003  # the one bid with evidence
    assert found["spent"] == pytest.approx(billed(served, tmp_path) + searched + judged)
    again = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))
    assert again["spent"] == found["spent"]


def test_a_program_that_would_go_beyond_the_cap_is_not_begun(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 6)
    settings = (tmp_path / "sale.toml").read_text()
    program = OWN_AGENTS.split("[[agents]]")[1].replace("{python}", sys.executable).replace("0.001", "0.1")
    (tmp_path / "sale.toml").write_text("[[agents]]" + program + settings)
    found = result_of(trial(tmp_path, "--cap", "0.35", "--keep-going", "--json"))
    assert found["ended"] == "cap"
    assert found["spent"] <= 0.35
    assert 1 <= found["report"]["tasks"] <= 3


def test_a_cap_that_allows_no_task_is_said_and_nothing_is_spent(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 3)
    told = trial(tmp_path, "--cap", "0.0000001")
    assert told.code == 2
    assert "does not allow a single task" in told.err
    assert not served.requests()


def test_a_killed_trial_goes_on_and_what_was_under_way_counts_as_spent(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 8, trait="slow-300+good")
    command = [*PLAIN, "trial", "tasks.jsonl", "--config", "sale.toml", "--cap", "1", "--quiet"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        assert served.wait(lambda: len(served.requests()) >= 14, HANG)
        running.send_signal(signal.SIGKILL)
    lines = list(read_record(tmp_path / "trial.jsonl"))
    kinds = Counter(line["kind"] for line in lines)
    cut = kinds["reserved"] - kinds["paid"]
    assert cut > 0
    recorded = kinds["call"]
    asked = len(served.requests())
    found = result_of(trial(tmp_path, "--cap", "1", "--keep-going", "--json"))
    assert found["report"]["tasks"] == 8
    per_task = Counter(line["task"] for line in read_record(tmp_path / "trial.jsonl") if line["kind"] == "execution")
    assert set(per_task.values()) == {2}
    again = len(served.requests()) - asked
    assert again == sum(line["kind"] == "call" for line in read_record(tmp_path / "trial.jsonl")) - recorded
    assert found["spent"] > billed(served, tmp_path)


def test_a_folder_of_prompts_is_judged_by_a_model_where_there_is_no_check(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 1)
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "one.txt").write_text("Double 3.")
    (folder / "two.md").write_text("Double 4.")
    (folder / "two.expect").write_text("8\n")
    unjudged = run_sale(tmp_path, "trial", "prompts", "--config", "sale.toml", "--cap", "1")
    assert unjudged.code == 2
    assert "'one' has no check" in unjudged.err
    assert "--judge" in unjudged.err
    told = run_sale(tmp_path, "trial", "prompts", "--config", "sale.toml", "--cap", "1", "--judge", "large", "--json")
    assert result_of(told)["report"]["tasks"] == 2
    verdicts = {
        (line["task"], line["agent"]): line["outcome"]["judged_by"]
        for line in read_record(tmp_path / "trial.jsonl")
        if line["kind"] == "execution"
    }
    assert verdicts["one", "small"] == verdicts["one", "large"] == "model:large"
    assert "model" not in verdicts["two", "small"]


def test_an_endpoint_that_fails_ends_the_trial_in_a_line_and_it_goes_on_later(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 2, trait="401")
    told = trial(tmp_path, "--cap", "1", "--quiet")
    assert told.code == 1
    assert "the trial stopped: " in told.err
    assert "the same command goes on" in told.err


def test_one_agent_is_no_market(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 2)
    text = (tmp_path / "sale.toml").read_text()
    second = text.index('[[agents]]\nname = "large"')
    (tmp_path / "sale.toml").write_text(text[:second] + text[text.index("# my rules") :])
    told = trial(tmp_path, "--cap", "1")
    assert told.code == 2
    assert "there is only one" in told.err


@pytest.mark.parametrize("missing", ["onnxruntime", embedding.MODEL_PACKAGE])
def test_what_the_comparison_needs_is_there_before_anything_is_paid(
    missing: str, tmp_path: Path, served: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, served, 2)

    def without(name: str) -> ModuleSpec | None:
        return None if name == missing else find_spec(name)

    monkeypatch.setattr(embedding, "find_spec", without)
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["trial", "tasks.jsonl", "--config", "sale.toml", "--cap", "1"])
    assert isinstance(told.exception, MissingExtraError)
    assert "sale[local]" in told.exception.hint
    assert not served.requests()
    assert not (tmp_path / "trial.jsonl").exists()
