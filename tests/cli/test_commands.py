"""The command, as a user runs it: over real HTTP, with a memory on disk."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sale import config
from sale.models.prices import listed_price
from sale.shipped import knowledge_of
from tests.support.command import Done, run_sale
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.preloaded import sale_command

COMMON = """
[auction.caps]
seconds = 60
"""


@dataclass(frozen=True)
class Shell:
    """Runs `sale` with the settings under test."""

    folder: Path

    def __call__(self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Done:
        done = run_sale(self.folder, *arguments, stdin=stdin, env=env)
        assert "Traceback" not in done.err, done.err
        return done


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as served:
        yield served


def settings(endpoint: Endpoint, *models: str, more: str = COMMON) -> str:
    agents = "\n".join(
        f'[[agents]]\nname = "agent-{place}"\nprice = {place / 10}\n'
        f'endpoint = "{endpoint.base_url}"\nmodel = "{model}"\n'
        for place, model in enumerate(models, start=1)
    )
    return agents + more


@pytest.fixture
def shell(tmp_path: Path, endpoint: Endpoint) -> Shell:
    (tmp_path / "sale.toml").write_text(settings(endpoint, "good@a", "good@b", "good@c"), encoding="utf-8")
    return Shell(tmp_path)


def test_an_answer_that_nothing_checks_is_called_so(shell: Shell) -> None:
    done = shell("run", "Say hello.")
    assert "Outcome  not checked" in done.out
    assert "nobody" not in done.out
    outcome = json.loads(shell("run", "Say hello.", "--json").out)["result"]["outcome"]
    assert (outcome["verdict"], outcome["judged_by"]) == ("unknown", "nobody")


def test_a_program_without_log_probabilities_is_not_called_an_endpoint(tmp_path: Path) -> None:
    agent = '[[agents]]\nname = "p"\ncommand = ["/bin/echo", "done"]\nprice = 1.0\n'
    text = f'{agent}plan = "1. Do it."\nprice_per_task = 0.001\n'
    (tmp_path / "sale.toml").write_text(text, encoding="utf-8")
    done = Shell(tmp_path)("bid", "Say hello.")
    assert "its plan came without log-probabilities" in " ".join(done.out.split())
    assert "endpoint" not in done.out


def test_a_key_that_no_agent_satisfies_is_warned_of(shell: Shell) -> None:
    done = shell("keys", "create", "x", "--require", "region=eu")
    assert done.code == 0
    said = " ".join(done.err.split())
    assert "no agent of sale.toml has region=eu: requests with this key are refused until one has" in said
    assert "no agent" not in shell("keys", "create", "y").err
    text = (shell.folder / "sale.toml").read_text(encoding="utf-8")
    labelled = text.replace("price = 0.1", 'price = 0.1\nlabels = { region = "eu" }', 1)
    (shell.folder / "sale.toml").write_text(labelled, encoding="utf-8")
    assert "no agent" not in shell("keys", "create", "z", "--require", "region=eu").err


def test_run_shows_board_answer_outcome_and_money(shell: Shell) -> None:
    done = shell("run", "Say hello.", "--expect", "something else")
    assert done.code == 0, done.err
    for sign in ("★", "agent-1", "C − V", "Outcome", "failure", "by exact match", "Always agent-3"):
        assert sign in done.out
    assert "bidding" in done.err, "progress goes to stderr"


def test_run_json_adds_up(shell: Shell) -> None:
    done = shell("run", "Say hello.", "--json", "--quiet")
    assert done.code == 0, done.err
    assert done.err == ""
    result = json.loads(done.out)["result"]
    settlement = result["settlement"]
    assert settlement["dollars"] == pytest.approx(sum(call["dollars"] for call in settlement["calls"]))
    assert settlement["dollars"] == pytest.approx(settlement["auction_dollars"] + settlement["work_dollars"])
    assert result["saved"] == pytest.approx(result["always_largest"]["dollars"] - settlement["dollars"])
    assert result["outcome"] == {"verdict": "unknown", "judged_by": "nobody", "detail": "", "calls": []}


def test_examples_in_the_task_are_tried_where_nothing_else_is_asked_for(shell: Shell) -> None:
    task = "Write a Python function double(x).\n>>> double(2)\n4"
    outcome = json.loads(shell("run", task, "--json", "--quiet").out)["result"]["outcome"]
    assert (outcome["verdict"], outcome["judged_by"]) == ("failure", "the task's examples")
    outcome = json.loads(shell("run", task, "--json", "--quiet", "--expect", "4").out)["result"]["outcome"]
    assert outcome["judged_by"] == "exact match"


def test_bid_holds_the_auction_only(shell: Shell, endpoint: Endpoint) -> None:
    done = shell("bid", "Say hello.", "--json", "--jury", "per-bid")
    assert done.code == 0, done.err
    auction = json.loads(done.out)["auction"]
    assert auction["jury"] == "per-bid"
    stages = [call["stage"] for call in auction["settlement"]["calls"]]
    assert stages.count("bid") == 3
    assert stages.count("judge") == 9
    assert len(endpoint.requests()) == 12, "nobody worked"


def test_the_task_from_standard_input_and_from_a_file(shell: Shell) -> None:
    assert json.loads(shell("bid", "-", "--json", stdin="Count to three.").out)["auction"]["task"]["text"]
    tasks = shell.folder / "tasks.jsonl"
    tasks.write_text('{"id": "one", "text": "First."}\n{"id": "two", "text": "Second."}\n', encoding="utf-8")
    done = shell("bid", "--file", "tasks.jsonl", "--id", "two", "--json")
    assert json.loads(done.out)["auction"]["task"]["id"] == "two"


def test_memory_from_list_to_forget(shell: Shell) -> None:
    assert shell("run", "Name a prime number.", "--quiet").code == 0
    assert shell("bid", "Name an even number.", "--quiet").code == 0
    listed = json.loads(shell("memory", "list", "--json").out)["summaries"]
    assert [one["task"] for one in listed] == ["Name an even number.", "Name a prime number."]
    settled = listed[1]["id"]
    assert shell("feedback", settled[:8], "success", "--detail", "7 is prime").code == 0
    record = json.loads(shell("memory", "show", settled[:8], "--json").out)["record"]
    assert [one["outcome"]["verdict"] for one in record["outcomes"]] == ["unknown", "success"]
    assert "7 is prime" in shell("memory", "show", settled).out
    found = json.loads(shell("memory", "search", "a prime number", "--limit", "1", "--json").out)["found"]
    assert found[0]["summary"]["id"] == settled
    assert shell("memory", "export", "records.jsonl").code == 0
    assert "1 auction forgotten" in shell("memory", "forget", settled).out
    assert "1 record added; here already: 1" in shell("memory", "import", "records.jsonl").out
    assert json.loads(shell("memory", "stats", "--json").out)["stats"]["tasks"] == 2


@pytest.mark.parametrize("whose", [("--before", "2100-01-01"), ("--source", "import:a"), ("--tenant", "default")])
def test_auctions_that_are_not_named_one_by_one_are_forgotten_only_after_a_question(
    shell: Shell, whose: tuple[str, str]
) -> None:
    """Conditions add to the auctions that are named: whoever takes them for a narrower choice loses the others."""
    assert shell("bid", "Name a prime number.", "--quiet").code == 0
    (one,) = json.loads(shell("memory", "list", "--json").out)["summaries"]
    done = shell("memory", "forget", one["id"], *whose, stdin="n\n")
    assert (done.code, done.out) == (1, "")
    assert "nothing was done" in done.err
    assert "interrupted" not in done.err
    assert len(json.loads(shell("memory", "list", "--json").out)["summaries"]) == 1
    assert "nothing was done" in shell("memory", "forget", one["id"], *whose).err, "standard input is at its end"
    assert "1 auction forgotten" in shell("memory", "forget", one["id"], *whose, "--yes").out


@pytest.mark.parametrize("option", ["--source", "--tenant"])
def test_an_empty_condition_forgets_nothing(shell: Shell, option: str) -> None:
    """An empty source is what was held here: a variable that is not set would name all of it."""
    assert shell("bid", "Name a prime number.", "--quiet").code == 0
    done = shell("memory", "forget", option, "", "--yes")
    assert done.code == 2
    assert f"{option} is empty" in done.err
    assert len(json.loads(shell("memory", "list", "--json").out)["summaries"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("batch", "tasks.jsonl", "--out", "results.jsonl", "--cap", "nan"),
        ("batch", "tasks.jsonl", "--out", "results.jsonl", "--cap", "inf"),
        ("trial", "tasks.jsonl", "--cap", "nan"),
        ("trial", "tasks.jsonl", "--cap", "1", "--margin", "nan"),
        ("replay", "--imported", "--margin", "nan"),
        ("fit", "--worth", "inf"),
        ("fit", "--seed", "-1"),
        ("memory", "list", "--limit", "9" * 20),
        ("memory", "search", "a prime number", "--limit", "0"),
        ("weights", "use", "9" * 20),
        ("weights", "show", "9" * 5000),
        ("spend", "--days", "9" * 9),
        ("shadow", "report", "--days", "9" * 12),
        ("ledger", "archive", "--to", "lines", "--keep-days", "9" * 9),
        ("keys", "create", "one", "--rpm", "9" * 20),
        ("keys", "create", "one", "--budget", "1e300"),
        ("bench", "run", "record.jsonl", "--domain", "search", "--width", "0"),
        ("bench", "run", "record.jsonl", "--domain", "search", "--orders", "-1"),
        ("mcp", "--http", "--port", "70000"),
    ],
)
def test_a_number_that_makes_no_sense_is_a_mistake_in_the_command(shell: Shell, arguments: tuple[str, ...]) -> None:
    (shell.folder / "tasks.jsonl").write_text('{"id": "one", "text": "First."}\n', encoding="utf-8")
    done = shell(*arguments)
    assert done.code == 2, done.err
    assert "should not happen" not in done.err


@pytest.mark.parametrize("verb", ["import", "trial"])
def test_a_pass_mark_is_a_number(shell: Shell, verb: str) -> None:
    """No score is at least `nan`: all work would count as failed."""
    done = shell(verb, "work.csv", "--pass-mark", "nan")
    assert done.code == 2
    assert "'nan' is not a finite number" in done.err


def test_names_in_records_of_others_do_not_drive_the_terminal(shell: Shell) -> None:
    assert shell("run", "Name a prime number.", "--quiet").code == 0
    assert shell("memory", "export", "records.jsonl").code == 0
    line = json.loads((shell.folder / "records.jsonl").read_text(encoding="utf-8"))
    text = json.dumps(line["record"]).replace("agent-1", "agent-1\\u001b]0;mine\\u0007\\u001b[2J")
    line["record"] = json.loads(text.replace(line["record"]["id"], "\\u001b[2Jother"))
    (shell.folder / "theirs.jsonl").write_text(json.dumps(line), encoding="utf-8")
    assert "1 record added" in shell("memory", "import", "theirs.jsonl").out
    for asked in (("list",), ("show", "\x1b[2Jother"), ("show", "nothing"), ("search", "a prime number")):
        done = shell("memory", *asked)
        assert not {"\x1b", "\x07"} & {*done.out, *done.err}, asked


def test_doctor_says_what_is_missing_and_what_it_costs(tmp_path: Path, endpoint: Endpoint) -> None:
    models = ("good", "no-logprobs", "prose-ballot", "401")
    (tmp_path / "sale.toml").write_text(settings(endpoint, *models), encoding="utf-8")
    done = Shell(tmp_path)("doctor", "--json")
    assert done.code == 1, "an agent that cannot be reached is a failed checkup"
    checkups = json.loads(done.out)["doctor"]
    assert [one["reachable"] for one in checkups] == [True, True, True, False]
    assert [one["logprobs"] for one in checkups] == [True, False, True, False]
    assert [one["json_schema"] for one in checkups] == [True, True, False, False]
    assert [one["plan"] for one in checkups] == [True, True, True, None]
    assert [one["ballot"] for one in checkups] == [True, True, False, None]
    assert "entropy" in checkups[1]["lacks"][0]["costs"]
    said = " ".join(Shell(tmp_path)("doctor").out.split())
    assert "entropy" in said
    assert "judge = false in its table keeps it off the jury" in said
    assert "On the jury: agent-1, agent-2, agent-3, agent-4." in said


def test_doctor_says_that_agents_which_write_no_plan_cannot_bid(tmp_path: Path) -> None:
    jurors = '[[jurors]]\nname = "fair"\nkind = "question"\nagent = "agent-1"\n'
    with Endpoint(say=lambda ask: "42") as endpoint:
        (tmp_path / "sale.toml").write_text(settings(endpoint, "good@a", "good@b") + jurors, encoding="utf-8")
        done = Shell(tmp_path)("doctor")
        quick = Shell(tmp_path)("doctor", "--quick", "--json")
    said = " ".join(done.out.split())
    assert done.code == 1
    assert "no plan of a small task: the strategy has no steps; it wrote: 42" in said
    assert "No agent can bid" in said
    assert "On the jury: fair; with [[jurors]] an agent judges only where its table has judge = true." in said
    assert quick.code == 0
    assert [one["plan"] for one in json.loads(quick.out)["doctor"]] == [None, None]


def test_init_finds_keys_and_ollama_and_writes_valid_settings(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = shell("init", "--json", env={"OPENAI_API_KEY": "sk-canary"})
    assert done.code == 0, done.err
    agents = json.loads(done.out)["agents"]
    assert agents["local"] == 3
    assert agents["hosted"] == 3
    text = (tmp_path / "sale.toml").read_text(encoding="utf-8")
    assert "sk-canary" not in text
    hosted = [agent for agent in config.load(tmp_path / "sale.toml").agents if agent.api_key_env == "OPENAI_API_KEY"]
    assert [agent.effort for agent in hosted] == ["minimal"] * 3  # else thoughts leave nothing of bids and ballots
    assert all(agent.judge for agent in hosted)
    written = config.load(tmp_path / "sale.toml")
    local = [agent for agent in written.agents if agent.local is not None]
    # As was measured of the small models: they judge badly, and their plans hurt their work.
    assert [(one.judge, one.follow_strategy, one.answer_tokens) for one in local] == [(False, False, 512)] * 3
    assert (written.auction.attempts, written.auction.judge_seconds, written.auction.caps.seconds) == (3, 120, 300)
    again = shell("init")
    assert again.code == 2
    assert "--force" in again.err


KEYS = ("OPENAI", "ANTHROPIC", "GEMINI", "MISTRAL", "DEEPSEEK", "GROQ", "OPENROUTER")


def _have_only(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    def find(name: str) -> object:
        return object() if name in modules else None

    monkeypatch.setattr("sale.cli.init.find_spec", find)


def test_init_uses_every_key_or_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _have_only(monkeypatch, "xllamacpp", "anthropic")
    done = Shell(tmp_path)(
        "init", "--ollama", "http://127.0.0.1:9", env={f"{name}_API_KEY": "sk-canary-4711" for name in KEYS}
    )
    assert done.code == 0, done.err
    assert "GEMINI_API_KEY is set, and not used: pip install 'sale[google]'" in " ".join(done.err.split())
    agents = config.load(tmp_path / "sale.toml").agents
    assert {one.api_key_env for one in agents} == {None, *(f"{name}_API_KEY" for name in KEYS if name != "GEMINI")}
    assert {one.provider for one in agents} == {None, "anthropic"}
    for one in agents:
        if one.price is None:
            listed_price(one.name, one.model or "", one.endpoint or "", provider=one.provider or "")


def test_init_reaches_gemini_by_its_own_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _have_only(monkeypatch, "google.genai")
    env = {"GEMINI_API_KEY": "sk-canary-4711"}
    assert Shell(tmp_path)("init", "--ollama", "http://127.0.0.1:9", env=env).code == 0
    agents = config.load(tmp_path / "sale.toml").agents
    assert [(one.provider, one.model, one.effort) for one in agents] == [
        ("google", "gemini-2.5-flash-lite", "none"),
        ("google", "gemini-2.5-flash", "none"),
    ]


def test_init_writes_to_standard_output_what_settings_can_be_read_from(tmp_path: Path) -> None:
    done = subprocess.run(
        [*sale_command(), "init", "--ollama", "http://127.0.0.1:9", "--output", "-"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=HANG,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert config.parse(done.stdout).agents
    assert "standard output" in done.stderr
    assert not (tmp_path / "-").exists()


def test_init_with_nothing_but_the_local_pool_writes_what_was_measured_to_suit_it(tmp_path: Path) -> None:
    assert Shell(tmp_path)("init", "--ollama", "http://127.0.0.1:9").code == 0
    written = config.load(tmp_path / "sale.toml")
    assert written.auction == config.parse(config.shipped_text()).auction
    assert knowledge_of(written) is not None


def test_init_writes_an_example_with_its_documents_and_overwrites_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = shell("init", "--example")
    assert done.code == 0, done.err
    assert {path.name for path in tmp_path.iterdir()} >= {"sale.toml", "operations.jsonl", "people.jsonl"}
    agents = {agent.name: agent for agent in config.load(tmp_path / "sale.toml").agents}
    search = agents["operations"].tools.search if agents["operations"].tools else None
    assert search is not None
    assert search.corpus == tmp_path / "operations.jsonl"
    (tmp_path / "sale.toml").unlink()
    (tmp_path / "operations.jsonl").unlink()
    (tmp_path / "people.jsonl").write_text("mine", encoding="utf-8")
    again = shell("init", "--example")
    assert again.code == 2
    assert "people.jsonl" in again.err
    assert not (tmp_path / "sale.toml").exists()
    assert (tmp_path / "people.jsonl").read_text(encoding="utf-8") == "mine"
    assert json.loads(shell("init", "--example", "--force", "--json").out)["agents"] == {"example": 4}


def test_nothing_is_lost_when_no_agent_bids(tmp_path: Path, endpoint: Endpoint) -> None:
    (tmp_path / "sale.toml").write_text(settings(endpoint, "empty-text", "404-model"), encoding="utf-8")
    shell = Shell(tmp_path)
    done = shell("run", "Say hello.", "--quiet")
    assert done.code == 1
    assert "agent-1" in done.err
    assert "empty" in done.err
    assert "The auction cost $0.0" in done.err
    told = json.loads(shell("run", "Say hello.", "--quiet", "--json").out)
    assert (told["schema"], told["error"]["code"]) == ("sale.error/1", "auction.no_bids")
    assert told["error"]["dollars"] > 0.0
    assert "agent-1" in told["error"]["message"]
    listed = json.loads(shell("memory", "list", "--json").out)["summaries"]
    assert [one["status"] for one in listed] == ["abandoned", "abandoned"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "x", "--config", "nowhere.toml"), "there is no such file"),
        (("run", ""), "the task is empty"),
        (("run", "--id", "two"), "--id goes with --file"),
        (("memory", "show", "x\udcff"), "there is no auction"),
        (("feedback", "x\udcff", "success"), "there is no auction"),
        (("memory", "forget", "x\udcff"), "there is no auction"),
        (("keys", "show", "x\udcff"), "there is no key"),
        (("bid", "Say hello.", "--id", "two"), "--id goes with --file"),
        (("init", "--example", "--force", "--output", "-"), "--example writes several files"),
        (("run", "x", "--example", "mbpp/606"), "several tasks"),
        (("run", "--example", "nope"), "no task 'nope'"),
        (("run", "x", "--tests", "nowhere.py"), "nowhere.py: cannot be read"),
        (("run", "x", "--judge", "nobody"), "no agent 'nobody'"),
        (("memory", "show", "ffff"), "ffff"),
        (("memory", "import", "nowhere.jsonl"), "nowhere.jsonl"),
        (("feedback", "ffff", "success"), "ffff"),
        (("models", "pull", "gpt-9"), "gpt-9"),
        (("frobnicate",), "frobnicate"),
        (("rnu", "x"), "Did you mean 'run'?"),
        (("keys", "crate"), "Did you mean 'create'?"),
        (("run", "x", "--jury", "twelve"), "twelve"),
    ],
)
def test_a_mistake_is_one_clear_line_and_code_2(shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    done = shell(*arguments)
    assert done.code == 2, done.err
    assert says in done.err
    assert done.out == ""


def test_settings_faults_name_the_key_and_the_nearest_one(shell: Shell) -> None:
    path = shell.folder / "sale.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("price = 0.1", "prize = 0.1"), encoding="utf-8")
    done = shell("run", "x")
    assert done.code == 2
    assert "agents.1.prize: unknown key; did you mean 'price'?" in done.err


def test_a_fan_out_over_the_cap_is_refused_before_any_call(shell: Shell, endpoint: Endpoint) -> None:
    path = shell.folder / "sale.toml"
    path.write_text(path.read_text(encoding="utf-8") + "calls = 5\n", encoding="utf-8")
    done = shell("run", "x", "--quiet")
    assert done.code == 1
    assert "cap of 5" in done.err
    assert "auction.caps.calls" in done.err
    assert endpoint.requests() == []


def test_a_missing_key_names_the_variable(tmp_path: Path, endpoint: Endpoint) -> None:
    text = settings(endpoint, "good").replace('model = "good"', 'model = "good"\napi_key_env = "MY_KEY"')
    (tmp_path / "sale.toml").write_text(text, encoding="utf-8")
    done = Shell(tmp_path)("run", "x")
    assert done.code == 2
    assert "MY_KEY is not set" in done.err


def test_what_a_model_writes_cannot_drive_the_terminal(tmp_path: Path) -> None:
    with Endpoint(say=lambda _: "1. \x1b[2J\x1b]0;owned\x07 Do it and check [bold]it[/bold].") as endpoint:
        (tmp_path / "sale.toml").write_text(settings(endpoint, "good"), encoding="utf-8")
        done = Shell(tmp_path)("run", "Say hello.")
    assert "\x1b[2J" not in done.out + done.err
    assert "\x07" not in done.out + done.err
    assert "[bold]it[/bold]" in done.out, "markup of a model's is shown, not obeyed"


def test_examples_are_listed_and_help_is_quick_to_the_point(shell: Shell) -> None:
    assert len(shell("run", "--example", "list").out.splitlines()) == 30
    text = shell("--help").out
    for verb in ("run", "bid", "init", "doctor", "models", "memory", "feedback"):
        assert verb in text
