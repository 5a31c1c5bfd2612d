"""Which part of an answer is code, and how code continues a beginning."""

from __future__ import annotations

import ast
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.agents.code_answer import MAX_ANSWER, complete, extract_code

F0, F1 = "def f(x):\n    return 0\n", "def f(x):\n    return 1\n"


def fenced(code: str, tag: str = "python", fence: str = "```") -> str:
    return f"{fence}{tag}\n{code.rstrip()}\n{fence}\n"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(F1, F1, id="nothing but code"),
        pytest.param(fenced(F1), F1, id="fenced"),
        pytest.param(f"Sure!\n\n{fenced(F1)}\nThat is all.", F1, id="prose around"),
        pytest.param(fenced(F1, ""), F1, id="no tag"),
        pytest.param(fenced(F1, "Python3"), F1, id="another spelling"),
        pytest.param(fenced(F1, "python title='f.py'"), F1, id="attributes"),
        pytest.param(fenced(F1, fence="~~~~"), F1, id="tildes"),
        pytest.param(fenced(F1).replace("\n", "\r\n"), F1, id="line ends of Windows"),
        pytest.param(f"{fenced('ls', 'bash')}{fenced(F1)}{fenced('1', 'text')}", F1, id="other languages"),
        pytest.param(f"{fenced('f(1)', '')}{fenced(F1)}", F1, id="tagged before bare"),
        pytest.param(f"{fenced(F1)}Usage:\n{fenced('print(f(1))')}", F1, id="usage after"),
        pytest.param(f"{fenced('f(1)')}{fenced(F1)}", F1, id="usage before"),
        pytest.param(f"{fenced(F0)}Better:\n{fenced(F1)}", F1, id="the later version"),
        pytest.param(fenced("import math\n") + fenced(F1), f"import math\n\n{F1}", id="imports apart"),
        pytest.param(fenced("def g():\n    pass\n") + fenced(F1), f"def g():\n    pass\n\n{F1}", id="a helper apart"),
        pytest.param(fenced("a a\n") + fenced("b b\n"), "b b\n", id="none parses"),
        pytest.param(f"<think>\n{fenced(F0)}</think>\n{fenced(F1)}", F1, id="thoughts"),
        pytest.param(f"<THINK>\n{fenced(F0)}</THINK>\n{fenced(F1)}", F1, id="thoughts in capitals"),
        pytest.param(f"{F1}\nThis is why it (often) works.", F1, id="unfenced, prose after"),
        pytest.param(f"I think so.\n\n{F1}\n\nIt's linear.", F1, id="unfenced, prose around"),
        pytest.param(f"So:\nimport math\n\n{F1}", f"import math\n\n{F1}", id="unfenced, imports"),
        pytest.param(f"```python\n{F1}", F1, id="unfinished fence"),
        pytest.param(f"```python\n{F1}\nprint(f(1", F1, id="unfinished fence and line"),
        pytest.param(f"```python\n{F1}\ndef g(x):\n    if x:\n", F1, id="unfinished function"),
        pytest.param("1. So:\n   ```python\n   def f(x):\n       return 1\n   ```\n", F1, id="in a list"),
        pytest.param(
            fenced('def f():\n    """\n    ```\n    f()\n    ```\n    """\n'),
            'def f():\n    """\n    ```\n    f()\n    ```\n    """\n',
            id="fences in a docstring",
        ),
        pytest.param(
            'def f():\n    """\n```\nf()\n```\n    """\n',
            'def f():\n    """\n```\nf()\n```\n    """\n',
            id="the same, unfenced",
        ),
        pytest.param("    return 1\n", "    return 1\n", id="a body"),
        pytest.param("    return 1\n\nBecause 1.", "    return 1\n", id="a body and prose"),
        pytest.param("y = 1\n    return y", "    y = 1\n    return y\n", id="a body, first indentation lost"),
        pytest.param(
            "def g():\n        return 1\n    return g()",
            "    def g():\n        return 1\n    return g()\n",
            id="the same, beginning with a function",
        ),
        pytest.param("", "", id="nothing"),
        pytest.param("```python\n```", "", id="an empty block"),
        pytest.param("I cannot do that.", "I cannot do that.\n", id="a refusal"),
    ],
)
def test_extracts(answer: str, code: str) -> None:
    assert extract_code(answer) == code


@given(st.text())
def test_any_text_gives_text(answer: str) -> None:
    assert isinstance(extract_code(answer), str)


PIECES = [
    "```",
    "```python",
    "~~~",
    "\n",
    "def f():",
    "    return 1",
    "(",
    ")",
    '"""',
    "'",
    "x = 1",
    "</think>",
    " ",
    "\\",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.lists(st.sampled_from(PIECES)).map("\n".join))
def test_any_pile_of_code_and_fences_gives_text(answer: str) -> None:
    assert "\x00" not in extract_code(answer)
    complete(extract_code(answer), answer)


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=4, unique=True),
    st.sampled_from(["python", "", "py"]),
    st.text(alphabet="xyz .,!\n", max_size=20),
)
def test_what_is_fenced_and_parses_is_kept_whole(names: list[str], tag: str, prose: str) -> None:
    code = "".join(f"def {name}():\n    return {name!r}\n" for name in names)
    assert extract_code(f"{prose}\n{fenced(code, tag)}{prose}") == code


@pytest.mark.parametrize(
    "text", ["\0", "\ud800", "(" * 5000, "-" * 50_000 + "1", "a" + ".b" * 30_000, "if a:\n" * 3000]
)
def test_text_that_breaks_parsers(text: str) -> None:
    extract_code(text)
    extract_code(f"def f(): pass\n{text}")
    complete(text, "def g():\n")


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * 100_000,
        "def f(): pass\n" + "x = [\n" * 20_000,
        "def f(): pass\n" + "x = 1\n" * 15_000 + "if a:\n" * 2000 + "y y",
        "def f(): pass\n" + "x = (1\n" * 14_000,
        "```\nx = 1\n```\n" * 8000,
        "```python\n" * 10_000,
    ],
)
def test_long_answers_take_no_long_time(text: str) -> None:
    began = time.thread_time()
    assert len(extract_code(text)) <= MAX_ANSWER + 1
    assert time.thread_time() - began < 60  # of the processor's time: work that grows with the square takes hours


HEAD = 'import math\n\n\ndef helper(x):\n    return x\n\n\ndef f(x):\n    """Doubles."""\n'


def run(code: str, prelude: str) -> object:
    """What the completed program's f gives for 2."""
    module: dict[str, object] = {}
    for name, source in complete(code, prelude):
        exec(compile(source, name, "exec"), module)
    f = module["f"]
    assert callable(f)
    return f(2)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("    y = x\n    return helper(y) * math.sqrt(4)\n", id="body"),
        pytest.param("y = x\nreturn helper(y) * math.sqrt(4)\n", id="body without indentation"),
        pytest.param("y = x\n    return helper(y) * math.sqrt(4)\n", id="body, first indentation lost"),
        pytest.param("        y = x\n        return helper(y) * math.sqrt(4)\n", id="body too far in"),
        pytest.param("def f(x):\n    return helper(x) * math.sqrt(4)\n", id="whole function"),
        pytest.param("def f(x):\n    return g(x)\n\ndef g(x):\n    return x * 2\n", id="with another after it"),
        pytest.param("from __future__ import annotations\n\ndef f(x: Nobody):\n    return 2 * x\n", id="future"),
        pytest.param("    return helper(x) * 2\n\ndef g():\n    pass\n", id="body, then a function"),
    ],
)
@pytest.mark.parametrize(
    "prelude", [HEAD, HEAD.rstrip("\n"), HEAD.replace('    """Doubles."""\n', "")], ids=["full", "unended", "bare"]
)
def test_completes_a_beginning(code: str, prelude: str) -> None:
    assert run(code, prelude) == 4


def test_a_body_is_found_where_the_beginning_has_statements_already() -> None:
    assert run("return math.sqrt(x * 8)\n", 'def f(x):\n    import math\n    """Doubles."""\n') == 4


LIBRARY = "import math\n\n\nclass Node:\n    pass\n\n\ndef twice(x):\n    return x * 2\n"


@pytest.mark.parametrize("prelude", [LIBRARY, "import math\n", "x = 1\n", "class Node:\n    x = 1\n"])
def test_a_prelude_that_begins_nothing_goes_before(prelude: str) -> None:
    code = "class Solution:\n    def f(self, x):\n        return x\n\n\ndef f(x):\n    return Solution().f(x) + 2\n"
    assert complete(code, prelude) == [("prelude", prelude), ("answer", code)]
    assert run(code, prelude) == 4


@pytest.mark.parametrize("docstring", ["", '        """Doubles."""\n', "        pass\n", "        ...\n"])
@pytest.mark.parametrize(
    "code",
    [
        "        return x * 2\n",
        "return x * 2\n",
        "    return x * 2\n",
        "y = x\n        return y * 2\n",
        "class Solution:\n    def double(self, x):\n        return x * 2\n",
    ],
)
def test_completes_a_method(code: str, docstring: str) -> None:
    prelude = f"class Solution:\n    def double(self, x):\n{docstring}"
    module: dict[str, object] = {}
    for name, source in complete(code, prelude):
        exec(compile(source, name, "exec"), module)
    exec("result = Solution().double(2)", module)
    assert module["result"] == 4


def test_without_a_beginning_the_code_stands_alone() -> None:
    assert complete("x = 1\n", "") == [("answer", "x = 1\n")]


def test_code_that_fits_nowhere_is_still_a_program_that_fails() -> None:
    parts = complete("no code at all\n", HEAD)
    assert [name for name, _ in parts] == ["prelude", "answer"]
    ast.parse(parts[0][1])
    with pytest.raises(SyntaxError):
        ast.parse(parts[1][1])


def test_an_answer_that_defines_something_else_does_not_complete() -> None:
    assert run("def solution(x):\n    return 4\n", HEAD) is None
