"""Reports: from a recorded run to tables, through the command, on a real record."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sale.bench.metrics import DecisionOutcomes
from sale.bench.recording.log import pack
from sale.bench.replay import load_recorded
from sale.bench.report.comparison import compare
from sale.bench.report.cross_validation import cross_fit
from sale.bench.report.fitted import TrainedWeights
from sale.bench.report.make import make
from sale.bench.report.report_table import ReportTable, percent
from sale.bench.report.spend_curve import above_single
from sale.bench.routers.features import Embeddings
from sale.bench.routers.fixed import BestSingle
from sale.bench.stats import Interval
from sale.bench.tasks.files import write_tasks
from sale.bench.tasks.schema import BenchTask, HumanTime
from sale.errors import InputError
from tests.memory.builders import HashEmbedder
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.preloaded import sale_command

WORDS = ("sort", "count", "merge", "reverse", "parse", "rotate", "filter", "split", "join", "trim", "pad", "hash")


def tasks(split: str = "test", number: int = 12) -> list[BenchTask]:
    return [
        BenchTask.model_validate(
            {
                "id": f"own/{split}-{word}",
                "domain": "coding",
                "source": "own" if place % 2 else "other",
                "split": split,
                "kind": "short",
                "prompt": f"{split}: {word} the list.",
                # Half of the tasks are answered rightly by everybody: the endpoint says one thing only.
                "reference": "sorted" if place % 3 else "nothing it would say",
                "time": HumanTime(bins=(0,) if place % 2 else (1, 2), provenance="a test"),
                "licence": "MIT",
            }
        )
        for place, word in enumerate(WORDS[:number])
    ]


def sale(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*sale_command(), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
        env={**os.environ},
    )


@pytest.fixture(scope="module")
def made(running_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a record of twelve tasks and two orders, made by the command."""
    folder = tmp_path_factory.mktemp("recorded")
    agents = "\n".join(
        f'[[agents]]\nname = "{name}"\nendpoint = "{running_endpoint.base_url}"\nmodel = "good@{name}"\n'
        f"price = {0.1 * 2**place}\nlogprobs = 5\n"
        for place, name in enumerate("abc")
    )
    (folder / "sale.toml").write_text(f"{agents}\n[auction]\nexamples = 2\n", encoding="utf-8")
    write_tasks(tasks(), folder / "tasks.jsonl")
    common = ("runs/coding-test.jsonl", "--domain", "coding", "--tasks", "tasks.jsonl", "--config", "sale.toml")
    done = sale(folder, "bench", "run", *common, "--orders", "2", "--judge", "c")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def recorded(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "recorded"))


def test_the_command_records_and_reports(recorded: Path) -> None:
    done = sale(recorded, "bench", "report", "runs", "--tasks", "tasks.jsonl", "--out", "report")
    assert done.returncode == 0, done.stderr
    page = (recorded / "report" / "report.md").read_text(encoding="utf-8")
    for title in ("every router on 12 test tasks", "does a plan help", "Shapley", "taken out", "the judging model on"):
        assert title in page
    rows = list(csv.DictReader(io.StringIO((recorded / "report" / "coding-main.csv").read_text(encoding="utf-8"))))
    names = [row["router"] for row in rows]
    for name in (
        "a",
        "b",
        "c",
        "random",
        "WTP k-NN",
        "CARROT k-NN",
        "FrugalGPT",
        "SALE without memory",
        "SALE",
        "oracle",
    ):
        assert name in names
    assert "cross-fitted" in page
    again = sale(recorded, "bench", "report", "runs", "--tasks", "tasks.jsonl", "--json")
    assert {sheet["key"] for sheet in json.loads(again.stdout)["report"]} >= {"record", "coding-main", "coding-bins"}


def test_a_packed_record_gives_the_same_report(recorded: Path) -> None:
    plain = make(recorded / "runs", tasks(), Embeddings(HashEmbedder())).markdown()
    pack(recorded / "runs" / "coding-test.jsonl")
    (recorded / "runs" / "coding-test.jsonl").unlink()
    assert make(recorded / "runs", tasks(), Embeddings(HashEmbedder())).markdown() == plain


def test_the_figures_are_those_of_the_record(recorded: Path) -> None:
    found = load_recorded(recorded / "runs" / "coding-test.jsonl", tasks())
    features = Embeddings(HashEmbedder())
    field = compare(found, None, features, TrainedWeights(embed=features))
    right = sum(found.works[task.id, "c", ""].success for task in found.tasks) / len(found.tasks)
    assert field.find("c").settled.success.mean() == pytest.approx(right)
    market = field.find("SALE without memory").settled
    spent = sum(found.auctions["first bids", task.id].first_dollars for task in found.tasks)
    assert market.extra.sum() == pytest.approx(spent)
    whole = field.find("SALE")
    assert whole.runs == 2
    assert len(whole.settled) == 2 * len(found.tasks)
    # The record knows what each order really cost: every call of its auctions and the winner's work.
    order = [found.auctions["order 1", task.id] for task in found.tasks]
    work = [found.works[row.task, row.winner or "", row.strategy] for row in order]
    first = whole.settled.dollars[: len(order)]
    assert first.sum() == pytest.approx(sum(row.dollars for row in order) + sum(one.dollars for one in work))


def test_cross_fitting_routes_every_task_once(recorded: Path) -> None:
    table = load_recorded(recorded / "runs" / "coding-test.jsonl", tasks()).table(planned=False)
    routing = cross_fit(BestSingle(), table)
    assert routing.called.sum() == len(table)


def test_nothing_to_report_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to report on"):
        make(tmp_path, tasks(), Embeddings(HashEmbedder()))


def test_a_dead_endpoint_stops_the_run_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "sale.toml").write_text(
        '[[agents]]\nname = "a"\nendpoint = "http://127.0.0.1:9/v1"\nmodel = "m"\nprice = 1\n', encoding="utf-8"
    )
    write_tasks(tasks(number=2), tmp_path / "tasks.jsonl")
    common = ("run.jsonl", "--domain", "coding", "--tasks", "tasks.jsonl", "--config", "sale.toml")
    done = sale(tmp_path, "bench", "run", *common)
    assert done.returncode == 1
    assert "the run stopped" in done.stderr
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_extra_is_named_without_a_traceback(tmp_path: Path) -> None:
    code = "import sys; sys.modules['scipy'] = None; sys.argv = ['sale', 'bench', 'report', '.']; " + (
        "from sale.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs scipy" in done.stderr
    assert "sale[bench]" in done.stderr
    assert "Traceback" not in done.stderr


def test_cells_are_escaped_and_minus_is_a_minus() -> None:
    sheet = ReportTable(key="k", title="T", head=("a|b",), rows=(("c",),), note="n")
    assert "| a\\|b |" in sheet.markdown()
    found = Interval(value=-0.0001, low=-0.5, high=0.25, tasks=3, how="bootstrap")
    assert percent(found) == "0.0 (−50.0 to 25.0)"
    assert percent(None) == "–"


def test_a_market_is_compared_with_the_best_agent_that_costs_no_more() -> None:
    def settled(solved: int, dollars: float) -> DecisionOutcomes:
        return DecisionOutcomes(
            agents=("cheap", "dear", "dearer"),
            ids=tuple(map(str, range(20))),
            chosen=np.zeros(20, np.intp),
            success=np.array([float(number < solved) for number in range(20)]),
            dollars=np.full(20, dollars),
            extra=np.zeros(20),
            tokens=None,
        )

    singles = {"cheap": settled(4, 1.0), "dear": settled(10, 2.0), "dearer": settled(20, 5.0)}
    assert above_single(settled(16, 2.0), singles).startswith("dear: 30.0 (")
    assert above_single(settled(16, 2.0), singles).endswith(", p 0.031")
    assert above_single(settled(16, 1.5), singles).startswith("cheap: 60.0 (")
    assert above_single(settled(16, 0.5), singles) == "–"
