"""Write the generated pages: docs/configuration.md from the settings, docs/cli.md from the commands.

`--check` writes nothing and ends with code 1 if a page is out of date.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import click
from pydantic import BaseModel, TypeAdapter

from sale import config
from sale.cli.main import app
from sale.types import AuctionRules, Caps
from sale.types.mcp import McpRules
from sale.types.search import SearchRules
from sale.types.tools import Budget

DOCS = Path(__file__).parent.parent / "docs"

SECTIONS: tuple[tuple[str, type, str], ...] = (
    ("[[agents]]", config.AgentSettings, "One section for each agent of the pool."),
    ("price", config.PriceSettings, "Of an agent: one number for all, or a table."),
    ("budget", Budget, "Of an agent, what one execution may spend: `budget = { dollars = 0.01, calls = 30 }`."),
    ("[auction]", AuctionRules, "How auctions are held."),
    (
        "[auction.caps]",
        Caps,
        "Hard limits of one auction. An auction that could exceed one is refused before it starts.",
    ),
    ("[weights]", config.WeightSettings, "In place of the default prior."),
    ("[memory]", config.MemorySettings, "The auction memory."),
    ("[tools]", config.ToolSettings, "The environment of agents that do not work directly."),
    ("[tools.search]", SearchRules, "Searching and reading pages; [an example of each provider](search.md)."),
    ("[[tools.mcp]]", McpRules, "One table for each MCP server; [what they are for](adapters/mcp.md)."),
    ("[sandbox]", config.SandboxSettings, "Where code written by models runs."),
    ("[workspace]", config.WorkspaceSettings, "Work in a copy of a repository; [how it goes](workspace.md)."),
    ("[server]", config.ServerSettings, "What `sale serve` does; [the gateway](gateway.md)."),
    ("[server.embeddings]", config.EmbeddingSettings, "An endpoint for `/v1/embeddings`."),
)

CONFIGURATION = """# Configuration

`sale.toml` says everything; the first of these that exists is read, and files are not merged: `--config FILE`,
`$SALE_CONFIG`, `./sale.toml`, `sale.toml` in the user's configuration directory, and the file shipped with the package,
which is the embedded pool. `sale init` writes one from what it finds. Unknown keys are refused, with the nearest known
one. Paths in the file are relative to the file.

```toml
{shipped}```

{sections}
## Environment

| variable | |
|---|---|
| `SALE_CONFIG` | The `sale.toml` to use |
| `SALE_MEMORY` | The auction memory's file or PostgreSQL URL, unless `memory.path` or `memory.url` says so |
| `SALE_MODELS` | Where weights are kept |
| `SALE_LLAMA_SERVER` | A `llama-server` you have built for this machine: embedded models run faster on it |
| `OTEL_EXPORTER_OTLP_ENDPOINT` | Where the server sends [traces](observability.md); nowhere unless set |
| `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, … | Proxies, never on the way to this machine; SOCKS needs `sale[socks]` |
| `SALE_TRACE_CONTENTS` | Set to anything, traces hold tasks and winning plans |
| whatever `api_key_env` names | That agent's key. Keys are never read from the file, and never logged |

Without them, weights are in the user's cache directory and the memory is in the user's data directory.
"""


def configuration() -> str:
    """The page, from the settings' own types and docstrings."""
    sections = "\n".join(_section(title, kind, purpose) for title, kind, purpose in SECTIONS)
    return CONFIGURATION.format(shipped=config.shipped(), sections=sections)


def _section(title: str, kind: type, purpose: str) -> str:
    rows = "\n".join(f"| `{name}` | {shape} | {default} | {text} |" for name, shape, default, text in _keys(kind))
    return f"## `{title}`\n\n{purpose}\n\n| key | value | default | |\n|---|---|---|---|\n{rows}\n"


def _keys(kind: type) -> Iterator[tuple[str, str, str, str]]:
    hints = get_type_hints(kind)
    schema = TypeAdapter(kind).json_schema()
    required = schema.get("required", [])
    for name, described in schema["properties"].items():
        if name == "caps":
            continue
        default = "required" if name in required else _default(kind, name)
        text = " ".join(str(described.get("description", "")).split())
        yield name, _shape(hints[name]), default, text


def _default(kind: type, name: str) -> str:
    if issubclass(kind, BaseModel):
        value = kind.model_fields[name].default
    else:
        value = next(field.default for field in dataclasses.fields(kind) if field.name == name)
    value = list(value) if isinstance(value, tuple) else value
    return "none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _shape(hint: object) -> str:
    if get_origin(hint) is Annotated:
        return _shape(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(hint))
    if get_origin(hint) in {Union, UnionType}:
        return " or ".join(_shape(part) for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is dict:
        return "table of numbers"
    if get_origin(hint) is tuple:
        return f"list of {_shape(get_args(hint)[0])}s"
    if dataclasses.is_dataclass(hint):
        return "table"
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
    return names.get(hint, "table or number") if isinstance(hint, type) else str(hint)


def command_line() -> str:
    """The page, from the commands' own help."""
    parts = [
        "# Command line\n\nResults go to standard output, progress and errors to standard error. Exit codes: 0 done;"
        " 1 the work could not be done;\n2 a mistake in the command, the settings or the input; 130 interrupted.\n"
    ]
    parts += [f"## `{path}`\n\n```text\n{text}\n```\n" for path, text in _helps(app, "sale", None)]
    return "\n".join(parts)


def _helps(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=path.rsplit(" ", maxsplit=1)[-1], parent=parent, max_content_width=100)
    context.help_option_names = ["-h", "--help"]
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _helps(found, f"{path} {name}", context)


def main() -> int:
    """Write or check the pages."""
    stale: list[str] = []
    for name, text in (("configuration.md", configuration()), ("cli.md", command_line())):
        page = DOCS / name
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            page.write_text(text, encoding="utf-8")
    if stale:
        sys.stdout.write(f"{'out of date' if '--check' in sys.argv else 'written'}: {', '.join(stale)}\n")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
