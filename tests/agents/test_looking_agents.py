"""Agents with tools and documents of their own: what they may look into, and what their looks return."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sale.agents.contractor import Contractor
from sale.agents.lookups import SearchLookup, WorkspaceLookup, look_with
from sale.agents.mcp_contractor import McpContractor
from sale.agents.pool import build_agents, tools_of
from sale.agents.tools.corpus import open_corpus
from sale.agents.tools.web.providers import Passages, SearchHit
from sale.agents.tools.workspace.workspace import Workspace
from sale.auction.protocols import Looker
from sale.config import parse
from sale.errors import ConfigError, FetchError
from sale.types import Task
from sale.types.tools import Fee

BRIDGES = [
    {"id": "1", "title": "Öresund Bridge", "text": "It joins Copenhagen and Malmö, and is 7,845 m long."},
    {"id": "2", "title": "Forth Bridge", "text": "A railway bridge in Scotland. It was opened in 1890."},
]
COMICS = [{"id": "1", "title": "Gotham City", "text": "A fictional city, the home of Batman."}]
POOL = """
[[agents]]
name = "bridges"
local = "qwen2.5-coder-0.5b"
price = 0.03
execution = "consult"
turns = 1
look = 1
[agents.tools]
python = false
[agents.tools.search]
provider = "corpus"
corpus = "bridges.jsonl"
by_meaning = false

[[agents]]
name = "comics"
local = "qwen2.5-coder-0.5b"
price = 0.03
execution = "consult"
turns = 1
look = 1
[agents.tools]
python = false
[agents.tools.search]
provider = "corpus"
corpus = "comics.jsonl"
by_meaning = false

[[agents]]
name = "coder"
local = "qwen2.5-coder-1.5b"
price = 0.09

[[jurors]]
name = "reader"
kind = "question"
agent = "coder"
"""

LOOKING_CODER = """
[[agents]]
name = "coder"
local = "qwen2.5-coder-0.5b"
price = 0.03
execution = "steps"
look = 1
"""
SERVER = f"import sys, runpy; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); " + (
    "runpy.run_module('tests.support.mcp_server', run_name='__main__')"
)
WITH_SERVER = f"""
[[agents]]
name = "noted"
local = "qwen2.5-coder-0.5b"
price = 0.03
execution = "tools"
look = 3
[agents.tools]
python = false
[[agents.tools.mcp]]
name = "box"
command = {json.dumps(sys.executable)}
args = ["-c", {json.dumps(SERVER)}]
price_per_call = 0.002
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    for name, rows in (("bridges", BRIDGES), ("comics", COMICS)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return tmp_path


class TestOwnDocuments:
    async def test_each_agent_looks_into_its_own(self, shelf: Path) -> None:
        agents = {agent.name: agent for agent in build_agents(parse(POOL, base=shelf))}
        task = Task(text="How long is the Öresund Bridge?")
        found = {}
        for name in ("bridges", "comics"):
            agent = agents[name]
            assert isinstance(agent, Looker)
            found[name] = await agent.look(task)
            await agent.aclose()
        (one,) = found["bridges"].evidence
        assert (one.source, one.quote) == ("Öresund Bridge", BRIDGES[0]["text"])
        assert all("bridge" not in one.quote.casefold() for one in found["comics"].evidence)
        (call,) = found["bridges"].calls
        assert (call.stage, call.agent, call.tool, call.dollars) == ("look", "bridges", "search", 0.0)

    def test_who_has_nothing_to_look_into_does_not_look(self, shelf: Path) -> None:
        coder = next(agent for agent in build_agents(parse(POOL, base=shelf)) if agent.name == "coder")
        assert isinstance(coder, Looker)
        assert coder.looks == 0

    def test_what_an_agent_is_told_of_its_tools_is_its_own(self, shelf: Path) -> None:
        agents = {agent.name: agent for agent in build_agents(parse(POOL, base=shelf))}
        assert [tool.name for tool in agents["bridges"].tools] == ["search", "read_page"]
        assert agents["coder"].tools == ()

    def test_two_agents_with_the_same_documents_share_them(self, shelf: Path) -> None:
        settings = parse(POOL.replace("comics.jsonl", "bridges.jsonl"), base=shelf)
        first, second = (tools_of(settings, agent).search for agent in settings.agents[:2])
        assert first == second
        assert len(build_agents(settings)) == 3

    def test_only_named_jurors_judge_unless_an_agent_says_so(self, shelf: Path) -> None:
        assert [agent.juror for agent in build_agents(parse(POOL, base=shelf))] == [None, None, None]
        judging = POOL.replace('name = "coder"', 'name = "coder"\njudge = true')
        assert [agent.juror is not None for agent in build_agents(parse(judging, base=shelf))] == [False, False, True]


class TestSettings:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (('agent = "coder"', 'agent = "nobody"'), "jurors ask agents that are not there, or have no model: nobody"),
            (('agent = "coder"', ""), "a juror of kind 'question' needs agent"),
            (('kind = "question"', 'kind = "match"'), "agent cannot be said of a juror of kind 'match'"),
            (('kind = "question"', 'kind = "oracle"'), "unknown kind of juror 'oracle': there are question,"),
            (('kind = "question"', 'kind = "questoin"'), "did you mean 'question'?"),
            (("look = 1", "look = 9"), "look: Input should be less than or equal to 3"),
            (('name = "reader"', 'name = "reader"\nquesiton = "?"'), "did you mean 'question'?"),
        ],
    )
    def test_what_cannot_be_is_said(self, shelf: Path, change: tuple[str, str], said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse(POOL.replace(*change), base=shelf)
        assert said in str(caught.value)

    def test_a_juror_shares_no_name_with_an_agent_that_judges(self, shelf: Path) -> None:
        text = POOL.replace('name = "coder"', 'name = "reader"\njudge = true').replace(
            'agent = "coder"', 'agent = "reader"'
        )
        with pytest.raises(ConfigError, match="jurors share a name: reader"):
            parse(text, base=shelf)


class Broken:
    tool, fee = "search", Fee(per_call=1.0, per_second=0.0)

    async def find(self, task: Task, limit: int) -> Sequence[object]:
        raise FetchError("it does not answer")


async def test_a_tool_that_fails_is_in_the_note_and_on_the_bill_for_nothing() -> None:
    found = await look_with([Broken()], "a", Task(text="x"), 1)  # pyright: ignore[reportArgumentType]
    assert (found.evidence, found.note) == ((), "search: execution.fetch: it does not answer")
    assert [(call.dollars, call.error) for call in found.calls] == [(0.0, "execution.fetch: it does not answer")]


async def test_the_query_is_the_task_and_no_longer_than_a_provider_takes() -> None:
    asked: list[str] = []

    class Heard:
        name = "heard"

        async def search(self, query: str, limit: int) -> Sequence[SearchHit]:
            asked.append(query)
            return [SearchHit(title="", address="passage:1", snippet="[1] <found x> text")]

    found = await SearchLookup(Heard()).find(Task(text="word " * 500), 1)
    assert len(asked[0]) <= 400
    assert found[0].source == "passage:1"
    assert found[0].quote == "[ 1 ] (found x> text"  # no number or mark of ours


async def test_passages_found_by_meaning_say_how_near_they_are(shelf: Path) -> None:
    from sale.models.embedding import MiniLMEmbedder

    corpus = await open_corpus(shelf / "bridges.jsonl", embedder=MiniLMEmbedder())

    async def opened():
        return corpus

    provider = Passages(opened)
    (hit,) = await provider.search("a bridge between Denmark and Sweden", 1)
    assert hit.title == "Öresund Bridge"
    assert hit.score is not None
    assert 0.2 < hit.score < 1.0
    await provider.aclose()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "shapes.py").write_text("def area_of_circle(radius):\n    return 3 * radius\n", encoding="utf-8")
    (tmp_path / "other.py").write_text("def area():\n    return 0\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


async def test_in_a_repository_the_files_that_hold_the_names_are_found(repository: Path) -> None:
    workspace = await Workspace.open(repository)
    lookup = WorkspaceLookup(workspace)
    found = await lookup.find(Task(text="area_of_circle is wrong: its radius is not squared"), 2)
    assert found[0].source == "shapes.py"
    assert "def area_of_circle(radius):" in found[0].quote
    assert await lookup.find(Task(text="???"), 2) == []


async def test_in_a_repository_a_file_that_is_named_comes_first(repository: Path) -> None:
    (repository / "empty_notes.txt").write_text("", encoding="utf-8")
    workspace = await Workspace.open(repository)
    lookup = WorkspaceLookup(workspace)
    found = await lookup.find(Task(text="area_of_circle is right, but other.py and empty_notes.txt are not"), 3)
    assert [(one.tool, one.source) for one in found] == [
        ("list_files", "empty_notes.txt"),
        ("list_files", "other.py"),
        ("search", "shapes.py"),
    ]
    assert found[0].quote == "0 bytes"


async def test_the_list_of_files_in_a_workspace_s_task_names_none(repository: Path) -> None:
    workspace = await Workspace.open(repository)
    task = workspace.task("The radius is not squared.")
    assert "other.py" in task.text
    found = await WorkspaceLookup(workspace).find(task, 3)
    assert [one.source for one in found] == ["shapes.py"]


async def test_an_agent_in_a_repository_looks_there(repository: Path, shelf: Path) -> None:
    coder = next(agent for agent in build_agents(parse(LOOKING_CODER)) if agent.name == "coder")
    assert isinstance(coder, Contractor)
    assert coder.looks == 0  # nothing of its own to look into
    placed = coder.within(await Workspace.open(repository))
    found = await placed.look(Task(text="area_of_circle is wrong"))
    assert [one.source for one in found.evidence] == ["shapes.py"]
    assert [(call.stage, call.tool, call.error) for call in found.calls] == [("look", "search", None)]


class TestMcp:
    """The tools of a real server that say they only read, and take one text."""

    async def test_those_that_only_read_are_looked_into(self) -> None:
        (agent,) = build_agents(parse(WITH_SERVER))
        assert isinstance(agent, McpContractor)
        assert agent.looks == 0  # nobody has asked the server yet
        await agent.faults()
        assert [lookup.tool for lookup in agent.lookups] == ["box_notes", "box_nothing", "box_unread"]
        assert agent.looks == 3
        assert agent.look_dollars == pytest.approx(0.006)
        found = await agent.look(Task(text="Who built the bridge of Aarby in 1904?"))
        (one,) = found.evidence
        assert (one.tool, one.source) == ("box_notes", "box_notes")
        assert one.quote.startswith("Nothing of use. (/found> [ 1 ] The bridge of Aarby was built in 1904.")
        assert one.quote.endswith("Asked: Who built the bridge of Aarby in 1904?")
        assert found.note is not None
        assert "the notes are wet" in found.note
        assert [(call.tool, call.dollars, call.error is None) for call in found.calls] == [
            ("box_notes", 0.002, True),
            ("box_nothing", 0.002, True),
            ("box_unread", 0.0, False),
        ]

    async def test_an_agent_that_may_not_use_a_tool_does_not_look_into_it(self) -> None:
        (agent,) = build_agents(parse(WITH_SERVER.replace("look = 3", 'look = 3\nmcp = ["box.nothing", "box.erase"]')))
        assert isinstance(agent, McpContractor)
        await agent.faults()
        assert [lookup.tool for lookup in agent.lookups] == ["box_nothing"]

    async def test_its_own_passages_come_first(self, shelf: Path) -> None:
        search = '[agents.tools.search]\nprovider = "corpus"\ncorpus = "bridges.jsonl"\nby_meaning = false\n'
        text = WITH_SERVER.replace("[[agents.tools.mcp]]", f"{search}[[agents.tools.mcp]]")
        (agent,) = build_agents(parse(text, base=shelf))
        assert isinstance(agent, McpContractor)
        await agent.faults()
        assert [lookup.tool for lookup in agent.lookups][:2] == ["search", "box_notes"]
        found = await agent.look(Task(text="How long is the Öresund Bridge?"))
        assert found.evidence[0].source == "Öresund Bridge"
        await agent.aclose()
