"""The packages in examples/extensions, built and installed as anybody's would be, and used through a `sale.toml`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sale import Market, Task, config, extensions
from sale.agents.tools.web.toolset import toolset_of
from sale.bench.routers.baselines import LEARNT, learnt_routers
from sale.check import check_juror, check_objective, check_provider, check_router, check_verifier
from sale.errors import ConfigError
from sale.learning.fit import fit
from sale.learning.objectives import objective_of
from tests.bench.routers.tables import FEATURES, separable
from tests.learning.pools import auctions
from tests.support.hang import HANG

EXAMPLES = Path(__file__).parent.parent / "examples" / "extensions"
PACKAGES = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())
NAMES: dict[extensions.Group, str] = {
    "jurors": "letters",
    "providers": "notes",
    "objectives": "frugal",
    "verifiers": "polite",
    "models": "parrot",
    "routers": "cautious",
}
POOL = """
[[agents]]
name = "polly"
model = "parrot:grey"
price = 0.01
times = 2
judge = false

[[agents]]
name = "lora"
provider = "parrot"
model = "green"
price = 0.02
judge = false

[[jurors]]
name = "letters"
kind = "letters"
reads = "plan"
shortest = 5

[verifier]
kind = "polite"
words = ["parrot"]

[memory]
enabled = false
"""

pytestmark = pytest.mark.xdist_group("extension examples")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with the six packages, on the path for as long as these tests last."""
    target = tmp_path_factory.mktemp("installed")
    how = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *how, *map(str, PACKAGES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, str(target))
    yield target
    sys.path.remove(str(target))


def test_each_is_one_file_and_what_names_it() -> None:
    for package in PACKAGES:
        assert {path.suffix for path in package.iterdir() if path.is_file()} == {".py", ".toml"}, package.name


@pytest.mark.parametrize(("group", "name"), NAMES.items())
@pytest.mark.usefixtures("installed")
def test_what_is_installed_is_there_by_its_name(group: extensions.Group, name: str) -> None:
    assert name in extensions.names(group)
    assert extensions.check_name(group, name) == name
    assert extensions.load(group, name, where="here")


async def test_a_task_through_models_a_juror_and_a_verifier(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "sale.toml"
    file.write_text(POOL, encoding="utf-8")
    async with Market.from_config(file) as market:
        result = await market.run("Explain photosynthesis in simple words")
    assert "grey parrot:" in result.answer or "green parrot:" in result.answer
    assert {score.juror for bid in result.auction.bids for score in bid.scores} == {"letters"}
    assert (result.outcome.verdict, result.outcome.judged_by) == ("success", "polite")
    assert result.settlement.dollars > 0


def test_the_command_knows_them_too(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "sale.toml"
    file.write_text(POOL.replace('words = ["parrot"]', 'words = ["thank you"]'), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sale.cli.main", "run", "--config", str(file), "--check", "--quiet", "Say hello"],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
    )
    assert done.returncode == 1, done.stderr
    assert "it lacks thank you" in done.stdout


async def test_notes_are_searched_and_read(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "billing.txt").write_text("The billing service listens on port 7431.", encoding="utf-8")
    (tmp_path / "other.txt").write_text("Nothing of the kind.", encoding="utf-8")
    agent = '[[agents]]\nname = "a"\nlocal = "smollm2-135m"\nprice = 0.01\n'
    search = f'[tools.search]\nprovider = "notes"\nfolder = "{tmp_path}"\n'
    rules = config.parse(f"{agent}{search}").tools.search
    assert rules is not None
    desk = toolset_of(rules)
    await check_provider(desk.provider, "billing service")
    work = desk.open(Task(text="Which port?"))
    assert "7431" in await work.search("billing service port")
    assert "listens on port 7431" in await work.read("1")
    with pytest.raises(ConfigError, match="there is no folder"):
        toolset_of(config.parse(f"{agent}{search.replace(str(tmp_path), '/no/such/folder')}").tools.search or rules)


def test_weights_are_fitted_by_an_objective_that_settings_name(installed: Path) -> None:
    learning = config.parse(f'{POOL}\n[learning]\nobjective = "frugal"\n').learning
    objective = objective_of(learning.objective, learning.options)
    records = auctions(30)
    check_objective(objective, records)
    found = fit(records, objective)
    assert found.training.objective == "frugal"
    assert found.weights.jurors["good"] == found.training.settings["point"]
    assert found.worth is None


def test_a_router_that_settings_name_is_compared_with_the_others(installed: Path) -> None:
    bench = config.parse(f'{POOL}\n[[bench.routers]]\nkind = "cautious"\nexponent = 0.5\n').bench
    routers = learnt_routers(FEATURES, answers=False, more=bench.routers)
    assert [router.name for router in routers][-1] == "cautious"
    assert len(routers) == len(LEARNT)  # the cascade needs answers
    check_router(routers[-1], separable(24, 1), separable(20, 2))
    twice = config.parse(f"{POOL}\n" + '[[bench.routers]]\nkind = "cautious"\n' * 2).bench
    with pytest.raises(ConfigError, match="routers share a name: cautious"):
        learnt_routers(FEATURES, answers=False, more=twice.routers)


async def test_the_others_pass_the_checks_for_authors(installed: Path) -> None:
    found = config.parse(POOL)
    async with Market.from_config(settings=found) as market:
        (seat,) = market._seats
        await check_juror(seat.respondent)
        assert market.verifier is not None
        await check_verifier(market.verifier)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("shortest = 5", "shortest = true"), "shortest: Input should be a valid integer (got True)"),
        (("shortest = 5", "shortes = 5"), "shortes: unknown key; did you mean 'shortest'?"),
        (('words = ["parrot"]', ""), "the kind of verifier 'polite' of the package sale-polite 1.0 needs words"),
        (("times = 2", 'colour = "red"'), "colour cannot be said of the provider of models 'parrot' of the package"),
        (('kind = "letters"', 'kind = "lettres"'), "did you mean 'letters'?"),
        (('model = "parrot:grey"', 'model = "parot:grey"'), "did you mean 'parrot'?"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_a_mistake_in_their_settings_is_said_in_a_line(change: tuple[str, str], said: str) -> None:
    assert change[0] in POOL
    with pytest.raises(ConfigError) as caught:
        Market.from_config(settings=config.parse(POOL.replace(*change)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
