"""The layout of a task for a person: prose, code, and options apart. Pure functions of its text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sale.bench.tasks.schema import BenchTask

_FENCE = re.compile(r"^```[^\n`]*\n(?P<code>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_OPTION = re.compile(r"^(?P<letter>[A-Z])\. (?P<text>[^\n]*(?:\n {3}[^\n]*)*)", re.MULTILINE)
_NO_HELP = "No language model, and no other person."


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPart:
    """A stretch of a task's text."""

    text: str
    code: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskLayout:
    """A task as the page shows it."""

    parts: tuple[TextPart, ...]
    options: tuple[tuple[str, str], ...]
    """Letter and text; none where the answer is to be written."""


def lay_out(task: BenchTask) -> TaskLayout:
    """Lay out a task. Options become a list of their own only if they are lettered A, B, C, … without a gap."""
    text, options = task.prompt, ()
    if task.kind == "choice":
        prose = _FENCE.sub(lambda found: " " * len(found.group()), text)  # a line of code is no option
        found = list(_OPTION.finditer(prose))
        letters = "".join(match["letter"] for match in found)
        if len(found) > 1 and letters == "".join(chr(ord("A") + place) for place in range(len(found))):
            options = tuple((match["letter"], text[match.start("text") : match.end("text")]) for match in found)
            for match in reversed(found):
                text = text[: match.start()] + text[match.end() :].removeprefix("\n")
    return TaskLayout(parts=_parts(text), options=options)


def _parts(text: str) -> tuple[TextPart, ...]:
    parts: list[TextPart] = []
    at = 0
    for fence in _FENCE.finditer(text):
        parts += [
            TextPart(text=text[at : fence.start()].strip(), code=False),
            TextPart(text=fence["code"].strip("\n"), code=True),
        ]
        at = fence.end()
    parts.append(TextPart(text=text[at:].strip(), code=False))
    return tuple(part for part in parts if part.text)


def usual_tools(task: BenchTask) -> str:
    """Return the tools a person may use, unless the settings of the timing say otherwise."""
    match task.kind:
        case "tests":
            return f"An editor, a Python interpreter and Python's own documentation. {_NO_HELP}"
        case "choice":
            return f"Pen and paper: no running of code, no search. {_NO_HELP}"
        case "short" | "judged":
            return f"A web browser with any search engine. {_NO_HELP}"
