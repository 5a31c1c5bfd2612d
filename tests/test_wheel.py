"""What a user installs: the built wheel has everything of the package in it, and works in an empty environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.hang import HANG

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FIRST = re.compile(r"^```python first\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=HANG, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as a release is, by the project's own backend."""
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Prompts, templates, static files, shipped weights, the marker of types: all that is under version control."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "src/sale", cwd=ROOT)
    if listed.returncode != 0:
        pytest.skip("this is not a work tree of git")
    wanted = {line.removeprefix("src/") for line in listed.stdout.splitlines() if (ROOT / line).is_file()}
    kinds = {Path(name).suffix for name in wanted}
    assert {".py", ".j2", ".css", ".js", ".json", ".npy", ".toml", ".jsonl", ".xz", ".typed"} <= kinds
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        metadata = packed.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    inside = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    assert inside == wanted
    assert f"\nVersion: {PROJECT['version']}\n" in metadata
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    for extra in PROJECT["optional-dependencies"]:
        assert f"Provides-Extra: {extra}\n" in metadata


BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
"""


def of_extras() -> set[str]:
    """Modules of packages that are installed here and that no plain `pip install sale` brings."""
    wanted, plain = [Requirement(line) for line in PROJECT["dependencies"]], set[str]()
    while wanted:
        one = wanted.pop()
        name = canonicalize_name(one.name)
        applies = one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in (*one.extras, ""))
        if name in plain or not applies:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        plain.add(name)
        for line in needs:
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in (*one.extras, "")):
                need.marker = None
                wanted.append(need)
    modules = metadata.packages_distributions()
    return {
        module
        for module, packages in modules.items()
        if module != "sale" and not {canonicalize_name(package) for package in packages} & plain
    }


def test_a_market_needs_no_package_of_an_extra(tmp_path: Path) -> None:
    """The tutorial, and the verbs of the base, with every package hidden that only an extra brings."""
    hidden = of_extras()
    assert {"scipy", "sklearn", "starlette", "onnxruntime"} <= hidden
    assert not {"pydantic", "rich", "openai", "numpy"} & hidden
    head = BLOCKED.replace("BLOCKED:", f"{sorted(hidden)!r}:")
    bodies = FIRST.findall((ROOT / "docs" / "first-auction.md").read_text(encoding="utf-8"))
    verbs = ("run --quiet hello", "doctor --quiet", "memory list", "weights list", "weights jury")
    asked = [
        f"import sys\nsys.argv = ['sale', *{verb.split()!r}]\nfrom sale.cli.main import main\nmain()" for verb in verbs
    ]
    agent = '[[agents]]\nname = "a"\ncommand = ["true"]\nprice = 1.0\nprice_per_task = 0.001\n'
    (tmp_path / "sale.toml").write_text(f'{agent}[memory]\npath = "memory.sqlite3"\n', encoding="utf-8")
    for body in [*bodies, *asked]:
        (tmp_path / "script.py").write_text(head + body, encoding="utf-8")
        done = run(sys.executable, str(tmp_path / "script.py"), cwd=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == 0 or "pip install 'sale[" in done.stderr, done.stderr


@pytest.mark.release
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    assert run(sys.executable, "-m", "venv", str(place), cwd=tmp_path).returncode == 0
    scripts = place / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    reached = run(
        python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path), "click", cwd=tmp_path
    )
    if reached.returncode != 0:
        pytest.skip(f"no package index can be reached: {reached.stderr.strip().splitlines()[-1]}")
    done = run(python, "-m", "pip", "install", "--quiet", str(wheel), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SALE_"))}
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_DATA_HOME": str(tmp_path / "data")}

    def sale(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run(str(scripts / "sale"), *arguments, cwd=tmp_path, env=env)

    assert sale("--version").stdout.strip() == f"sale, version {PROJECT['version']}"
    for number, body in enumerate(FIRST.findall((ROOT / "docs" / "first-auction.md").read_text(encoding="utf-8"))):
        script = tmp_path / f"first{number}.py"
        script.write_text(body, encoding="utf-8")
        done = run(python, "-W", "error", str(script), cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        assert " wins and answers '42'" in done.stdout or "★" in done.stdout
    lacking = sale("run", "Say hello.")
    assert lacking.returncode != 0
    assert "pip install 'sale[local]'" in lacking.stderr
    assert "Traceback" not in lacking.stderr
    for verb in ("serve", "fit", "mcp", "bench"):
        told = sale(verb, "--help")
        assert told.returncode == 0 or "pip install 'sale[" in told.stderr, told.stderr
        assert "Traceback" not in told.stderr
