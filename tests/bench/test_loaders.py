"""Rows as sources publish them, to tasks: hand-written rows, good and bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sale.agents.tools.bubblewrap import find_bwrap
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.judging import options_of, verifier_of
from sale.bench.tasks.loaders import choice, code, gated, search
from sale.bench.tasks.loaders.rows import UnusableRowError
from sale.bench.tasks.loaders.times import MAPPING, PUBLISHED
from sale.bench.tasks.schema import BenchTask
from sale.errors import InputError

Row = Mapping[str, Any]
MMLU = {
    "id": "mmlu/machine_learning/test/7",
    "subject": "machine_learning",
    "split": "test",
    "question": "Which hold?\nI. The first does.\nII. The second does.",
    "choices": ["I only", "II only", "line one\n  line two", "None"],
    "answer": "B",
}
JAVASCRIPT = {
    "id": "js/3",
    "question": "What's the output?",
    "code": "```javascript\nconsole.log(1);\n```",
    "choices": ["`1`", "`2`"],
    "answer": "A",
    "explanation": "It prints one.",
}
MBPP = {
    "task_id": 17,
    "prompt": "Write a function that gives the square root.",
    "code": "import math\ndef root(x):\n  return math.sqrt(x)",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(root(4), 2)", "assert root(9) == 3"],
}
HUMANEVAL = {
    "task_id": "HumanEval/32",
    "prompt": "\nimport math\n\n\ndef half(x):\n    return x / 2\n\n\ndef quarter(x):\n    '''By `half`.'''\n",
    "canonical_solution": "    return half(half(x))\n",
    "entry_point": "quarter",
    "test": "\n\ndef check(candidate):\n    assert candidate(8) == 2\n",
}
LEETCODE = {
    "task_id": "two-sum",
    "difficulty": "Medium",
    "problem_description": "Add the two.\n",
    "starter_code": "class Solution:\n    def add(self, a: List[int]) -> int:\n        ",
    "prompt": "from typing import *\n\n",
    "entry_point": "Solution().add",
    "test": "def check(candidate):\n    assert candidate(a = [1, 2]) == 3\n",
}
SIMPLEQA = {"metadata": "{}", "problem": " Who was it? ", "answer": "Ada"}
POPQA = {
    "id": 0,
    "obj": "politician",
    "question": "What is X's occupation?",
    "possible_answers": '["politician", "polit.", "pol"]',
    "paragraphs": [
        {"title": "X", "text": "X was.", "is_supporting": True},
        {"title": "Y", "text": "Y was.", "is_supporting": False},
    ],
}
HOTPOTQA = {
    "_id": "5a77",
    "question": "Were they?",
    "answer": "yes",
    "supporting_facts": [["Alpha", 3], ["Beta", 0], ["Alpha", 1]],
    "context": [["Alpha", ["One."]]],
}
GAIA = {
    "task_id": "c61d",
    "Question": "How many?",
    "Level": "1",
    "Final answer": "17",
    "file_name": "",
    "Annotator Metadata": {"Steps": "1. Look.", "How long did this take?": "8 minutes"},
}
HLE = {
    "id": "66e8",
    "question": "Which compound is it?",
    "image": "",
    "answer": "Benzene",
    "answer_type": "exactMatch",
    "category": "Chemistry",
}
MAY_LACK = {
    *("subject", "split", "explanation", "canonical_solution", "metadata", "obj", "_id", "paragraphs"),
    *("supporting_facts", "context", "Level", "file_name", "Annotator Metadata", "image"),
}
"""Fields that no task needs."""
MAKERS: list[tuple[Callable[..., BenchTask], Row]] = [
    (choice.mmlu, MMLU),
    (choice.javascript, JAVASCRIPT),
    (code.mbpp, MBPP),
    (code.humaneval, HUMANEVAL),
    (code.leetcode, LEETCODE),
    (search.simpleqa, SIMPLEQA),
    (search.popqa, POPQA),
    (search.hotpotqa, HOTPOTQA),
    (gated.gaia, GAIA),
    (gated.hle, HLE),
]


def changed(row: Row, **fields: object) -> dict[str, Any]:
    return {**row, **fields}


def without(row: Row, field: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != field}


class TestEverySource:
    @pytest.mark.parametrize(("make", "row"), MAKERS)
    def test_the_split_is_the_one_asked_for_and_the_id_begins_with_the_source(
        self, make: Callable[..., BenchTask], row: Row
    ) -> None:
        task = make(row, split="dev")
        assert task.split == "dev"
        assert task.id.startswith(f"{task.source}/")
        assert make(row, split="dev") == task

    @pytest.mark.parametrize(("make", "row"), MAKERS)
    def test_bins_come_from_the_published_table_or_there_are_none(
        self, make: Callable[..., BenchTask], row: Row
    ) -> None:
        task = make(row, split="test")
        stands_for = "coding-mcq" if task.source in {"mmlu", "javascript"} else task.source
        if task.source == "humaneval":
            assert task.time.bins == ()
            assert task.time.label == "not binned"
        elif not task.time.measured:
            assert task.time.bins == PUBLISHED[stands_for]
            assert task.time.provenance.endswith(MAPPING)

    @pytest.mark.parametrize(
        ("make", "row", "field"),
        [
            (make, row, field)
            for make, row in MAKERS
            for field in row
            if field not in MAY_LACK and (make, field) not in {(code.mbpp, "code"), (search.popqa, "id")}
        ],
    )
    def test_a_needed_field_that_is_missing_or_a_number_is_named(
        self, make: Callable[..., BenchTask], row: Row, field: str
    ) -> None:
        with pytest.raises(InputError, match=f"'{field}' is missing"):
            make(without(row, field), split="test")
        with pytest.raises(InputError, match=f"'{field}' must be") as caught:
            make(changed(row, **{field: 1.5}), split="test")
        assert not isinstance(caught.value, UnusableRowError)

    def test_an_error_names_the_row(self) -> None:
        with pytest.raises(InputError) as caught:
            code.mbpp(changed(MBPP, prompt=None), split="test")
        assert caught.value.where == "mbpp row 17"


class TestChoice:
    def test_shows_question_options_and_what_to_answer(self) -> None:
        task = choice.mmlu(MMLU, split="test")
        assert task.id == "mmlu/machine_learning/test/7"
        assert task.kind == "choice"
        assert task.reference == "B"
        assert task.prompt.endswith("\n\nAnswer with the letter of the right option only.")
        assert "stands in for HST-Bench's Coding-MCQ" in task.time.provenance

    def test_only_options_read_as_options(self) -> None:
        """Neither a statement numbered `I.` nor the second line of an option is one."""
        assert options_of(choice.mmlu(MMLU, split="test")) == {
            "A": "I only",
            "B": "II only",
            "C": "line one",
            "D": "None",
        }

    def test_code_stands_between_question_and_options_in_its_fence(self) -> None:
        task = choice.javascript(JAVASCRIPT, split="test")
        assert task.id == "javascript/3"
        assert task.prompt.startswith("What's the output?\n\n```javascript\nconsole.log(1);\n```\n\nA. `1`\nB. `2`\n\n")
        assert "It prints one" not in task.prompt
        bare = choice.javascript(changed(JAVASCRIPT, code=""), split="test")
        assert bare.prompt.startswith("What's the output?\n\nA. `1`")

    @pytest.mark.parametrize("letter", ["C", "a", "", "AB", "1"])
    def test_an_answer_that_is_no_option_is_malformed(self, letter: str) -> None:
        with pytest.raises(InputError, match="'answer' must be one of A, B"):
            choice.javascript(changed(JAVASCRIPT, answer=letter), split="test")

    @pytest.mark.parametrize("options", [[], ["only one"], ["one", " "]])
    def test_too_few_options_make_no_task(self, options: list[str]) -> None:
        with pytest.raises(UnusableRowError, match="options"):
            choice.mmlu(changed(MMLU, choices=options, answer="A"), split="test")


class TestCode:
    def test_mbpp_shows_the_first_test_alone_and_is_judged_by_all(self) -> None:
        task = code.mbpp(MBPP, split="test")
        assert task.id == "mbpp/17"
        assert "root(4)" in task.prompt
        assert "root(9)" not in task.prompt
        assert task.tests == "import math\nassert math.isclose(root(4), 2)\nassert root(9) == 3\n"
        assert task.task.domain == "coding"

    def test_humaneval_has_its_beginning_as_prompt_and_prelude(self) -> None:
        task = code.humaneval(HUMANEVAL, split="test")
        assert task.id == "humaneval/32"
        assert task.prompt.startswith("Complete this Python function. Hand in the whole function:\n\n```python\nimport")
        assert task.prelude.strip() == HUMANEVAL["prompt"].strip()
        assert (task.tests or "").endswith("\n\ncheck(quarter)\n")

    def test_leetcode_takes_its_source_from_the_difficulty(self) -> None:
        task = code.leetcode(LEETCODE, split="test")
        assert (task.id, task.source) == ("leetcode-medium/two-sum", "leetcode-medium")
        assert task.prelude == "from typing import *\n\n"
        assert "def add(self, a: List[int]) -> int:\n```" in task.prompt
        hard = code.leetcode(changed(LEETCODE, difficulty="Hard"), split="test")
        assert (hard.source, hard.time.bins) == ("leetcode-hard", (4,))

    def test_easy_problems_are_no_tasks_and_unknown_difficulties_are_malformed(self) -> None:
        with pytest.raises(UnusableRowError, match="easy"):
            code.leetcode(changed(LEETCODE, difficulty="Easy"), split="test")
        with pytest.raises(InputError, match="'Meidum'") as caught:
            code.leetcode(changed(LEETCODE, difficulty="Meidum"), split="test")
        assert not isinstance(caught.value, UnusableRowError)

    @pytest.mark.parametrize(
        ("make", "row", "field", "value"),
        [
            (code.mbpp, MBPP, "test_list", []),
            (code.mbpp, MBPP, "prompt", " "),
            (code.humaneval, HUMANEVAL, "test", "\n"),
            (code.leetcode, LEETCODE, "test", ""),
        ],
    )
    def test_without_prompt_or_tests_there_is_no_task(
        self, make: Callable[..., BenchTask], row: Row, field: str, value: object
    ) -> None:
        with pytest.raises(UnusableRowError):
            make(changed(row, **{field: value}), split="test")

    @pytest.mark.skipif(find_bwrap() is None, reason="bubblewrap is not installed")
    @pytest.mark.parametrize(
        ("task", "answer", "right"),
        [
            (code.mbpp(MBPP, split="test"), MBPP["code"], True),
            (code.mbpp(MBPP, split="test"), "def root(x):\n    return 2", False),
            (code.humaneval(HUMANEVAL, split="test"), "def quarter(x):\n    return half(x) / 2", True),
            (code.humaneval(HUMANEVAL, split="test"), HUMANEVAL["canonical_solution"], True),
            (code.humaneval(HUMANEVAL, split="test"), "def quarter(x):\n    return half(x)", False),
            (
                code.leetcode(LEETCODE, split="test"),
                "class Solution:\n    def add(self, a: List[int]) -> int:\n        return sum(a)",
                True,
            ),
            (code.leetcode(LEETCODE, split="test"), "class Solution:\n    def add(self, a): return 0", False),
        ],
    )
    async def test_tests_tell_right_from_wrong(self, task: BenchTask, answer: str, right: bool) -> None:
        outcome = await verifier_of(task, sandbox=find_sandbox()).verify(task.task, answer)
        assert outcome.verdict == ("success" if right else "failure"), outcome.detail


class TestSearch:
    def test_the_question_and_how_to_answer(self) -> None:
        task = search.simpleqa(SIMPLEQA, split="test")
        assert task.prompt == "Who was it?\nAnswer with the shortest possible phrase."
        assert (task.reference, task.aliases, task.evidence) == ("Ada", (), ())

    def test_popqa_reads_answers_as_json_text_and_as_a_list(self) -> None:
        task = search.popqa(POPQA, split="test")
        assert (task.reference, task.aliases) == ("politician", ("polit.", "pol"))
        assert task.evidence == ("X",)
        listed = {"question": POPQA["question"], "possible_answers": ["politician", "polit.", "pol"]}
        same = search.popqa(listed, split="test")
        assert (same.id, same.reference, same.aliases) == (task.id, task.reference, task.aliases)
        assert same.evidence == ()

    def test_popqa_prefers_its_object_and_the_titles_it_names(self) -> None:
        row = changed(without(POPQA, "paragraphs"), obj="pol", gold_paragraph_titles=["X", "Politician"])
        task = search.popqa(row, split="test")
        assert (task.reference, task.aliases) == ("pol", ("politician", "polit."))
        assert task.evidence == ("X", "Politician")

    def test_columns_of_a_table_may_be_empty(self) -> None:
        task = search.popqa(changed(POPQA, obj=None, paragraphs=None, gold_paragraph_titles=None), split="test")
        assert (task.reference, task.evidence) == ("politician", ())
        assert search.hotpotqa(changed(HOTPOTQA, supporting_facts=None), split="test").evidence == ()

    def test_popqa_answers_that_are_no_json_are_malformed_and_no_answers_no_task(self) -> None:
        with pytest.raises(InputError, match="'possible_answers' is no JSON"):
            search.popqa(changed(POPQA, possible_answers="politician"), split="test")
        with pytest.raises(UnusableRowError, match="no answer"):
            search.popqa(changed(without(POPQA, "obj"), possible_answers="[]"), split="test")

    def test_hotpotqa_names_its_evidence_once_and_leaves_the_context_out(self) -> None:
        task = search.hotpotqa(HOTPOTQA, split="test")
        assert (task.id, task.reference) == ("hotpotqa/5a77", "yes")
        assert task.evidence == ("Alpha", "Beta")
        assert "One." not in task.prompt
        bare = {"question": "Were they?", "answer": "yes", "context": [{"title": "Alpha", "text": "One."}]}
        assert search.hotpotqa(bare, split="test").evidence == ()

    @pytest.mark.parametrize("facts", ["Alpha", ["Alpha"], [[3, "Alpha"]], [[]], 7])
    def test_hotpotqa_facts_of_another_form_are_malformed(self, facts: object) -> None:
        with pytest.raises(InputError, match="'supporting_facts' must"):
            search.hotpotqa(changed(HOTPOTQA, supporting_facts=facts), split="test")

    def test_a_question_without_an_id_keeps_its_id_whatever_its_white_space(self) -> None:
        again = search.simpleqa(changed(SIMPLEQA, problem="Who  was it?"), split="test")
        assert again.id == search.simpleqa(SIMPLEQA, split="test").id
        assert again.id != search.simpleqa(changed(SIMPLEQA, problem="Who was she?"), split="test").id


class TestGaia:
    def timed(self, written: object) -> BenchTask:
        return gated.gaia(changed(GAIA, **{gated.METADATA: {gated.HOW_LONG: written}}), split="test")

    def test_the_annotators_time_is_measured(self) -> None:
        time = gated.gaia(GAIA, split="test").time
        assert (time.minutes, time.people, time.bins) == (8.0, 1, (3,))
        assert "'8 minutes'" in time.provenance

    @pytest.mark.parametrize("written", ["", "a while", "5", None])
    def test_a_time_that_cannot_be_read_is_not_invented(self, written: object) -> None:
        time = self.timed(written).time
        assert time.minutes is None
        assert time.bins == PUBLISHED["gaia"]

    def test_without_metadata_the_source_says(self) -> None:
        assert not gated.gaia(without(GAIA, gated.METADATA), split="test").time.measured

    def test_the_last_bin_ends_at_an_hour(self) -> None:
        assert self.timed("1 hour").time.bins == (4,)
        with pytest.raises(UnusableRowError, match="longer than 60 minutes"):
            self.timed("61 minutes")

    @pytest.mark.parametrize(
        ("field", "value", "why"),
        [("Final answer", "?", "withheld"), ("file_name", "a.xlsx", "file"), ("Question", "", "empty")],
    )
    def test_what_cannot_be_answered_is_no_task(self, field: str, value: str, why: str) -> None:
        with pytest.raises(UnusableRowError, match=why):
            gated.gaia(changed(GAIA, **{field: value}), split="test")

    def test_metadata_of_another_form_is_malformed(self) -> None:
        with pytest.raises(InputError, match="'How long did this take\\?' must be text, got 5"):
            self.timed(5)
        with pytest.raises(InputError, match="'Annotator Metadata' must be an object"):
            gated.gaia(changed(GAIA, **{gated.METADATA: "8 minutes"}), split="test")


class TestHle:
    @pytest.mark.parametrize("category", ["Chemistry", "Biology/Medicine"])
    def test_chemistry_and_biology_are_kept(self, category: str) -> None:
        task = gated.hle(changed(HLE, category=category), split="test")
        assert (task.id, task.kind, task.reference) == ("hle/66e8", "short", "Benzene")

    @pytest.mark.parametrize(
        ("field", "value", "why"),
        [
            ("category", "Math", "another subject"),
            ("category", "biology/medicine", "another subject"),
            ("image", "data:image/png;base64,AAAA", "image"),
            ("answer", "", "empty"),
        ],
    )
    def test_the_rest_is_not(self, field: str, value: str, why: str) -> None:
        with pytest.raises(UnusableRowError, match=why):
            gated.hle(changed(HLE, **{field: value}), split="test")

    def test_an_image_may_be_none(self) -> None:
        assert gated.hle(changed(HLE, image=None), split="test").kind == "short"

    def test_options_shown_by_line_are_judged_by_option(self) -> None:
        asked = "Which?\n\nAnswer Choices:\nA. Benzene\nB. Water"
        task = gated.hle(changed(HLE, question=asked, answer_type="multipleChoice", answer="B"), split="test")
        assert task.kind == "choice"
        assert options_of(task) == {"A": "Benzene", "B": "Water"}
        assert task.prompt.endswith(choice.ASK)

    @pytest.mark.parametrize(("question", "answer"), [("Which of A) this, B) that?", "B"), ("A. One\nB. Two", "C")])
    def test_options_of_another_form_are_judged_as_text(self, question: str, answer: str) -> None:
        task = gated.hle(changed(HLE, question=question, answer_type="multipleChoice", answer=answer), split="test")
        assert task.kind == "short"
