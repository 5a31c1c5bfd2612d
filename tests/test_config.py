"""`sale.toml` and the environment: every mistake is named, with its place and what to do."""

from __future__ import annotations

import math
import traceback
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sale import config
from sale.config import AgentSettings, PriceSettings, Settings
from sale.errors import ConfigError
from sale.types import AuctionRules, Caps

AGENT = '[[agents]]\nname = "a"\nendpoint = "http://127.0.0.1:1/v1"\nmodel = "m"\n'
KEY = "sk-proj-0123456789-canary"


def fault(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, origin="my.toml")
    assert caught.value.where == "my.toml"
    assert caught.value.hint or "TOML" in caught.value.message
    return caught.value.message


def agent(extra: str) -> AgentSettings:
    return config.parse(AGENT + extra).agents[0]


class TestAllowance:
    def test_is_five_percent_where_the_market_is_served_and_nothing_is_said(self) -> None:
        settings = config.parse(AGENT + "price = 1.0")
        assert settings.auction.allowance is None
        assert settings.served.auction.allowance == 0.05
        for said in (0.2, 0.0, math.inf):
            told = config.parse(AGENT + f"price = 1.0\n[auction]\nallowance = {said}")
            assert told.served.auction.allowance == said

    def test_an_incumbent_is_one_of_the_agents(self) -> None:
        assert config.parse(AGENT + 'price = 1.0\n[auction]\nincumbent = "a"').auction.incumbent == "a"
        assert "'b'" in fault(AGENT + 'price = 1.0\n[auction]\nincumbent = "b"')

    def test_is_no_less_than_nothing(self) -> None:
        assert "allowance must not be negative" in fault(AGENT + "price = 1.0\n[auction]\nallowance = -0.1")


class TestDumps:
    def settings(self) -> Settings:
        text = AGENT + 'price = 1.0\n[[agents]]\nname = "b"\ncommand = ["x"]\nprice = 1\nprice_per_task = 0\n'
        text += '[[agents]]\nname = "c"\nlocal = "smollm2-135m"\nprice = 0.01\nsamples = 3\n'
        text += '[[jurors]]\nname = "j"\nkind = "question"\nagent = "a"\n[tools.search]\nprovider = "duckduckgo"\n'
        return config.parse(text)

    def test_can_be_validated_again(self) -> None:
        settings = self.settings()
        again = Settings.model_validate(settings.model_dump())
        assert again == settings
        assert [again.judges(one) for one in again.agents] == [settings.judges(one) for one in settings.agents]
        assert AgentSettings.model_validate(settings.agents[1].model_dump()) == settings.agents[1]
        assert not config.ToolSettings.model_validate(config.ToolSettings().model_dump()).asked_for

    def test_of_what_was_given_alone_keeps_that_a_default_was_asked_for(self) -> None:
        settings = config.parse(AGENT + "price = 1.0\n[tools]\npython = true")
        again = Settings.model_validate(settings.model_dump(exclude_unset=True))
        assert again == settings
        assert again.tools.asked_for


class TestTypes:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('judge = "no"', "agents.1.judge: Input should be a valid boolean (got 'no')"),
            ("follow_strategy = 1", "agents.1.follow_strategy"),
            ('budget = { calls = "3" }', "agents.1.budget.calls"),
            ('[sandbox]\nunsafe_subprocess = "yes"', "sandbox.unsafe_subprocess"),
            ('[auction]\nattempts = "3"', "auction.attempts"),
            ("[auction]\nattempts = 2.0", "auction.attempts"),
            ('[auction]\nplans = "off"', "auction.plans"),
            ('[auction.caps]\ncalls = "2"', "auction.caps.calls"),
            ('[memory]\nhalf_life_days = "3"', "memory.half_life_days"),
            ('[tools.search]\nprovider = "duckduckgo"\nports = ["80"]', "tools.search.ports.1"),
            ('[[tools.mcp]]\nname = "x"\ncommand = "x"\ntimeout_seconds = "3"', "tools.mcp.1.timeout_seconds"),
        ],
    )
    def test_a_text_is_no_number_and_no_boolean(self, text: str, said: str) -> None:
        assert fault(f"{AGENT}price = 1.0\n{text}").startswith(said)

    def test_a_whole_number_is_a_number(self) -> None:
        assert config.parse(f"{AGENT}price = 1\n[auction]\nbid_seconds = 2").auction.bid_seconds == 2


class TestShipped:
    def test_is_in_force_where_there_is_no_file(self) -> None:
        settings = config.load()
        assert settings.origin == "the embedded pool (no sale.toml found)"
        assert len(settings.agents) == 3
        assert all(one.local and one.price for one in settings.agents)
        assert config.parse(config.shipped_text()).agents == settings.agents

    def test_says_its_default_is_the_default(self) -> None:
        """What the file leaves out is what the types say."""
        settings = config.parse(AGENT + "price = 1.0")
        assert settings.auction == AuctionRules()
        assert settings.auction.caps == Caps()
        assert settings.weights is None
        assert settings.memory.enabled


class TestFinding:
    def write(self, path: Path, name: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(AGENT.replace('"a"', f'"{name}"') + "price = 1.0\n", encoding="utf-8")
        return path

    def test_the_first_that_exists_is_in_force(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(platformdirs.user_config_path("sale") / "sale.toml", "user")
        assert config.load().agents[0].name == "user"
        self.write(Path("sale.toml"), "here")
        assert config.load().agents[0].name == "here"
        monkeypatch.setenv("SALE_CONFIG", str(self.write(tmp_path / "env.toml", "env")))
        assert config.load().agents[0].name == "env"
        found = config.load(self.write(tmp_path / "given.toml", "given"))
        assert found.agents[0].name == "given"
        assert found.origin == str(tmp_path / "given.toml")

    def test_a_file_that_was_asked_for_must_exist(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for ask in ("argument", "environment"):
            missing = tmp_path / f"{ask}.toml"
            if ask == "environment":
                monkeypatch.setenv("SALE_CONFIG", str(missing))
            with pytest.raises(ConfigError, match="there is no such file") as caught:
                config.load(missing if ask == "argument" else None)
            assert caught.value.where == str(missing)
            assert "sale init" in caught.value.hint

    def test_what_cannot_be_read_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read: "):
            config.load(tmp_path)
        bad = tmp_path / "latin.toml"
        bad.write_bytes(b'name = "\xe9"')
        with pytest.raises(ConfigError, match=r"latin.toml: line 1 is not UTF-8 text \(byte 0xe9\)"):
            config.load(bad)

    def test_paths_are_relative_to_the_file_wherever_the_program_goes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = '[[agents]]\nname = "a"\ngguf = "weights/a.gguf"\nprice = 0\n[memory]\npath = "m.sqlite3"\n'
        (tmp_path / "sale.toml").write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        settings = config.load()
        monkeypatch.chdir("/")
        assert settings.agents[0].gguf == tmp_path / "weights" / "a.gguf"
        assert settings.memory.path == tmp_path / "m.sqlite3"
        assert config.memory_path(settings) == tmp_path / "m.sqlite3"

    def test_so_are_the_archive_and_the_file_of_the_server(self, tmp_path: Path) -> None:
        text = '[[agents]]\nname = "a"\ngguf = "a.gguf"\nprice = 0\n[memory]\narchive = "old"\n'
        text += '[server]\ndatabase = "s.db"\n'
        settings = config.parse(text, base=tmp_path)
        assert config.memory_archive(settings) == tmp_path / "old"
        assert config.server_database(settings) == str(tmp_path / "s.db")

    def test_what_was_left_in_the_working_directory_is_not_passed_by(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "work" / "old").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "work")
        agents = '[[agents]]\nname = "a"\ngguf = "a.gguf"\nprice = 0\n'
        database, archive = agents + '[server]\ndatabase = "s.db"\n', agents + '[memory]\narchive = "old"\n'
        for text in (database, archive):
            config.parse(text, base=tmp_path)
        Path("s.db").touch()
        Path("old", "memory-1-a.jsonl").touch()
        for text, name in ((database, "s.db"), (archive, "old")):
            with pytest.raises(ConfigError, match="relative to this file") as caught:
                config.parse(text, base=tmp_path)
            assert str(tmp_path / "work" / name) in str(caught.value)
            (tmp_path / name).touch()
            config.parse(text, base=tmp_path)

    def test_so_are_programs_that_are_paths(self, tmp_path: Path) -> None:
        text = '[[agents]]\nname = "a"\ncommand = ["./agent.sh", "./x"]\nprice_per_task = 0\nprice = 0\n'
        text += '[[tools.mcp]]\nname = "own"\ncommand = "bin/own"\n'
        text += '[[tools.mcp]]\nname = "found"\ncommand = "python"\nargs = ["./server.py"]\n'
        settings = config.parse(text, base=tmp_path)
        assert settings.agents[0].command == (str(tmp_path / "agent.sh"), "./x")
        assert [one.command for one in settings.tools.mcp] == [str(tmp_path / "bin" / "own"), "python"]
        assert settings.tools.mcp[1].args == ("./server.py",)

    @pytest.mark.parametrize("place", ["postgresql+psycopg://sale@database/sale", "sqlite:////srv/s.db", "/srv/s.db"])
    def test_an_address_of_a_database_stays(self, place: str, tmp_path: Path) -> None:
        text = f'[[agents]]\nname = "a"\ngguf = "a.gguf"\nprice = 0\n[server]\ndatabase = "{place}"\n'
        assert config.server_database(config.parse(text, base=tmp_path)) == place

    def test_absolute_and_home_paths_stay(self, tmp_path: Path) -> None:
        text = '[[agents]]\nname = "a"\ngguf = "/w/a.gguf"\nprice = 0\n[memory]\npath = "~/m.sqlite3"\n'
        settings = config.parse(text, base=tmp_path)
        assert settings.agents[0].gguf == Path("/w/a.gguf")
        assert settings.memory.path == Path.home() / "m.sqlite3"

    def test_nobodys_home(self, tmp_path: Path) -> None:
        text = AGENT + 'price = 1.0\n[memory]\npath = "~no-such-user/m.sqlite3"\n'
        with pytest.raises(ConfigError, match="no such user in a path"):
            config.parse(text, base=tmp_path)


class TestDirectories:
    def test_a_tilde_in_the_environment_is_the_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SALE_MEMORY", "~/mem.sqlite3")
        monkeypatch.setenv("SALE_MODELS", "~/mod")
        monkeypatch.setenv("SALE_CONFIG", "~/my.toml")
        settings = config.parse(AGENT + "price = 1.0")
        assert config.memory_path(settings) == config.memory_place(settings) == Path.home() / "mem.sqlite3"
        assert config.models_path() == Path.home() / "mod"
        with pytest.raises(ConfigError) as caught:
            config.load()
        assert caught.value.where == str(Path.home() / "my.toml")
        monkeypatch.setenv("SALE_MODELS", "~no-such-user/mod")
        with pytest.raises(ConfigError, match="SALE_MODELS: no such user in a path"):
            config.models_path()

    def test_of_the_environment_or_the_user(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = config.parse(AGENT + "price = 1.0")
        monkeypatch.setenv("SALE_MEMORY", str(tmp_path / "mem"))
        monkeypatch.setenv("SALE_MODELS", str(tmp_path / "mod"))
        assert (config.memory_path(settings), config.models_path()) == (tmp_path / "mem", tmp_path / "mod")
        monkeypatch.delenv("SALE_MEMORY")
        monkeypatch.delenv("SALE_MODELS")
        assert config.memory_path(settings) == platformdirs.user_data_path("sale") / "memory.sqlite3"
        assert config.models_path() == platformdirs.user_cache_path("sale") / "models"


class TestAgents:
    def test_one_number_is_all_three_prices(self) -> None:
        assert agent("price = 0.5").price == PriceSettings(input=0.5, output=0.5, blended=0.5)
        assert agent("price = 2").price == PriceSettings(input=2, output=2, blended=2)
        assert agent("price = { input = 1.0, output = 4 }").price == PriceSettings(input=1, output=4, blended=None)

    def test_an_endpoint_may_go_without_a_price_and_a_local_model_may_not(self) -> None:
        assert agent("").price is None
        assert "a price is needed: price = 0.05" in fault('[[agents]]\nname = "a"\nlocal = "x"\n')

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                'name = "a"\nprice = 1',
                "exactly one of local, gguf, endpoint, provider, command, function and kind",
            ),
            ('name = "a"\nprice = 1\nlocal = "x"\ngguf = "y"', "got local, gguf"),
            ('name = "a"\nendpoint = "http://x"', "an endpoint needs the name of a model"),
            (
                'name = "a"\nlocal = "x"\nprice = 1\nmodel = "m"',
                "model and api_key_env go with endpoint or",
            ),
            (
                'name = "a"\nlocal = "x"\nprice = 1\napi_key_env = "K"',
                "model and api_key_env go with endpoint or",
            ),
            ('name = "a"\nendpoint = "ftp://x"\nmodel = "m"', "agents.1.endpoint: "),
            ('name = "a"\nendpoint = "http://x:99999/v1"\nmodel = "m"', "agents.1: endpoint is no address"),
            ('name = "a"\nendpoint = "http:///v1"\nmodel = "m"', "endpoint is no address"),
            ('name = "a"\nendpoint = "http://x:port/v1"\nmodel = "m"', "endpoint is no address"),
            ('name = "a"\nendpoint = "http://[::1/v1"\nmodel = "m"', "endpoint is no address"),
            ('name = "a"\nprovider = "openai"\nmodel = "m"\nbase_url = "http://:80"', "base_url is no address"),
            ('name = "a"\nendpoint = "https://me:pw@x/v1"\nmodel = "m"', "an endpoint's address holds no user or"),
            ('name = "a"\nfunction = "m:f"\nprice = 1\nbudget = { calls = 2 }', "budget cannot be said of a function"),
            ('name = "a b"\nlocal = "x"\nprice = 1', "agents.1.name: "),
            ('name = ""\nlocal = "x"\nprice = 1', "agents.1.name: "),
            ('local = "x"\nprice = 1', "agents.1.name is missing"),
        ],
    )
    def test_what_does_not_go_together(self, text: str, message: str) -> None:
        assert message in fault("[[agents]]\n" + text)

    def test_the_pool_has_somebody_and_everybody_a_name_of_their_own(self) -> None:
        assert "agents is missing: write [[agents]]" in fault("")
        assert "the pool is empty" in fault("agents = []")
        assert "agents share a name: a" in fault((AGENT + "price = 1\n") * 2)

    @pytest.mark.parametrize(
        "extra",
        [
            "price = -1",
            "price = nan",
            "price = inf",
            "price = true",
            'price = "1"',
            "price = { input = true, output = 1 }",
            "price = { input = 1 }",
            "logprobs = 21",
            "logprobs = -1",
            "logprobs = true",
            "temperature = 3",
            "temperature = nan",
            'temperature = "0"',
            "answer_tokens = 0",
            "answer_tokens = 1.5",
            'answer_tokens = "9"',
            "context = 0",
            "seconds = 0",
            "seconds = inf",
            "seconds = nan",
            "turns = 0",
            'execution = "magic"',
            "judge = 2",
        ],
    )
    def test_values_that_cannot_be(self, extra: str) -> None:
        assert f"agents.1.{extra.partition(' ')[0]}" in fault(AGENT + extra)

    def test_several_faults_are_all_named(self) -> None:
        message = fault(AGENT + 'price = -1\nturns = 0\n[auction]\njury = "crowd"\n')
        assert all(part in message for part in ("agents.1.price", "agents.1.turns", "auction.jury", "'crowd'"))

    def test_the_agent_is_counted_from_one(self) -> None:
        assert "agents.2.turns" in fault(AGENT + AGENT.replace('"a"', '"b"') + "turns = 0")


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (AGENT + "prize = 1", "agents.1.prize: unknown key; did you mean 'price'?"),
            (AGENT + "logprob = 3", "agents.1.logprob: unknown key; did you mean 'logprobs'?"),
            (AGENT + "[auction]\nexample = 3", "auction.example: unknown key; did you mean 'examples'?"),
            (AGENT + "[auction.caps]\ndollar = 3", "auction.caps.dollar: unknown key; did you mean 'dollars'?"),
            (AGENT + "[sandbox]\nmemory = 3", "sandbox.memory: unknown key"),
            (AGENT + "[zzz]\n", "zzz: unknown key; there are agents, auction, jurors"),
            (AGENT + "attempts = 3", "agents.1.attempts: unknown key; it belongs in [auction]."),
            (AGENT + "[auction]\njudge = true", "auction.judge: unknown key; it belongs in [[agents]]."),
            (AGENT + "[server]\nagents = 1", "server.agents: unknown key; it belongs at the top of the file."),
            (AGENT + "[auction]\ntemprature = 1", "unknown key; did you mean 'temperature' in [[agents]]?"),
            (AGENT + "[agents.tools]\npythn = 1", "agents.1.tools.pythn: unknown key; did you mean 'python'?"),
            (AGENT + "price = { input = 1, output = 1, zzz = 1 }", "agents.1.price.zzz: unknown key"),
            ('origin = "mine"\n' + AGENT, "unknown key 'origin'"),
        ],
    )
    def test_are_refused_with_a_guess(self, text: str, message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            config.parse(text, origin="my.toml")
        assert message in str(caught.value)


class TestRules:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[auction]\nstrategy_tokens = 0", "auction: strategy_tokens must be above 0, got 0"),
            ("[auction]\nexamples = -1", "auction: examples must not be negative, got -1"),
            ("[auction]\nbid_seconds = nan", "auction: bid_seconds must be above 0, got nan"),
            ("[auction.caps]\ncalls = -5", "auction.caps: calls must be above 0, got -5"),
            ("[auction.caps]\nseconds = 0", "auction.caps: seconds must be above 0"),
            ("[auction.caps]\ndollars = -0.5", "auction.caps: dollars must not be negative"),
            ('[auction]\njury = "crowd"', "auction.jury: "),
        ],
    )
    def test_that_cannot_be(self, text: str, message: str) -> None:
        assert message in fault(AGENT + text)

    def test_are_what_the_file_says(self) -> None:
        settings = config.parse(AGENT + '[auction]\njury = "per-bid"\nexamples = 2\n[auction.caps]\ndollars = 0\n')
        assert settings.auction == AuctionRules(jury="per-bid", examples=2, caps=Caps(dollars=0.0))

    def test_other_rules_change_nothing_else(self) -> None:
        settings = config.parse(AGENT + "[auction]\nexamples = 2\n", origin="x")
        other = settings.under(jury="per-bid")
        assert (other.auction.jury, other.auction.examples, other.origin) == ("per-bid", 2, "x")
        assert settings.auction.jury == "panel"


class TestWeights:
    def test_are_what_the_file_says(self) -> None:
        settings = config.parse(AGENT + "[weights]\nentropy = -2\njurors = { a = 3 }\n")
        assert settings.weights is not None
        assert (settings.weights.cost, settings.weights.entropy, settings.weights.jurors) == (1.0, -2.0, {"a": 3.0})

    @pytest.mark.parametrize("line", ["cost = nan", "cost = inf", "cost = -1", "entropy = nan", "entropy = -inf"])
    def test_are_finite(self, line: str) -> None:
        assert f"weights.{line.partition(' ')[0]}" in fault(AGENT + f"[weights]\n{line}\njurors = {{ a = 1 }}\n")

    @pytest.mark.parametrize("value", ["nan", "inf", "-1", "true", '"1"'])
    def test_of_jurors_are_finite_too(self, value: str) -> None:
        assert "weights.jurors.a" in fault(AGENT + f"[weights]\njurors = {{ a = {value} }}\n")

    def test_name_only_jurors(self) -> None:
        assert "not on the jury: b" in fault(AGENT + "[weights]\njurors = { b = 1 }\n")
        assert "not on the jury: a" in fault(AGENT + "judge = false\n[weights]\njurors = { a = 1 }\n")


class TestSecrets:
    def test_a_key_comes_from_the_variable_the_agent_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        keyed = agent('api_key_env = "MY_KEY"')
        monkeypatch.setenv("MY_KEY", KEY)
        found = config.api_key(keyed)
        assert found is not None
        assert found.get_secret_value() == KEY
        assert KEY not in f"{found!r} {found} {keyed!r}"
        assert config.is_set("MY_KEY")
        assert config.api_key(agent("")) is None

    @pytest.mark.parametrize("value", [None, ""])
    def test_a_variable_that_is_not_set(self, value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        if value is not None:
            monkeypatch.setenv("MY_KEY", value)
        with pytest.raises(ConfigError, match="MY_KEY is not set") as caught:
            config.api_key(agent('api_key_env = "MY_KEY"'))
        assert caught.value.where == "agent 'a'"
        assert "export MY_KEY=" in caught.value.hint
        assert not config.is_set("MY_KEY")

    @pytest.mark.parametrize(
        "line", [f'api_key = "{KEY}"', f'key = "{KEY}"', f'token = "{KEY}"', f'api_key_env = "{KEY}"']
    )
    def test_a_key_in_the_file_is_refused_and_never_shown(self, line: str) -> None:
        try:
            config.parse(AGENT + line)
        except ConfigError as error:
            shown = "".join(traceback.format_exception(error))
        else:
            raise AssertionError("it was taken")
        assert KEY not in shown
        assert "environment variable" in shown


class TestAnything:
    @given(st.text())
    def test_any_text_is_settings_or_a_config_error(self, text: str) -> None:
        try:
            assert isinstance(config.parse(text), Settings)
        except ConfigError as error:
            assert str(error)  # noqa: PT017

    @given(
        st.dictionaries(
            st.sampled_from(sorted(AgentSettings.model_fields)),
            st.one_of(
                st.integers(-3, 30),
                st.booleans(),
                st.sampled_from([math.nan, math.inf, 0.5]),
                st.sampled_from(['"http://x/v1"', '"x"', '""', '"direct"', "{ input = 1, output = 2 }", "[]"]),
            ),
            max_size=6,
        )
    )
    def test_any_section_of_an_agent_is_one_or_a_config_error(self, section: dict[str, object]) -> None:
        def toml(value: object) -> str:
            return str(value).lower() if isinstance(value, bool) else str(value)

        text = "[[agents]]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in section.items())
        try:
            settings = config.parse(text)
        except ConfigError:
            return
        (one,) = settings.agents
        assert one.answer_tokens > 0
        assert one.price is None or math.isfinite(one.price.input)
        assert (one.local is None) + (one.gguf is None) + (one.endpoint is None) == 2

    def test_nesting_without_end(self) -> None:
        assert "not valid TOML" in fault("x = " + "[" * 10_000)

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(ValidationError):
            config.parse(AGENT).memory.enabled = False  # pyright: ignore[reportAttributeAccessIssue]
