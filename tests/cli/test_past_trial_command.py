"""`sale trial --from` and `sale replay --imported` as a user runs them, on files that the real tools write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sale import config
from tests.support.command import Done, run_sale
from tests.support.otlp import export
from tests.support.traffic import TrafficLine, drawn_traffic

INSPECT = Path(__file__).parent.parent / "memory" / "data" / "past_work"
SETTINGS = """
[[agents]]
name = "small"
price = 1.0
endpoint = "http://127.0.0.1:9/v1"
model = "mockllm/small"

[[agents]]
name = "large"
price = 10.0
endpoint = "http://127.0.0.1:9/v1"
model = "large"

[memory]
path = "memory.sqlite3"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sale.toml").write_text(SETTINGS)
    return tmp_path


def spans(lines: Sequence[TrafficLine]) -> dict[str, Any]:
    """The traffic as the SDK of OpenTelemetry traces it: a call a trace, its tokens, and how it was judged."""

    def trace(tracer: Any) -> None:
        for line in lines:
            with tracer.start_as_current_span("chat") as call:
                asked = [{"role": "user", "parts": [{"type": "text", "content": line.text}]}]
                call.set_attributes(
                    {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.request.model": f"vendor/{line.agent}" if line.agent == "large" else "mockllm/small",
                        "gen_ai.usage.input_tokens": 800,
                        "gen_ai.usage.output_tokens": 200,
                        "gen_ai.input.messages": json.dumps(asked),
                    }
                )
                score = {"gen_ai.evaluation.name": "user", "gen_ai.evaluation.score.value": float(line.success)}
                call.add_event("gen_ai.evaluation.result", score)

    return export(trace)


def report_of(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    return json.loads(done.out)["past-trial"]["report"]


def test_traffic_of_opentelemetry_says_the_same_from_the_file_and_from_a_memory_without_texts(folder: Path) -> None:
    lines = drawn_traffic(240)
    (folder / "spans.json").write_text(json.dumps(spans(lines)))
    told = run_sale(folder, "trial", "--from", "spans.json", "--json")
    traffic = report_of(told)["traffic"]
    assert traffic["tasks"] == 240
    assert traffic["before"]["success"]["value"] == pytest.approx(sum(line.success for line in lines) / 240)
    ways = {one["way"]["name"]: one for one in traffic["ways"]}
    assert ways["small"]["way"]["dollars"]["value"] == pytest.approx(0.001)  # 1,000 tokens, a dollar a million
    assert ways["large"]["way"]["dollars"]["value"] == pytest.approx(0.01)
    assert not list(folder.glob("memory.sqlite3"))  # nothing was imported
    imported = run_sale(folder, "import", "spans.json", "--no-texts")
    assert imported.code == 0, imported.err
    assert b"apples" not in (folder / "memory.sqlite3").read_bytes()
    again = report_of(run_sale(folder, "replay", "--imported", "--json"))["traffic"]
    for one in again["ways"][:2]:
        assert one["way"]["success"]["value"] == pytest.approx(ways[one["way"]["name"]]["way"]["success"]["value"])
    screen = run_sale(folder, "replay", "--imported")
    assert screen.code == 0
    text = " ".join(screen.out.split())
    assert "240 past works, " in text
    assert "Nothing was called, and nothing spent. 240 tasks, each done by one agent." in text
    assert "as it was" in text
    assert "it was not the harder ones that went to the better agents" in text
    assert len(screen.out.splitlines()) < 40
    later = run_sale(folder, "replay", "--imported", "--since", "2999-01-01")
    assert later.code == 2
    assert "there is no past work to look at" in later.err


def test_logs_of_inspect_are_an_evaluation_and_the_recommended_file_is_written(folder: Path) -> None:
    files = [str(path) for path in sorted(INSPECT.glob("inspect_*"))]
    told = run_sale(folder, "trial", "--from", files[0], "--from", files[1])
    assert told.code == 0, told.err
    text = " ".join(told.out.split())
    assert "6 past works, " in text
    assert "Every agent did 3 tasks: what each makes of them is known." in text
    assert "Best single agent: large, 100% solved" in text
    assert "Recommended: large alone." in text
    assert "A market is fitted from 25 tasks on, and there are fewer." in text
    assert config.load(folder / "sale.recommended.toml").auction.incumbent == "large"


def test_spend_logs_that_know_failures_alone_are_refused_in_a_line(folder: Path) -> None:
    row = {"request_id": "c-1", "spend": 0.1, "model": "large", "prompt_tokens": 1, "startTime": "2026-05-01T10:00:00"}
    rows = [row | {"status": "failure"}, row | {"request_id": "c-2", "status": "success"}]
    (folder / "spend.json").write_text(json.dumps(rows))
    told = run_sale(folder, "trial", "--from", "spend.json")
    assert told.code == 2
    assert "no work is known to have succeeded" in told.err
    assert "success" in told.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("trial", "--from", "w.csv", "--cap", "1"), "so --cap has no meaning"),
        (("trial", "--from", "w.csv", "--source", "popqa"), "so --source has no meaning"),
        (("trial",), "--cap is needed"),
        (("replay", "--imported", "3"), "name no VERSIONS with it"),
        (("replay", "--imported"), "`sale import FILE` adds some"),
        (("trial", "--from", "bad.csv"), "'perhaps' is neither a number nor a verdict"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(folder: Path, given: tuple[str, ...], said: str) -> None:
    (folder / "w.csv").write_text("task,agent,success\nq1,small,1\n")
    (folder / "bad.csv").write_text("task,agent,success\nq1,small,perhaps\n")
    told = run_sale(folder, *given)
    assert told.code == 2
    assert said in " ".join(told.err.split())


def test_a_trial_of_its_own_record_says_the_same_of_agents(folder: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"kind": "run", "settings": {}},
        *({"kind": "task", "task": f"q{n}", "text": f"Double {n}.", "domain": None} for n in range(4)),
    ]
    for number in range(4):
        for agent, right in (("small", number % 2 == 0), ("large", True)):
            call = {"usage": {"input_tokens": 100, "output_tokens": 20}, "dollars": 0.25}
            outcome = {"verdict": "success" if right else "failure", "judged_by": "exact match"}
            done = {"task": f"q{number}", "agent": agent, "strategy": None, "answer": "7", "seconds": 1.5}
            lines.append({"kind": "execution", "error": None, "calls": [call], "outcome": outcome} | done)
    (folder / "trial.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = report_of(run_sale(folder, "trial", "--from", "trial.jsonl", "--json"))["evaluation"]
    assert {way["name"]: way["success"]["value"] for way in found["ways"]} == {"small": 0.5, "large": 1.0}
