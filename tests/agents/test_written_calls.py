"""Calls of tools that were written as text, in the forms of many models, and answers that only look like them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from sale.agents.contractor import Contractor
from sale.agents.inputs import inputs_of
from sale.agents.steps import ANSWER, BROKEN, read_step
from sale.agents.written_calls import written_calls
from sale.config import AgentSettings
from sale.models.scripted import ScriptedModel, persona
from sale.types import Execution, Price, Task, ToolInfo

CODE = "print(6*7)"
GIVEN = {"code": CODE}
CALL = json.dumps({"name": "python", "arguments": GIVEN})
FORMS = {
    "bare": CALL,
    "bare, spread": json.dumps({"name": "python", "arguments": GIVEN}, indent=2),
    "fence": f"```json\n{CALL}\n```",
    "prose and fence": f"I will compute it.\n\n```json\n{CALL}\n```\nThat will tell.",
    "prose and line": f"Let us compute it.\n{CALL}",
    "qwen, hermes": f"<tool_call>\n{CALL}\n</tool_call>",
    "not closed": f"<tool_call>\n{CALL}",
    "prose and mark": f"I will use the tool. <tool_call>{CALL}</tool_call>",
    "llama": '{"type": "function", "name": "python", "parameters": {"code": "print(6*7)"}}',
    "llama tag": f"<|python_tag|>{CALL}<|eom_id|>",
    "llama function": '<function=python>{"code": "print(6*7)"}</function>',
    "qwen coder": f"<tool_call>\n<function=python>\n<parameter=code>\n{CODE}\n</parameter>\n</function>\n</tool_call>",
    "invoke": f'<function_calls>\n<invoke name="python">\n<parameter name="code">{CODE}</parameter>\n</invoke>',
    "mistral": f"[TOOL_CALLS] [{CALL}]",
    "mistral args": '[TOOL_CALLS]python[ARGS]{"code": "print(6*7)"}',
    "deepseek": '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>python\n'
    '```json\n{"code": "print(6*7)"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "deepseek 3.1": '<｜tool▁call▁begin｜>python<｜tool▁sep｜>{"code": "print(6*7)"}<｜tool▁call▁end｜>',
    "kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.python:0<|tool_call_argument_begin|>"
    '{"code": "print(6*7)"}<|tool_call_end|>',
    "harmony": '<|channel|>commentary to=functions.python <|constrain|>json<|message|>{"code": "print(6*7)"}<|call|>',
    "react": 'Thought: compute.\nAction: python\nAction Input: {"code": "print(6*7)"}\nObservation: 42',
    "openai": json.dumps(
        {"tool_calls": [{"id": "a", "function": {"name": "python", "arguments": json.dumps(GIVEN)}}]},
    ),
    "tool and input": json.dumps({"tool": "python", "tool_input": GIVEN}),
    "thought beside": json.dumps({"thought": "compute", "action": "python", "action_input": GIVEN}),
    "list": f"[{CALL}]",
    "pythonic": '[python(code="print(6*7)")]',
    "tool_code": '```tool_code\nprint(python(code="print(6*7)"))\n```',
}  # fmt: skip


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_a_call_is_read_in_every_form(text: str) -> None:
    (call,) = written_calls(text, {"python", "search"})
    assert (call.name, call.given) == ("python", GIVEN)


@pytest.mark.parametrize(
    "text",
    [
        "42",
        "",
        "The answer is 42.",
        '{"name": "Ann", "age": 7}',
        '{"name": "Ann", "arguments": ["for", "against"]}',
        'Write it so: {"name": "python", "arguments": {"code": "1"}}, and it works.',
        "python(6*7)",
        "def python(code): ...",
        "```python\nprint(6*7)\n```",
        "Action: go home",
        '[{"name": "Ann"}, {"name": "Bob"}]',
        "{" * 500,
        "[" * 100_000,
    ],
)
def test_an_answer_is_no_call(text: str) -> None:
    assert written_calls(text, {"python", "search"}) == ()


signs = st.sampled_from([*'{}[]"<>|`:,\n ', "name", "python", "arguments", "tool_call", "Action:", "<function=", "ä"])


@given(st.lists(signs, max_size=60).map("".join))
def test_no_text_is_too_strange(text: str) -> None:
    assert isinstance(written_calls(text, {"python"}), tuple)
    assert isinstance(read_step(text, {}), tuple)


def test_a_call_of_a_tool_that_is_not_there_is_a_call() -> None:
    for text in (FORMS["qwen, hermes"], FORMS["fence"], FORMS["qwen coder"]):
        assert [call.name for call in written_calls(text, {"search"})] == ["python"]


class Python:
    """A tool that remembers what it was given."""

    info = ToolInfo(name="python", description="runs it")

    def __init__(self) -> None:
        self.given: list[str] = []

    async def run(self, code: str) -> str:
        self.given.append(code)
        return "42"


async def loop(replies: list[ModelResponse], turns: int = 4) -> tuple[Execution, Python, list[list[ModelMessage]]]:
    tool, asked = Python(), list[list[ModelMessage]]()

    class Loop(ScriptedModel):
        async def for_tools(self) -> FunctionModel:
            async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
                asked.append(messages)
                return replies[min(len(asked), len(replies)) - 1]

            return FunctionModel(respond)

    settings = AgentSettings.model_validate(
        {"name": "a", "endpoint": "http://127.0.0.1", "model": "m", "execution": "tools", "turns": turns}
    )
    agent = Contractor(
        settings, price=Price(input=1, output=1, blended=1), model=Loop(persona(plan="1.")), tools=(tool,)
    )
    return await agent.execute(Task(text="What is 6 times 7?"), None), tool, asked


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
async def test_in_the_loop_it_is_called(text: str) -> None:
    done, tool, _ = await loop([ModelResponse(parts=[TextPart(text)]), ModelResponse(parts=[TextPart("It is 42.")])])
    assert (done.answer, done.error, tool.given) == ("It is 42.", None, [CODE])


async def test_nothing_but_calls_is_no_answer() -> None:
    done, tool, _ = await loop([ModelResponse(parts=[TextPart(CALL)])], turns=3)
    assert done.answer == ""
    assert done.error is not None
    assert done.error.startswith("execution.turns")
    assert tool.given == [CODE] * 3


async def test_a_tool_that_is_not_there_is_said() -> None:
    other = '<tool_call>{"name": "fly", "arguments": {}}</tool_call>'
    done, _, asked = await loop([ModelResponse(parts=[TextPart(other)]), ModelResponse(parts=[TextPart("42")])])
    assert (done.answer, done.error) == ("42", None)
    assert "fly" in str(asked[1][-1])


def calls(*given: str, name: str = "c") -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart("python", {"code": code}, tool_call_id=name) for code in given])


async def test_calls_of_one_id_are_told_apart() -> None:
    replies = [calls("1", "2"), calls("3"), calls("4", name=""), ModelResponse(parts=[TextPart("42")])]
    done, tool, asked = await loop(replies, turns=6)
    assert (done.answer, done.error) == ("42", None)
    assert sorted(tool.given) == ["1", "2", "3", "4"]
    parts = [part for message in asked[-1] for part in message.parts]
    made = [part.tool_call_id for part in parts if isinstance(part, ToolCallPart)]
    assert len(set(made)) == 4
    assert all(made)
    assert [part.tool_call_id for part in parts if isinstance(part, ToolReturnPart)] == made


TOOLS = {"python": inputs_of(Python())}
STEP = json.dumps({"python": CODE})


@pytest.mark.parametrize(
    ("text", "step"),
    [
        (f"```json\n{STEP}\n```", ("python", CODE)),
        (f"Step 1: I compute.\n{STEP}\nThen I answer.", ("python", CODE)),
        (f"{STEP}\n{json.dumps({ANSWER: '42'})}", ("python", CODE)),
        (json.dumps({"python": GIVEN}), ("python", CODE)),
        ('```json\n{"answer": "42"}\n```', (ANSWER, "42")),
        ('The answer is: {"answer": "42"}', (ANSWER, "42")),
        ('{"answer": 42}', (ANSWER, "42")),
        ("Thought: I know.\nFinal Answer: 42", (ANSWER, "42")),
        ('{"answer": "forty-two, that is to s', (ANSWER, "forty-two, that is to s")),
        ('{"answer": "caf\\u00', (ANSWER, "caf")),
        ('{"python": "print(6', (BROKEN, '{"python": "print(6')),
        ('{"name": "answer", "arguments": {"answer": "42"}}', (ANSWER, "42")),
        ('Use {"color": "red"} in the file.', (ANSWER, 'Use {"color": "red"} in the file.')),
    ],
)
def test_a_step_is_found_in_fences_and_prose(text: str, step: tuple[str, object]) -> None:
    assert read_step(text, TOOLS) == step


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_a_call_is_a_step(text: str) -> None:
    assert read_step(text, TOOLS) == ("python", CODE)


async def test_a_step_that_was_cut_off_is_asked_for_again() -> None:
    replies = iter(['{"python": "print(6', json.dumps({ANSWER: "42"})])

    def script(prompt: object, schema: Mapping[str, object] | None) -> str:
        return next(replies)

    settings = AgentSettings.model_validate(
        {"name": "a", "endpoint": "http://127.0.0.1", "model": "m", "execution": "steps"}
    )
    tool, model = Python(), ScriptedModel(script)
    agent = Contractor(settings, price=Price(input=1, output=1, blended=1), model=model, tools=(tool,))
    done = await agent.execute(Task(text="What is 6 times 7?"), None)
    assert (done.answer, done.error, tool.given) == ("42", None, [])
    assert "no whole JSON object" in model.asked[1].user
