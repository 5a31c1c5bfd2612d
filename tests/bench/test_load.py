"""Loading a source from files: which file, which split, what is dropped, and what a mistake is told."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sale.bench.tasks.load import AGAIN, TWICE, load
from sale.errors import InputError, MissingExtraError

SIMPLE = [{"problem": f"Question {number}?", "answer": f"Answer {number}"} for number in range(4)]


def lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def mbpp(number: int) -> dict[str, Any]:
    return {"task_id": number, "prompt": f"Write f{number}.", "test_imports": [], "test_list": [f"assert f{number}()"]}


def gaia(name: str, how_long: str, **fields: str) -> dict[str, Any]:
    row = {"task_id": name, "Question": f"{name}?", "Final answer": "1", "file_name": ""}
    return {**row, "Annotator Metadata": {"How long did this take?": how_long}, **fields}


class TestFiles:
    @pytest.mark.parametrize("folder", ["", "simpleqa"])
    def test_a_directory_is_searched_at_its_top_and_in_the_sources_folder(self, tmp_path: Path, folder: str) -> None:
        home = tmp_path / folder
        home.mkdir(exist_ok=True)
        with (home / "simple_qa_test_set.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["problem", "answer"])
            writer.writeheader()
            writer.writerows([*SIMPLE, {"problem": 'With "quotes",\nand lines?', "answer": "Yes, that"}])
        loaded = load("simpleqa", path=tmp_path)
        assert [task.reference for task in loaded.tasks] == [f"Answer {n}" for n in range(4)] + ["Yes, that"]
        assert (loaded.dropped, loaded.notes) == ({}, ())

    @pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
    def test_every_format_gives_the_same_tasks(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / f"mine{kind}"
        if kind == ".jsonl":
            lines(path, SIMPLE)
        elif kind == ".json":
            path.write_text(json.dumps(SIMPLE), encoding="utf-8")
        elif kind == ".parquet":
            pq.write_table(pa.Table.from_pylist(SIMPLE), path)
        else:
            rows = [["problem", "answer"], *([row["problem"], row["answer"]] for row in SIMPLE)]
            path.write_text("\n".join(("," if kind == ".csv" else "\t").join(row) for row in rows), encoding="utf-8")
        expected = load("simpleqa", path=lines(tmp_path / "expected.jsonl", SIMPLE))
        assert load("simpleqa", path=path) == expected
        assert len(expected.tasks) == len(SIMPLE)

    def test_a_line_separator_inside_a_text_is_no_line_end(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.jsonl"
        path.write_text('{"problem": "One\u2028line?", "answer": "x"}\n', encoding="utf-8")
        assert load("simpleqa", path=path).tasks[0].prompt.startswith("One\u2028line?")

    def test_the_fullest_file_is_taken(self, tmp_path: Path) -> None:
        rows = [{"question": "Q?", "possible_answers": ["a"]}]
        lines(tmp_path / "popqa" / "popqa_merged.jsonl", rows)
        (tmp_path / "popQA.tsv").write_text('question\tobj\tpossible_answers\nAll?\tb\t["b"]\n', encoding="utf-8")
        assert [task.reference for task in load("popqa", path=tmp_path).tasks] == ["b"]

    def test_what_was_looked_for_where_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            load("humaneval", path=tmp_path)
        assert "HumanEval.jsonl" in caught.value.message
        assert "'humaneval'" in caught.value.message
        assert caught.value.where == str(tmp_path)

    def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such file or directory"):
            load("humaneval", path=tmp_path / "none")

    @pytest.mark.parametrize(
        ("name", "content", "message", "where"),
        [
            ("a.jsonl", b'{"problem": "Q?", "answer": "a"}\n\n{"problem": "R?"}\n', "'answer' is missing", ":3"),
            ("a.jsonl", b'{"problem": "Q?", "answer": "a"}\n{"problem"\n', "no JSON", ":2"),
            ("a.jsonl", b"[1]\n", "must be an object", ":1"),
            ("a.jsonl", b'{"problem": "\xff"}', "line 1 is not UTF-8", "a.jsonl"),
            ("a.json", b'{"problem": "Q?"}', "one list of rows", "a.json"),
            ("a.json", b'[{"problem": "Q?", "answer": "a"}, {"problem": 3, "answer": "a"}]', "'problem' must", "row 2"),
            ("a.csv", b"problem,answer\nQ?,a\nR?\n", "more or fewer cells", "row 2"),
            ("a.csv", b"problem,answer\nQ?,a,b\n", "more or fewer cells", "row 1"),
            ("a.csv", b"question,answer\nQ?,a\n", "'problem' is missing", "row 1"),
            ("a.parquet", b"PAR1 not at all PAR1", "cannot read", "a.parquet"),
            ("a.xlsx", b"", "'.xlsx' are not read", "a.xlsx"),
            ("a.jsonl", b"", "no rows of the split 'test'", "a.jsonl"),
        ],
    )
    def test_a_fault_in_a_file_is_named_with_its_place(
        self, tmp_path: Path, name: str, content: bytes, message: str, where: str
    ) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load("simpleqa", path=path)
        assert message in caught.value.message
        assert where in caught.value.where

    def test_parquet_without_its_reader(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.Table.from_pylist(SIMPLE), path)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(MissingExtraError, match=r"sale\[bench\]"):
            load("simpleqa", path=path)


class TestSplits:
    def test_mbpp_keeps_its_own_division(self, tmp_path: Path) -> None:
        path = tmp_path / "sanitized-mbpp.json"
        path.write_text(json.dumps([mbpp(number) for number in (2, 10, 11, 510, 511, 974)]), encoding="utf-8")
        assert [task.id for task in load("mbpp", path=tmp_path).tasks] == ["mbpp/11", "mbpp/510"]
        assert [task.id for task in load("mbpp", path=path, split="dev").tasks] == ["mbpp/511", "mbpp/974"]
        assert {task.split for task in load("mbpp", path=tmp_path, split="dev").tasks} == {"dev"}

    def test_mbpp_rows_without_a_number_are_faults_not_of_another_split(self, tmp_path: Path) -> None:
        path = tmp_path / "sanitized-mbpp.json"
        path.write_text(json.dumps([mbpp(11), {"prompt": "x"}]), encoding="utf-8")
        with pytest.raises(InputError, match="'test_list' is missing"):
            load("mbpp", path=tmp_path)

    def test_a_source_without_a_dev_split_has_none(self, tmp_path: Path) -> None:
        lines(tmp_path / "humaneval" / "HumanEval.jsonl", [])
        with pytest.raises(InputError, match="no 'dev' split"):
            load("humaneval", path=tmp_path, split="dev")
        with pytest.raises(InputError, match="no 'dev' split"):
            load("gaia", split="dev")

    def test_a_file_is_taken_for_the_split_you_say(self, tmp_path: Path) -> None:
        loaded = load("simpleqa", path=lines(tmp_path / "mine.jsonl", SIMPLE), split="dev")
        assert {task.split for task in loaded.tasks} == {"dev"}

    def test_coding_mcq_is_two_sets(self, tmp_path: Path) -> None:
        mmlu = {"question": "Q?", "choices": ["a", "b"], "answer": "A", "subject": "s"}
        rows = [
            {**mmlu, "id": "mmlu/s/test/0", "split": "test"},
            {**mmlu, "id": "mmlu/s/dev/0", "split": "dev"},
        ]
        lines(tmp_path / "mcq" / "mmlu_cs.jsonl", rows)
        script = {"id": "js/1", "question": "Q?", "code": "", "choices": ["a", "b"], "answer": "B"}
        path = lines(tmp_path / "mcq" / "javascript_questions.jsonl", [script])
        assert [task.id for task in load("coding-mcq", path=tmp_path).tasks] == ["mmlu/s/test/0", "javascript/1"]
        dev = load("coding-mcq", path=tmp_path, split="dev")
        assert [task.id for task in dev.tasks] == ["mmlu/s/dev/0"]
        assert any("javascript has no 'dev' split" in note for note in dev.notes)
        assert [task.id for task in load("javascript", path=path).tasks] == ["javascript/1"]
        with pytest.raises(InputError, match="several sets"):
            load("coding-mcq", path=path)


class TestDropping:
    def test_each_reason_is_counted(self, tmp_path: Path) -> None:
        rows = [
            gaia("a", "5 minutes"),
            gaia("b", "2 hours"),
            gaia("c", "90 minutes"),
            gaia("d", "who knows"),
            gaia("e", "1 minute", file_name="e.png"),
        ]
        lines(tmp_path / "gaia" / "2023" / "validation" / "metadata.jsonl", rows)
        loaded = load("gaia", path=tmp_path)
        assert [(task.id, task.time.bins) for task in loaded.tasks] == [("gaia/a", (3,)), ("gaia/d", (3, 4))]
        assert sorted(loaded.dropped.values()) == [1, 2]
        assert loaded.dropped["it took its annotator longer than 60 minutes"] == 2

    def test_where_nothing_is_left_the_reasons_are_the_error(self, tmp_path: Path) -> None:
        rows = [gaia(name, "5 minutes", **{"Final answer": "?"}) for name in "ab"]
        with pytest.raises(InputError, match="2 × its answer is withheld"):
            load("gaia", path=lines(tmp_path / "test.jsonl", rows))

    def test_the_other_difficulty_is_another_source(self, tmp_path: Path) -> None:
        row = {"problem_description": "p", "starter_code": "c", "prompt": "", "entry_point": "f", "test": "t"}
        rows = [
            {**row, "task_id": f"t{number}", "difficulty": difficulty}
            for number, difficulty in enumerate(("Easy", "Medium", "Hard", "Hard"))
        ]
        loaded = load("leetcode-hard", path=lines(tmp_path / "LeetCodeDataset-test.jsonl", rows))
        assert [task.id for task in loaded.tasks] == ["leetcode-hard/t2", "leetcode-hard/t3"]
        assert loaded.dropped["it belongs to leetcode-medium"] == 1
        assert sum(loaded.dropped.values()) == 2

    def test_people_of_one_name_are_one_question_with_all_their_answers(self, tmp_path: Path) -> None:
        rows = [
            {"question": "What did W do?", "possible_answers": ["actor", "player"], "gold_paragraph_titles": ["W (1)"]},
            {"question": "Else?", "possible_answers": ["x"]},
            {"question": "What did W do?", "possible_answers": ["singer", "actor"], "gold_paragraph_titles": ["W (2)"]},
        ]
        loaded = load("popqa", path=lines(tmp_path / "mine.jsonl", rows))
        first, _ = loaded.tasks
        assert (first.reference, first.aliases) == ("actor", ("player", "singer"))
        assert first.evidence == ("W (1)", "W (2)")
        assert loaded.dropped == {AGAIN: 1}

    def test_an_id_that_comes_twice_counts_once(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.json"
        path.write_text(json.dumps([mbpp(11), {**mbpp(11), "prompt": "Other."}]), encoding="utf-8")
        loaded = load("mbpp", path=path)
        assert [task.prompt.splitlines()[0] for task in loaded.tasks] == ["Write f11."]
        assert loaded.dropped == {TWICE: 1}


class TestArguments:
    def test_limit_takes_the_first_and_changes_nothing_else(self, tmp_path: Path) -> None:
        path = lines(tmp_path / "mine.jsonl", [*SIMPLE, {"problem": "", "answer": "a"}])
        whole, some = load("simpleqa", path=path), load("simpleqa", path=path, limit=2)
        assert some.tasks == whole.tasks[:2]
        assert some.dropped == whole.dropped == {"its 'problem' is empty": 1}
        assert load("simpleqa", path=path, limit=100) == whole

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_limit_below_one_is_refused(self, tmp_path: Path, limit: int) -> None:
        with pytest.raises(InputError, match="limit must be at least 1"):
            load("simpleqa", path=tmp_path, limit=limit)

    def test_an_unknown_source_is_told_the_known_ones(self) -> None:
        with pytest.raises(InputError, match="no source 'mpbb'") as caught:
            load("mpbb")
        assert "mbpp" in caught.value.hint
