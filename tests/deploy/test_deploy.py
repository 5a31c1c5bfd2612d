"""The image and the compose file, as far as a machine without Docker can tell: no name in them leads nowhere."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator
from packaging.requirements import Requirement

from sale import config
from sale.cli.main import VERBS, app
from tests.support.faulty_server import FaultWall
from tests.support.gateway_process import gateway
from tests.support.hang import HANG

ROOT = Path(__file__).parents[2]
SCHEMA = Path(__file__).parent / "compose-spec.json"
"""Of the Compose Specification, Apache-2.0, from its repository at 170098ba07d9."""
SECRET = re.compile(r"KEY|PASSWORD|TOKEN|SECRET", re.IGNORECASE)
Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stages() -> list[list[Instruction]]:
    """The instructions of each stage of the Dockerfile."""
    text = "\n".join(line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = text.replace("\\\n", " ").splitlines()
    found: list[list[Instruction]] = []
    for line in filter(str.strip, lines):
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, " ".join(rest.split())))
    return found


def one(stage: list[Instruction], name: str) -> str:
    (value,) = (rest for kind, rest in stage if kind == name)
    return value


def test_compose_is_what_its_specification_says(compose: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft7Validator.check_schema(schema)
    faults = [error.message for error in Draft7Validator(schema).iter_errors(compose)]
    assert faults == []
    broken = {**compose, "services": {"gateway": {"imagee": "x"}}}
    assert not Draft7Validator(schema).is_valid(broken), "the schema finds a key that there is not"


def test_compose_names_nothing_that_is_not_there(compose: dict[str, Any]) -> None:
    services, volumes = compose["services"], set(compose["volumes"])
    used: set[str] = set()
    for service in services.values():
        for volume in service.get("volumes", ()):
            source, target = volume.split(":")[:2]
            assert target.startswith("/")
            if source.startswith("."):
                assert (ROOT / source).is_file(), source
            else:
                used.add(source)
        assert set(service.get("depends_on", ())) <= set(services)
        image = service.get("image", "built:here")
        assert ":" in image, f"{image} is not of a version"
        assert not image.endswith(":latest")
    assert used == volumes
    assert services["prometheus"]["network_mode"].removeprefix("service:") in services


def test_no_secret_is_written_down_and_a_missing_one_stops_the_start(
    compose: dict[str, Any], stages: list[list[Instruction]]
) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable) or variable == "PGPASSWORD":
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), f"{name}: {variable}"
    for kind, rest in (line for stage in stages for line in stage):
        if kind in {"ENV", "ARG"}:
            assert not SECRET.search(rest), rest
    copied = [rest for stage in stages for kind, rest in stage if kind == "COPY"]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*", "only what is named reaches the builder"
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    named = {source.removeprefix("./") for rest in copied if "--from" not in rest for source in rest.split()[:-1]}
    assert named == allowed
    assert all((ROOT / source).exists() for source in named)


def test_the_settings_are_valid_and_given_all_they_name(compose: dict[str, Any]) -> None:
    settings = config.load(ROOT / "deploy" / "sale.toml")
    gateway_service, database = compose["services"]["gateway"], compose["services"]["database"]
    given = set(gateway_service["environment"])
    assert {agent.api_key_env for agent in settings.agents} <= given
    assert settings.server.password_env in given
    assert f"127.0.0.1:{settings.server.port}:{settings.server.port}" in gateway_service["ports"]
    place = database["environment"]
    for url in (settings.memory.url, settings.server.database):
        assert url is not None
        assert url.endswith(f"://{place['POSTGRES_USER']}@database:5432/{place['POSTGRES_DB']}")
    assert gateway_service["environment"]["PGPASSWORD"] == place["POSTGRES_PASSWORD"]
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = [
        target for job in scraped["scrape_configs"] for part in job["static_configs"] for target in part["targets"]
    ]
    assert targets == [f"127.0.0.1:{settings.server.port}"]
    grace = int(gateway_service["stop_grace_period"].removesuffix("s"))
    assert grace > settings.server.drain_seconds


def test_the_image_runs_a_command_that_there_is_as_a_user_that_is_not_root(stages: list[list[Instruction]]) -> None:
    build, final = stages
    assert one(final, "USER") not in {"", "root", "0"}
    order = [kind for kind, _ in final]
    assert order.index("USER") > max(place for place, kind in enumerate(order) if kind in {"RUN", "COPY"})
    (program,) = json.loads(one(final, "ENTRYPOINT"))
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    verb, *options = json.loads(one(final, "CMD"))
    assert verb in VERBS
    told = CliRunner().invoke(app, [verb, "--help"]).output
    assert all(option in told for option in options if option.startswith("--"))
    assert one(final, "EXPOSE") == str(config.ServerSettings().port)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    name, _, chosen = one(build, "ARG").partition("=")
    assert name == "EXTRAS"
    assert set(chosen.split(",")) <= set(extras)
    for kind, rest in (line for stage in stages for line in stage):
        if kind == "RUN":
            for command in re.split(r"\s*&&\s*", rest):
                known = {"sed", "python", "useradd", "/opt/sale/bin/pip"}
                assert shlex.split(command)[0] in known, command


def test_the_lock_file_becomes_constraints(stages: list[list[Instruction]], tmp_path: Path) -> None:
    if shutil.which("sed") is None:
        pytest.skip("needs sed")
    (command,) = (rest for kind, rest in stages[0] if kind == "RUN")
    made = command.partition(" && ")[0].replace("/tmp/constraints.txt", str(tmp_path / "constraints.txt"))
    assert subprocess.run(made, shell=True, cwd=ROOT, check=False).returncode == 0
    wanted = [Requirement(line) for line in (tmp_path / "constraints.txt").read_text(encoding="utf-8").splitlines()]
    assert len(wanted) > 100
    assert all(len(one.specifier) == 1 and not one.extras and one.url is None for one in wanted)


def test_the_health_check_tells_a_gateway_from_none(stages: list[list[Instruction]], tmp_path: Path) -> None:
    _, _, check = one(stages[1], "HEALTHCHECK").partition("CMD ")
    program, *arguments = json.loads(check)
    assert program == "python"

    def healthy(origin: str) -> bool:
        usual = f"http://127.0.0.1:{config.ServerSettings().port}"
        asked = [argument.replace(usual, origin) for argument in arguments]
        assert any(origin in argument for argument in asked)
        done = subprocess.run([sys.executable, *asked], capture_output=True, timeout=HANG, check=False)
        return done.returncode == 0

    with FaultWall() as wall:
        agents = [{"name": "only", "model": "good", "price": 0.1, "endpoint": wall.base_url, "logprobs": 0}]
        with gateway(tmp_path, agents) as served:
            origin = served.origin
            assert healthy(origin)
    assert not healthy(origin)
