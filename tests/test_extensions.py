"""How extensions are found, made and refused: by name, by dotted path, from packages that are broken or clash."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from sale import Market, config, extensions
from sale.agents.protocol import Verifier
from sale.auction.protocols import Respondent
from sale.errors import ConfigError

MODULE = """
from __future__ import annotations
from typing import TYPE_CHECKING
from pydantic import BaseModel, ConfigDict
from sale import Answer, FunctionAgent, Outcome, Price, Task, ToolInfo

class Own(BaseModel):
    model_config = ConfigDict(extra="forbid")
    words: int = 1
    loud: bool = False

class Shaped:
    price = Price(input=0.0, output=0.0, blended=0.0)
    def __init__(self, name: str, settings: Own) -> None:
        self.name, self.settings = name, settings
    async def answer(self, question):
        return Answer(probability=1.0)

class Half:
    def __init__(self, name):
        self.name = name

class Verify:
    async def verify(self, task, answer):
        raise RuntimeError("nobody knows")

ready = Verify()
number = 7

def fails(name):
    raise RuntimeError("not today")

def loose(name, **others):
    made = Shaped(name, Own())
    made.others = others
    return made

def lookup(name: str, price: Price, answer: str = "Found it."):
    async def plan(task: Task) -> str:
        return "1. Look. 2. Say."
    async def work(task: Task, strategy) -> str:
        return answer
    return FunctionAgent(name, price=price, bid=plan, execute=work)

if TYPE_CHECKING:
    from pathlib import Path

def typed(name: str, folder: Path):
    return Shaped(name, Own())

def misnamed(price: Price):
    return lookup("other", price)

class Dictionary:
    info = ToolInfo(name="look_up", description="Look a word up.")
    def __init__(self, entries: dict[str, str]) -> None:
        self.entries = entries
    async def run(self, word: str) -> str:
        return self.entries.get(word, "nothing")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"ext_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installed packages as the interpreter sees them: some that are broken, and two that clash."""
    broken = {"absent": "no_such_module_here:X", "raising": "ext_raising:X", "gone": "ext_raising_not:Y"}
    (tmp_path / "ext_raising.py").write_text("1 / 0", encoding="utf-8")
    (tmp_path / "ext_raising_not.py").write_text("", encoding="utf-8")
    for package, points in {
        "broken": broken,
        "first": {"same": "ext_raising_not:A", "question": "ext_raising_not:A"},
        "second": {"same": "ext_raising_not:B"},
    }.items():
        info = tmp_path / f"{package}-2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n", encoding="utf-8")
        lines = "".join(f"{name} = {path}\n" for name, path in points.items())
        (info / "entry_points.txt").write_text(f"[sale.jurors]\n{lines}", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def made(name: str, **options: object) -> Respondent:
    return extensions.make("jurors", name, Respondent, given={"name": "j", "models": {}}, options=options, where="here")


class TestPackages:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("absent", "'no_such_module_here' of the package broken 2.0 cannot be imported: No module named"),
            ("raising", "'ext_raising' of the package broken 2.0 fails when it is imported: ZeroDivisionError"),
            ("gone", "there is no 'Y' in 'ext_raising_not' of the package broken 2.0"),
            ("same", "several packages have a kind of juror 'same': first 2.0, second 2.0"),
        ],
    )
    @pytest.mark.usefixtures("packages")
    def test_one_that_is_broken_is_named_in_a_line(self, name: str, said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            made(name)
        assert said in str(caught.value)
        assert (caught.value.where, "\n" in str(caught.value)) == ("here", False)
        assert caught.value.hint

    @pytest.mark.usefixtures("packages")
    def test_a_name_of_sale_cannot_be_taken(self) -> None:
        assert extensions.names("jurors").count("question") == 1
        assert extensions.load("jurors", "question", where="") is extensions.import_path(
            extensions.BUILT_IN["jurors"]["question"], where=""
        )

    @pytest.mark.usefixtures("packages")
    def test_reading_settings_imports_nothing(self) -> None:
        agent = '[[agents]]\nname = "a"\nlocal = "smollm2-135m"\nprice = 0.01\n'
        found = config.parse(f'{agent}[[jurors]]\nname = "j"\nkind = "raising"\nanything = 3\n')
        assert found.jurors[0].options == {"anything": 3}

    def test_a_name_nobody_has_is_refused_with_what_there_is(self) -> None:
        with pytest.raises(ValueError, match=r"there are question, match, decision, function.*did you mean 'match'"):
            extensions.check_name("jurors", "mach")
        with pytest.raises(ValueError, match="unknown kind of agent 'x': none is installed"):
            extensions.check_name("agents", "x")


@pytest.mark.parametrize("group", extensions.BUILT_IN)
def test_what_comes_with_sale_is_where_the_table_says(group: extensions.Group) -> None:
    for name in extensions.BUILT_IN[group]:
        assert callable(extensions.load(group, name, where=name))


class TestMaking:
    def test_a_model_of_settings_is_given_all_of_them(self, module: str) -> None:
        juror = made(f"{module}:Shaped", words=3)
        settings = getattr(juror, "settings", None)
        assert isinstance(settings, BaseModel)
        assert settings.model_dump() == {"words": 3, "loud": False}

    @pytest.mark.parametrize(
        ("name", "options", "said"),
        [
            ("Shaped", {"words": "many"}, "words: Input should be a valid integer"),
            ("Shaped", {"wordz": 1}, "wordz"),
            ("Half", {}, "makes a Half, which lacks answer, price"),
            ("fails", {}, "cannot be made: RuntimeError: not today"),
            ("number", {}, "lacks answer, name, price"),
            ("gone", {}, "there is no 'gone'"),
        ],
    )
    def test_what_cannot_be_made_says_why(self, module: str, name: str, options: dict[str, object], said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            made(f"{module}:{name}", **options)
        assert said in str(caught.value)
        assert caught.value.where == "here"

    def test_one_whose_types_are_there_for_type_checkers_alone_is_told(self, module: str) -> None:
        with pytest.raises(ConfigError, match="its signature cannot be read: name 'Path' is not defined") as caught:
            made(f"{module}:typed", folder="x")
        assert (caught.value.where, "TYPE_CHECKING" in caught.value.hint) == ("here", True)

    def test_one_that_takes_anything_is_given_everything(self, module: str) -> None:
        assert getattr(made(f"{module}:loose", a=1, b=[2]), "others", None) == {"a": 1, "b": [2]}

    def test_one_that_is_ready_made_is_taken_as_it_is(self, module: str) -> None:
        path = f"{module}:ready"
        assert extensions.make("verifiers", path, Verifier, given={}, options={}, where="")
        with pytest.raises(ConfigError, match="is ready made and takes no words"):
            extensions.make("verifiers", path, Verifier, given={}, options={"words": 1}, where="")


class TestInAMarket:
    async def test_an_agent_of_a_kind_wins_and_works(self, module: str) -> None:
        text = (
            f'[[agents]]\nname = "look"\nkind = "{module}:lookup"\nprice = 0.5\nanswer = "Here."\n'
            f'[verifier]\nkind = "{module}:ready"\n[memory]\nenabled = false\n'
        )
        async with Market.from_config(settings=config.parse(text)) as market:
            result = await market.run("Where is it?")
        assert (result.answer, result.execution.agent) == ("Here.", "look")
        # A verifier that fails leaves the outcome unknown, and what was paid for on record.
        assert (result.outcome.verdict, result.outcome.judged_by) == ("unknown", "Verify")
        assert "nobody knows" in result.outcome.detail

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ('kind = "{}:lookup"\nprice = 0.5\nanswr = "x"', "answr: unknown key; did you mean 'answer'?"),
            ('kind = "{}:misnamed"\nprice = 0.5', "calls itself 'other'"),
            ('kind = "{}:lookup"', "a price is needed"),
            ('kind = "{}:lookup"\nprice = 0.5\nlocal = "smollm2-135m"', "local cannot be said of"),
        ],
    )
    def test_what_is_wrong_with_one_is_said(self, module: str, more: str, said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            Market.from_config(settings=config.parse(f'[[agents]]\nname = "look"\n{more.format(module)}\n'))
        assert said in str(caught.value)

    def test_tools_of_ones_own_are_among_the_tools(self, module: str) -> None:
        text = (
            '[[agents]]\nname = "a"\nendpoint = "http://127.0.0.1:9/v1"\nmodel = "m"\nprice = 1.0\n'
            'execution = "tools"\n[tools]\npython = false\n'
            f'[[tools.own]]\nkind = "{module}:Dictionary"\nentries = {{ auction = "a sale" }}\n'
        )
        market = Market.from_config(settings=config.parse(text))
        (agent,) = market.agents
        assert [tool.name for tool in agent.tools] == ["look_up"]
        with pytest.raises(ConfigError, match="tools share a name: look_up"):
            Market.from_config(settings=config.parse(text + text.partition("python = false\n")[2]))
