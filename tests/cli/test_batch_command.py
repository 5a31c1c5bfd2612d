"""`sale batch` as a user runs it, over real HTTP: agents that answer from a script."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Done, run_sale
from tests.support.doubling import PRICES, says
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.preloaded import sale_command


@pytest.fixture
def served() -> Iterator[Endpoint]:
    with Endpoint(say=says) as endpoint:
        yield endpoint


IN_A_FILE = 'path = "memory.sqlite3"'


def prepare(
    folder: Path,
    endpoint: Endpoint,
    count: int,
    trait: str = "good",
    more: str = "",
    rules: str = "",
    memory: str = IN_A_FILE,
) -> None:
    agents = "\n".join(
        f'[[agents]]\nname = "{name}"\nendpoint = "{endpoint.base_url}"\nmodel = "{trait}@{name}"\nprice = {price}\n'
        f"answer_tokens = 16\nlogprobs = 0\n{more}\n"
        for name, price in PRICES.items()
    )
    auction = f"[auction]\nstrategy_tokens = 100\n{rules}\n"
    (folder / "sale.toml").write_text(f"{agents}{auction}[memory]\n{memory}\n", encoding="utf-8")
    write_tasks(folder, count)


def write_tasks(folder: Path, count: int) -> None:
    lines = [{"id": f"t{n}", "text": f"Double {n}.", "reference": str(2 * n)} for n in range(count)]
    (folder / "tasks.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


def batch(folder: Path, *more: str, cap: str = "1") -> Done:
    return run_sale(folder, "batch", "tasks.jsonl", "--out", "out.jsonl", "--cap", cap, "--config", "sale.toml", *more)


def results(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "out.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def answered(endpoint: Endpoint) -> int:
    return sum(one.status == 200 for one in endpoint.requests())


def test_each_task_is_done_once_and_its_line_says_what_came_of_it(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 6)
    done = batch(tmp_path, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)["batch"]
    assert report["ended"] == "done"
    state = report["state"]
    assert (state["total"], state["done"], state["failed"], state["unknown"]) == (6, 6, 0, 0.0)
    lines = results(tmp_path)
    assert Counter(line["id"] for line in lines) == Counter(f"t{n}" for n in range(6))
    for line in lines:
        right = line["winner"] == "large" or int(line["id"][1:]) % 2 == 0
        assert line["verdict"] == ("success" if right else "failure")
        assert line["error"] is None
        assert line["unknown_dollars"] == 0.0
    assert sum(line["dollars"] for line in lines) == pytest.approx(state["dollars"])
    made = answered(served)
    again = batch(tmp_path, "--json")
    assert again.code == 0, again.err
    assert answered(served) == made, "what is done is not done again"
    assert results(tmp_path) == lines


def test_lines_that_are_not_tasks_are_all_named_before_anything_is_spent(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 2)
    with (tmp_path / "tasks.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n\n{"id": "t9"}\nnot JSON\n{"id": "t1", "text": "Again."}\n{"id": "t3", "text": " "}\n')
    done = batch(tmp_path)
    assert done.code == 2
    said = " ".join(done.err.split())
    assert "line 4: text is missing" in said
    assert "A line has id and text" in said
    assert "docs/tasks.md" in said
    assert "line 5: the line: Invalid JSON" in said
    assert "line 6: the id 't1' is that of line 2" in said
    assert "line 7: the text is empty" in said
    assert "Correct or remove these lines; nothing was done or spent." in said
    assert served.requests() == []
    assert not (tmp_path / "out.jsonl").exists()


def test_the_cap_holds_and_a_higher_one_goes_on(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 12, rules="base_rates = false")
    whole = tmp_path / "whole"
    whole.mkdir()
    prepare(whole, served, 12, rules="base_rates = false")
    spent = json.loads(batch(whole, "--json").out)["batch"]["state"]["dollars"]
    cap = spent / 2
    first = batch(tmp_path, "--json", "--concurrency", "2", cap=f"{cap:.6f}")
    assert first.code == 1, first.err
    report = json.loads(first.out)["batch"]
    assert report["ended"] == "cap"
    assert 0 < report["state"]["done"] < 12
    assert report["state"]["dollars"] + report["state"]["unknown"] <= cap
    assert len(results(tmp_path)) == report["state"]["done"]
    told = batch(tmp_path, "--concurrency", "2", cap=f"{cap:.6f}")
    assert "The same command with a higher --cap goes on." in " ".join(told.out.split())
    last = batch(tmp_path, "--json")
    assert last.code == 0, last.err
    assert len(results(tmp_path)) == 12
    # Two memories apart, the same tasks cost about the same: what was stopped at the cap was not paid for twice.
    assert json.loads(last.out)["batch"]["state"]["dollars"] < 1.3 * spent


def test_results_that_were_deleted_are_written_again_for_nothing(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 3)
    assert batch(tmp_path).code == 0
    lines, made = results(tmp_path), answered(served)
    (tmp_path / "out.jsonl").unlink()
    assert batch(tmp_path).code == 0
    assert sorted(results(tmp_path), key=lambda line: line["id"]) == sorted(lines, key=lambda line: line["id"])
    assert answered(served) == made


def test_more_tasks_may_come_and_changed_ones_are_refused(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 2)
    assert batch(tmp_path).code == 0
    write_tasks(tmp_path, 3)
    assert batch(tmp_path).code == 0
    assert [line["id"] for line in results(tmp_path)][-1] == "t2"
    made = answered(served)
    text = (tmp_path / "tasks.jsonl").read_text(encoding="utf-8")
    (tmp_path / "tasks.jsonl").write_text(text.replace("Double 1.", "Double 7."), encoding="utf-8")
    changed = batch(tmp_path)
    assert changed.code == 2
    assert "'t1'" in changed.err
    assert answered(served) == made


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("my notes\n", "this is not a result of a batch"),
        ('{"id": "t0"}\n', "it has no `id` and `attempt`"),
        ('{"id": "t0", "attempt": 1}\n', "of which the memory knows nothing"),
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, served: Endpoint, content: str, said: str) -> None:
    prepare(tmp_path, served, 1)
    (tmp_path / "out.jsonl").write_text(content, encoding="utf-8")
    done = batch(tmp_path)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == content
    assert served.requests() == []


def test_without_a_memory_there_is_no_batch(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 1)
    settings = (tmp_path / "sale.toml").read_text(encoding="utf-8")
    (tmp_path / "sale.toml").write_text(settings + "enabled = false\n", encoding="utf-8")
    done = batch(tmp_path)
    assert done.code == 2
    assert "memory.enabled = true" in done.err


def test_tasks_without_a_result_say_why_and_can_be_done_once_more(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 3, trait="401")
    done = batch(tmp_path)
    assert done.code == 1, done.err
    assert "3 without a result" in " ".join(done.out.split())
    lines = results(tmp_path)
    assert all(line["error"].startswith("auction.no_bids") for line in lines)
    assert all((line["winner"], line["dollars"], line["unknown_dollars"]) == (None, 0.0, 0.0) for line in lines)
    prepare(tmp_path, served, 3)
    assert batch(tmp_path).code == 1, "a task that failed stays so until asked"
    assert batch(tmp_path, "--retry").code == 0
    last = {line["id"]: line for line in results(tmp_path)}
    assert {(line["attempt"], line["error"]) for line in last.values()} == {(2, None)}
    assert len(results(tmp_path)) == 6, "the earlier lines stay"


def test_where_no_agent_bids_any_more_the_batch_stops(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 40, trait="401")
    done = batch(tmp_path, "--concurrency", "2")
    assert done.code == 1
    assert "no agent made a bid for the last" in " ".join(done.err.split())
    assert len(results(tmp_path)) < 12


def test_an_endpoint_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    with Endpoint() as gone:
        prepare(tmp_path, gone, 1)
    done = batch(tmp_path, "--json")
    assert done.code == 1, done.err
    state = json.loads(done.out)["batch"]["state"]
    assert (state["failed"], state["dollars"], state["unknown"]) == (1, 0.0, 0.0)


def test_a_call_whose_bill_is_not_known_stays_charged(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 1, trait="cut")
    done = batch(tmp_path, "--json")
    assert done.code == 1
    state = json.loads(done.out)["batch"]["state"]
    assert state["dollars"] == 0.0
    assert state["unknown"] > 0.0
    (line,) = results(tmp_path)
    assert line["unknown_dollars"] == pytest.approx(state["unknown"])


def test_requests_and_tokens_of_each_model_are_counted(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 1, more="requests_per_minute = 1000\ntokens_per_minute = 1000000")
    done = batch(tmp_path, "--json")
    assert done.code == 0, done.err
    with closing(sqlite3.connect(tmp_path / "memory.sqlite3")) as memory:
        counted = memory.execute("SELECT endpoint, sum(requests), sum(tokens) FROM batch_rates GROUP BY 1").fetchall()
    assert len(counted) == 2, "two models, two windows"
    assert sum(requests for _, requests, _ in counted) == answered(served)
    assert 0 < sum(tokens for _, _, tokens in counted) < 10_000, "corrected to what was used"


def test_programs_judges_and_tools_are_on_the_same_ledger(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 2)
    settings = (tmp_path / "sale.toml").read_text(encoding="utf-8")
    program = (
        f'[[agents]]\nname = "program"\ncommand = ["{sys.executable}", "-c", "print(4)"]\nprice = 0.01\n'
        'price_per_task = 0.002\nplan = "1. Print it."\n'
    )
    loop = settings.replace('name = "small"', 'name = "small"\nexecution = "tools"')
    (tmp_path / "sale.toml").write_text(program + loop, encoding="utf-8")
    write_tasks(tmp_path, 4)
    done = batch(tmp_path, "--json", "--judge", "large")
    assert done.code == 0, done.err
    state = json.loads(done.out)["batch"]["state"]
    with closing(sqlite3.connect(tmp_path / "memory.sqlite3")) as memory:
        ((kept,),) = memory.execute("SELECT sum(dollars) FROM calls").fetchall()
        phases = dict(memory.execute("SELECT phase, count(*) FROM batch_calls GROUP BY 1").fetchall())
    assert kept == pytest.approx(state["dollars"], abs=1e-8)
    assert phases["verify"] == 4
    assert phases.get("execute", 0) + phases.get("tools", 0) + phases.get("work", 0) >= 4
    assert {line["judged_by"] for line in results(tmp_path)} == {"model:large"}


def test_interrupted_it_says_so_and_goes_on(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 4, trait="slow-300+good", rules="base_rates = false")
    command = [*sale_command(), "batch", "tasks.jsonl", "--out", "out.jsonl", "--cap", "1", "--config", "sale.toml"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        assert served.wait(lambda: answered(served) >= 10, HANG)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=HANG)
    assert running.returncode == 130
    assert "interrupted; what was settled is on record" in said
    done = batch(tmp_path, "--json")
    assert done.code == 0, done.err
    state = json.loads(done.out)["batch"]["state"]
    assert (state["done"], state["total"]) == (4, 4)
    with closing(sqlite3.connect(tmp_path / "memory.sqlite3")) as memory:
        ((kept,),) = memory.execute("SELECT sum(dollars) FROM calls").fetchall()
        ((paid, unknown),) = memory.execute(
            "SELECT sum(status = 'paid'), sum(status = 'unknown') FROM batch_calls"
        ).fetchall()
    assert kept == pytest.approx(state["dollars"], abs=1e-8), "calls made before the interruption count once"
    assert paid <= answered(served) <= paid + unknown


def test_two_processes_share_a_batch(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 12, trait="slow-50+good", rules="base_rates = false")
    command = [*sale_command(), "batch", "tasks.jsonl", "--out", "out.jsonl", "--cap", "1", "--config", "sale.toml"]
    running = [
        subprocess.Popen(
            [*command, "--json", "--concurrency", "2"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=HANG) for process in running]
    assert [process.returncode for process in running] == [0, 0], ended
    for out, _ in ended:
        state = json.loads(out)["batch"]["state"]
        assert (state["done"], state["total"], state["unknown"]) == (12, 12, 0.0), "each waits for the whole"
    assert Counter(line["id"] for line in results(tmp_path)) == Counter(f"t{n}" for n in range(12))
    with closing(sqlite3.connect(tmp_path / "memory.sqlite3")) as memory:
        assert memory.execute("SELECT count(*) FROM batch_calls").fetchall() == [(answered(served),)]


def test_progress_is_told_in_lines_where_there_is_no_terminal(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 2)
    done = batch(tmp_path)
    assert re.search(r"^batch: 0 of 2 tasks, \S+ of \S+", done.err, re.MULTILINE), done.err
    assert batch(tmp_path, "--quiet").err == ""
