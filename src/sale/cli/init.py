"""`sale init`: a sale.toml from what this machine has."""

from __future__ import annotations

import json
import urllib.error
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import click

from sale import config
from sale.cli.options import FILE, json_option, output
from sale.cli.streams import tell
from sale.config.proxies import open_url
from sale.errors import InputError
from sale.files.reading import STANDARD
from sale.files.writing import write_text

OLLAMA = "http://127.0.0.1:11434"
ANSWER_SECONDS = 1.0
# What stands for the computing of a model nobody bills for; the embedded pool's rate.
DOLLARS_PER_BILLION = 0.06
MAX_OLLAMA = 4
_HEADING = '# Written by `sale init`. The page "Configuration" of the documentation explains every key.\n\n'
_SMALL_AGENT = """follow_strategy = false  # measured: plans of models this small hurt their work
judge = false            # too small to judge the plans of larger ones"""
_SMALL_RULES = """# As the pool of the small models alone has them, but with room for plans of the others.
[auction]
attempts = 3
judge_seconds = 120

[auction.caps]
seconds = 300
"""
"""Rules of a pool that has the small models among others."""


@dataclass(frozen=True, slots=True)
class HostedModels:
    """Hosted models, offered where their key is in the environment. Prices come from the public list."""

    key: str
    models: tuple[str, ...]
    endpoint: str | None = None
    """An address of the OpenAI protocol; without one the models are reached by the protocol of `provider`."""
    provider: str = ""
    client: str = ""
    """The module that the provider's protocol needs."""
    effort: str | None = None
    """For models that think first: with long thoughts nothing would be left of the few tokens of a bid or a ballot."""

    @property
    def lacks(self) -> str:
        """The command that installs what is missing here; empty where nothing is."""
        try:
            here = not self.client or find_spec(self.client) is not None
        except ModuleNotFoundError:  # a package around it
            here = False
        return "" if here else f"pip install 'sale[{self.provider}]'"

    def table(self, model: str) -> str:
        """The table of one of its models."""
        named = (
            f'endpoint = "{self.endpoint}"\nmodel = "{model}"'
            if self.endpoint
            else f'model = "{self.provider}:{model}"'
        )
        effort = f'\neffort = "{self.effort}"' if self.effort else ""
        return _agent(model, f'{named}\napi_key_env = "{self.key}"', f'execution = "tools"{effort}')


HOSTS = (
    HostedModels(
        "OPENAI_API_KEY", ("gpt-5-nano", "gpt-5-mini", "gpt-5"), "https://api.openai.com/v1", effort="minimal"
    ),
    HostedModels(
        "ANTHROPIC_API_KEY", ("claude-haiku-4-5", "claude-sonnet-4-5"), provider="anthropic", client="anthropic"
    ),
    HostedModels(
        "GEMINI_API_KEY",
        ("gemini-2.5-flash-lite", "gemini-2.5-flash"),
        provider="google",
        client="google.genai",
        effort="none",
    ),
    HostedModels("MISTRAL_API_KEY", ("mistral-small-latest", "mistral-large-latest"), "https://api.mistral.ai/v1"),
    HostedModels("DEEPSEEK_API_KEY", ("deepseek-chat",), "https://api.deepseek.com/v1"),
    HostedModels("GROQ_API_KEY", ("llama-3.1-8b-instant", "llama-3.3-70b-versatile"), "https://api.groq.com/openai/v1"),
    HostedModels(
        "OPENROUTER_API_KEY",
        ("google/gemini-2.5-flash-lite", "anthropic/claude-haiku-4.5", "anthropic/claude-sonnet-4.5"),
        "https://openrouter.ai/api/v1",
    ),
)


@click.command()
@click.option("--output", "target", type=FILE, default=Path(config.FILE))
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--example", is_flag=True, help="A small pool to try: two agents have documents, written beside it.")
@click.option("--ollama", default=OLLAMA, show_default=True, help="Where Ollama would be.")
@json_option
def init(target: Path, ollama: str, *, example: bool, force: bool, as_json: bool) -> None:
    """Write a sale.toml from what this machine has: the local pool, a running Ollama, keys in the environment."""
    if example:
        if target == STANDARD:
            raise InputError("--example writes several files", hint="Give --output a file: the others go beside it.")
        _example(target, force=force, as_json=as_json)
        return
    if target != STANDARD:
        _must_be_new(target, force=force)
    hosted, unused = _hosted()
    for key, command in unused.items():
        tell(f"{key} is set, and not used: {command}, then again with --force")
    found = {"local": _local(), "ollama": _ollama(ollama), "hosted": hosted}
    sections = [section for sections in found.values() for section in sections]
    if not sections:
        raise InputError(
            "there is nothing to make a pool of: no local models, no running Ollama, no API key",
            hint="pip install 'sale[local]' brings three small models that run here.",
        )
    if len(found["local"]) == len(sections):
        text = config.shipped_text()  # nobody else bids: the pool with the rules that were measured to suit it
    else:
        rules = [_SMALL_RULES] if found["local"] else []
        text = _HEADING + "\n".join([*sections, *rules])
    config.parse(text, origin=str(target))
    write_text(target, text)
    if target != STANDARD:
        config.allow(target)  # it is the user's own, even in a repository
    counts = {kind: len(sections) for kind, sections in found.items()}
    if as_json:
        click.echo(json.dumps({"schema": "sale.init/1", "path": str(target), "agents": counts}), err=target == STANDARD)
        return
    what = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    written = "settings written to standard output" if target == STANDARD else f"{target} written"
    output(target).print(f"{written}: {what}. `sale doctor` checks every agent.")


def _must_be_new(target: Path, *, force: bool) -> None:
    if target.exists() and not force:
        raise InputError("the file is there already", where=str(target), hint="--force overwrites it.")


def _example(target: Path, *, force: bool, as_json: bool) -> None:
    """The example pool, its documents beside it."""
    parts = {target if name == config.FILE else target.parent / name: text for name, text in config.example().items()}
    for path in parts:
        _must_be_new(path, force=force)
    for path, text in parts.items():
        write_text(path, text)
    config.allow(target)
    if as_json:
        agents = len(config.load(target).agents)
        counts = {"example": agents}
        click.echo(json.dumps({"schema": "sale.init/1", "path": str(target), "agents": counts}))
        return
    beside = ", ".join(sorted(path.name for path in parts if path != target))
    output(target).print(
        f"{target} written, and {beside} beside it. "
        'Try: sale run "On which port does the billing service listen?" --expect 7431'
    )


def _local() -> list[str]:
    """The agents of the shipped file, where the engine is installed."""
    if find_spec("xllamacpp") is None:
        return []
    return [
        _agent(
            agent.name,
            f'local = "{agent.local}"',
            f"price = {agent.price.input:g}\nanswer_tokens = {agent.answer_tokens}\n{_SMALL_AGENT}",
        )
        for agent in config.parse(config.shipped_text()).agents
        if agent.price is not None
    ]


def _ollama(base: str) -> list[str]:
    """The models of a running Ollama, smallest first; priced by their size, which the comment says."""
    try:
        with open_url(f"{base}/api/tags", seconds=ANSWER_SECONDS) as answer:
            found: object = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return []
    models = cast("dict[str, object]", found).get("models") if isinstance(found, dict) else None
    sized = sorted((size, name) for name, size in map(_sized, cast("list[object]", models or [])) if name)
    return [
        _agent(
            f"ollama-{name.replace(':latest', '')}",
            f'endpoint = "{base}/v1"\nmodel = "{name}"',
            f"price = {size * DOLLARS_PER_BILLION:.3g}  # {DOLLARS_PER_BILLION:g} dollars a billion parameters",
        )
        for size, name in sized[:MAX_OLLAMA]
    ]


def _sized(model: object) -> tuple[str, float]:
    """Name and billions of parameters; an empty name where either is not told."""
    fields = cast("dict[str, object]", model) if isinstance(model, dict) else {}
    details = fields.get("details")
    size = str(cast("dict[str, object]", details).get("parameter_size", "")) if isinstance(details, dict) else ""
    units = {"K": 1e-6, "M": 1e-3, "B": 1.0, "T": 1e3}
    try:
        return str(fields["name"]), float(size[:-1]) * units[size[-1:].upper()]
    except (KeyError, ValueError):
        return "", 0.0


def _hosted() -> tuple[list[str], dict[str, str]]:
    """The tables of hosted models whose key is set, and the keys that lack a client, each with what installs it."""
    there = [host for host in HOSTS if config.is_set(host.key)]
    tables = [host.table(model) for host in there if not host.lacks for model in host.models]
    return tables, {host.key: host.lacks for host in there if host.lacks}


def _agent(name: str, reach: str, rest: str) -> str:
    return f'[[agents]]\nname = "{name}"\n{reach}\n{rest}\n'
