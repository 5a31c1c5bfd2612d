"""The public hub: rows in its shapes, through the real `datasets`, and a hub that refuses or cannot be reached.

The sets stand in a directory, laid out as on the hub; `datasets` reads either the same way. A small server plays the
hub where what counts is its answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sale.bench.tasks.load import load
from sale.bench.tasks.loaders import sources
from sale.bench.tasks.loaders.hub import HubSet, hotpotqa_row, mmlu_row, rows
from sale.bench.tasks.loaders.sources import SOURCES, TaskSource
from sale.bench.tasks.schema import Split
from sale.errors import InputError, MissingExtraError
from tests.support.hang import HANG

# As the hub hands them out: one row of each set, with columns that are not needed.
HUB_ROWS: dict[str, dict[str, Any]] = {
    "simpleqa": {"metadata": "{'topic': 'Art'}", "problem": "Who?", "answer": "Ada"},
    "popqa": {
        "id": 4222362,
        "subj": "X",
        "obj": "politician",
        "question": "What is X's occupation?",
        "possible_answers": '["politician", "polit."]',
    },
    "hotpotqa": {
        "id": "5a8b",
        "question": "Were they?",
        "answer": "yes",
        "type": "comparison",
        "level": "hard",
        "supporting_facts": {"title": ["Alpha", "Beta"], "sent_id": [0, 2]},
        "context": {"title": ["Alpha", "Beta"], "sentences": [["One."], ["Two."]]},
    },
    "gaia": {
        "task_id": "c61d",
        "Question": "How many?",
        "Level": "1",
        "Final answer": "17",
        "file_name": "",
        "file_path": "",
        "Annotator Metadata": {"Steps": "1.", "Number of steps": "1", "How long did this take?": "5-10 minutes"},
    },
    "hle": {
        "id": "66e8",
        "question": "Which compound?",
        "image": "",
        "image_preview": {"bytes": b"no image at all", "path": "a.png"},
        "answer": "Benzene",
        "answer_type": "exactMatch",
        "category": "Chemistry",
        "canary": "c",
    },
    "mmlu": {"question": "Which?", "subject": "machine_learning", "choices": ["a", "b", "c", "d"], "answer": 2},
    "mbpp": {
        "source_file": "s.ipynb",
        "task_id": 11,
        "prompt": "Write f.",
        "code": "def f(): return 1",
        "test_imports": [],
        "test_list": ["assert f() == 1"],
    },
    "humaneval": {
        "task_id": "HumanEval/0",
        "prompt": "def f():\n    '''One.'''\n",
        "canonical_solution": "    return 1\n",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
        "entry_point": "f",
    },
    "leetcode-medium": {
        "task_id": "one",
        "question_id": 1,
        "difficulty": "Medium",
        "tags": ["Array"],
        "problem_description": "One.",
        "starter_code": "class Solution:\n    def f(self): ",
        "prompt": "import math\n",
        "completion": "",
        "entry_point": "Solution().f",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
        "input_output": [{"input": "", "output": "1"}],
    },
}


def laid_out(folder: Path, hub: HubSet, row: Mapping[str, Any], splits: Sequence[str]) -> HubSet:
    """The set as a repository in a directory: a card that names configs and splits, and their files."""
    card = ["---", "configs:"]
    for config in hub.configs:
        name = config or "default"
        card += [f"- config_name: {name}", "  data_files:"]
        (folder / name).mkdir(parents=True)
        for split in splits:
            card += [f"  - split: {split}", f"    path: {name}/{split}-*"]
            pq.write_table(pa.Table.from_pylist([row]), folder / name / f"{split}-00000-of-00001.parquet")
    if "image_preview" in row:
        # The column is declared as an image: reading it decodes it.
        features = [
            f"  - name: {column}\n    dtype: {'image' if column == 'image_preview' else 'string'}" for column in row
        ]
        card += ["dataset_info:", "- config_name: default", "  features:", *features]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]), encoding="utf-8")
    return replace(hub, repository=str(folder))


Only = Callable[[str, TaskSource, HubSet], None]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Only:
    """Let a name stand for one source whose set is on a hub of ours."""

    def instead(name: str, source: TaskSource, hub: HubSet) -> None:
        monkeypatch.setattr("sale.bench.tasks.load.SOURCES", {name: (replace(source, hub=hub),)})

    return instead


def hub_of(name: str) -> HubSet:
    hub = SOURCES[name][0].hub
    assert hub is not None
    return hub


@pytest.mark.parametrize("name", HUB_ROWS)
def test_every_set_of_the_hub_becomes_tasks(tmp_path: Path, only: Only, name: str) -> None:
    source = SOURCES[name][0]
    hub = laid_out(tmp_path / "set", hub_of(name), HUB_ROWS[name], hub_of(name).splits["test"])
    only(name, source, hub)
    (task,) = load(name).tasks
    assert task.source == name
    assert task.split == "test"
    assert task.prompt.strip()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hotpotqa", {"id": "hotpotqa/5a8b", "reference": "yes", "evidence": ["Alpha", "Beta"]}),
        ("popqa", {"reference": "politician", "aliases": ["polit."]}),
        ("mmlu", {"id": "mmlu/machine_learning/test/0", "reference": "C"}),
        ("gaia", {"reference": "17", "time": {"minutes": 7.5, "people": 1, "bins": [3]}}),
    ],
)
def test_what_the_hub_has_in_another_shape_arrives_whole(
    tmp_path: Path, only: Only, name: str, expected: dict[str, Any]
) -> None:
    only(name, SOURCES[name][0], laid_out(tmp_path / name, hub_of(name), HUB_ROWS[name], hub_of(name).splits["test"]))
    found = load(name).tasks[0].model_dump(mode="json")
    found["time"].pop("provenance")
    assert {field: found[field] for field in expected} == expected


def test_mmlu_is_read_subject_by_subject_and_split_by_split(tmp_path: Path) -> None:
    hub = laid_out(tmp_path / "set", hub_of("mmlu"), HUB_ROWS["mmlu"], ["test", "validation", "dev"])
    found = [row["id"] for _, row in rows(hub, "dev")]
    assert len(found) == 2 * len(sources.MMLU_SUBJECTS)
    assert set(found) == {"mmlu/machine_learning/dev/0", "mmlu/machine_learning/validation/0"}


def test_mmlu_has_the_ids_of_its_files_and_letters_for_numbers() -> None:
    row = mmlu_row(HUB_ROWS["mmlu"], "test", 5)
    assert (row["id"], row["answer"], row["split"]) == ("mmlu/machine_learning/test/5", "C", "test")
    with pytest.raises(InputError, match="'answer' must be an option's number, got 'C'") as caught:
        mmlu_row({**HUB_ROWS["mmlu"], "answer": "C"}, "test", 5)
    assert caught.value.where == "mmlu test row 5"
    with pytest.raises(InputError, match="'subject' is missing"):
        mmlu_row({"answer": 0}, "test", 5)


def test_hotpotqa_facts_of_another_form_are_named() -> None:
    assert hotpotqa_row(HUB_ROWS["hotpotqa"], "validation", 0)["supporting_facts"] == [["Alpha", 0], ["Beta", 2]]
    with pytest.raises(InputError, match="'supporting_facts' must be an object"):
        hotpotqa_row({**HUB_ROWS["hotpotqa"], "supporting_facts": [["Alpha", 0]]}, "validation", 0)
    with pytest.raises(InputError, match="'sent_id' is missing"):
        hotpotqa_row({**HUB_ROWS["hotpotqa"], "supporting_facts": {"title": []}}, "validation", 0)


def test_images_are_not_decoded(tmp_path: Path) -> None:
    hub = laid_out(tmp_path / "set", hub_of("hle"), HUB_ROWS["hle"], ["test"])
    ((_, row),) = rows(hub, "test")
    assert set(row) == set(hub.columns)


class TestASetThatHasChanged:
    def changed(self, tmp_path: Path, *, splits: Sequence[str] = ("test",), **fields: object) -> HubSet:
        row = {**HUB_ROWS["mbpp"], **fields}
        row = {name: value for name, value in row.items() if value is not None}
        return laid_out(tmp_path / "set", hub_of("mbpp"), row, splits)

    def test_a_missing_column_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="the column 'test_list' is missing") as caught:
            list(rows(self.changed(tmp_path, test_list=None), "test"))
        assert "(sanitized), test" in caught.value.where
        assert "source_file" in caught.value.hint

    def test_a_missing_split(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="Bad split: train"):
            list(rows(self.changed(tmp_path), "dev"))

    def test_a_missing_config(self, tmp_path: Path) -> None:
        hub = replace(self.changed(tmp_path), configs=("full",))
        with pytest.raises(InputError, match="'full' not found") as caught:
            list(rows(hub, "test"))
        assert "give the path of a local copy" in caught.value.hint

    def test_a_malformed_row_is_named(self, tmp_path: Path, only: Only) -> None:
        only("mbpp", SOURCES["mbpp"][0], self.changed(tmp_path, task_id=0.5))
        with pytest.raises(InputError, match="'task_id' must be a whole number") as caught:
            load("mbpp")
        assert "test, row 0" in caught.value.where


class TestWithoutTheHub:
    def test_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'sale\[bench\]'"):
            load("mbpp")

    def test_a_set_that_is_on_no_hub(self) -> None:
        with pytest.raises(InputError, match="javascript is not on the hub"):
            load("javascript")

    def test_loading_from_files_does_not_import_datasets(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.json"
        path.write_text(json.dumps([{"problem": "Q?", "answer": "a"}]), encoding="utf-8")
        program = (
            "import sys; from pathlib import Path; from sale.bench.tasks.load import load;"
            f"load('simpleqa', path=Path({str(path)!r})); print('datasets' in sys.modules, 'pyarrow' in sys.modules)"
        )
        assert in_python(program).strip() == "False False"

    def test_a_hub_out_of_reach(self) -> None:
        said = json.loads(in_python(ATTEMPT.format(names=["mbpp"]), HF_HUB_OFFLINE="1"))["mbpp"]
        assert said["code"] == "model_file.sources"
        assert "did not answer" in said["message"]
        assert said["where"].startswith("google-research-datasets/mbpp (sanitized), test")
        assert "path of a local copy" in said["hint"]

    def test_a_hub_that_refuses(self) -> None:
        """A gated set says where to ask; one that is gone does not."""
        refusals = {"gaia": (401, "GatedRepo"), "hle": (403, "GatedRepo"), "simpleqa": (404, "RepoNotFound")}
        with answering({hub_of(name).repository: answer for name, answer in refusals.items()}) as address:
            said = json.loads(in_python(ATTEMPT.format(names=list(refusals)), HF_ENDPOINT=address))
        assert [error["code"] for error in said.values()] == ["input"] * 3
        for name in ("gaia", "hle"):
            assert "gated" in said[name]["message"]
            assert f"https://huggingface.co/datasets/{hub_of(name).repository}" in said[name]["hint"]
            assert "HF_TOKEN" in said[name]["hint"]
        assert "doesn't exist" in said["simpleqa"]["message"]
        assert "HF_TOKEN" not in said["simpleqa"]["hint"]


def test_coding_mcq_says_that_a_part_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mmlu, javascript = SOURCES["coding-mcq"]
    hub = laid_out(tmp_path / "set", hub_of("mmlu"), HUB_ROWS["mmlu"], ["test"])
    monkeypatch.setattr("sale.bench.tasks.load.SOURCES", {"coding-mcq": (replace(mmlu, hub=hub), javascript)})
    loaded = load("coding-mcq")
    assert {task.source for task in loaded.tasks} == {"mmlu"}
    assert loaded.notes == ("javascript is not on the hub: give the path of a copy",)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_can_be_tested_on(name: str) -> None:
    for source in SOURCES[name]:
        assert source.files["test"]
        if source.hub is not None:
            assert set(source.hub.splits) >= {cast("Split", "test")}
            assert set(source.hub.splits) == set(source.files)


ATTEMPT = """
import json
from sale.bench.tasks.load import load
from sale.errors import SaleError
said = {{}}
for name in {names!r}:
    try:
        load(name)
    except SaleError as error:
        said[name] = dict(code=error.code, message=error.message, where=error.where, hint=error.hint)
print(json.dumps(said))
"""


def in_python(program: str, **environment: str) -> str:
    """What a program prints in an interpreter of its own: the hub's address is read once, on import."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def answering(answers: Mapping[str, tuple[int, str]]) -> Generator[str]:
    """A hub that answers whatever is asked of a repository with one status and one error code; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = [answer for repository, answer in answers.items() if repository in self.path]
            status, code = found[0] if found else (404, "EntryNotFound")
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
