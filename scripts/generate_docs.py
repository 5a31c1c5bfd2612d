"""Write the generated pages: docs/configuration.md from the settings, docs/cli.md from the commands, docs/errors.md.

`--check` writes nothing and ends with code 1 if a page is out of date.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click
from error_page import errors_page
from pydantic import BaseModel, TypeAdapter

from sale import config
from sale.cli.main import app
from sale.cli.statuses import STATUSES
from sale.types import AuctionRules, Caps, CheckErrors
from sale.types.mcp import McpRules
from sale.types.search import SearchRules
from sale.types.tools import Budget

DOCS = Path(__file__).parent.parent / "docs"

SECTIONS: tuple[tuple[str, type, str], ...] = (
    ("[[agents]]", config.AgentSettings, "One section for each agent of the pool."),
    ("price", config.PriceSettings, "Of an agent: one number for all, or a table."),
    ("budget", Budget, "Of an agent, what one execution may spend: `budget = { dollars = 0.01, calls = 30 }`."),
    (
        "[[jurors]]",
        config.JurorSettings,
        "One section for each juror that answers a question about a bid; [what kinds there are](evidence.md).",
    ),
    (
        'kind = "question"',
        config.QuestionJurorSettings,
        "Of a juror, beside the above.",
    ),
    ('kind = "decision"', config.DecisionJurorSettings, "Of a juror, beside the above."),
    ('kind = "function"', config.FunctionJurorSettings, "Of a juror, beside the above."),
    ("[auction]", AuctionRules, "How auctions are held."),
    (
        "[auction.caps]",
        Caps,
        "Hard limits of one auction. An auction that could exceed one is refused before it starts.",
    ),
    (
        "[auction.check]",
        CheckErrors,
        "How often checks of answers are wrong; [what that changes](checks.md). Feedback moves the shares.",
    ),
    ("[weights]", config.WeightSettings, "In place of the default prior."),
    ("[memory]", config.MemorySettings, "The auction memory."),
    (
        "[tools]",
        config.ToolSettings,
        "The environment of agents that do not work directly; `[agents.tools]` is that of one agent alone.",
    ),
    ("[tools.search]", SearchRules, "Searching and reading pages; [an example of each provider](search.md)."),
    ("[[tools.mcp]]", McpRules, "One table for each MCP server; [what they are for](adapters/mcp.md)."),
    (
        "[[tools.own]]",
        config.OwnToolSettings,
        "One table for each tool of yours or of a package; [write your own](extend.md#a-tool).",
    ),
    ("[verifier]", config.VerifierSettings, "What `sale run` checks answers by where nothing else is given."),
    ("[learning]", config.LearningSettings, "How `sale fit` fits weights; [learning](learning.md)."),
    ("[[bench.routers]]", config.RouterSettings, "One table for each router that `sale bench report` compares too."),
    ("[sandbox]", config.SandboxSettings, "Where code written by models runs."),
    ("[workspace]", config.WorkspaceSettings, "Work in a copy of a repository; [how it goes](workspace.md)."),
    ("[server]", config.ServerSettings, "What `sale serve` does; [the gateway](gateway.md)."),
    ("[server.embeddings]", config.EmbeddingSettings, "An endpoint for `/v1/embeddings`."),
)

DEPENDENT = {"AgentSettings.judge": "`true`; `false` where there is `[[jurors]]`"}
"""Defaults that hang on other tables."""
CONFIGURATION = """# Configuration

`sale.toml` says everything; the first of these that exists is read, and files are not merged: `--config FILE`,
`$SALE_CONFIG`, `./sale.toml`, `sale.toml` in the user's configuration directory, and the file shipped with the package,
which is the embedded pool. `sale init` writes one from what it finds. Unknown keys are refused, with the nearest known
one. Paths in the file are relative to the file, and so is a program named with a slash; the arguments of programs and
the own settings of extensions are passed on as they are. A `./sale.toml` that may have come with a repository is
[not believed at once](#a-saletoml-in-a-repository).

```toml
{shipped}```

{sections}
## A `sale.toml` in a repository

Settings start programs and send your keys to addresses, so those that came with a clone must not be obeyed. A
`./sale.toml` that was found, not named, is passed by if it lies in a work tree of a version control system, in the
directory of `--workspace`, or, put there by another user, in a directory that everybody may write to. One line says
which file was ignored, and what is used instead.

`sale allow` believes it as it is now, and lists what it can do: read the file first. Path and content are noted in your
data directory. If the file changes, by your hand or a pull, commands stop until you allow it again: to go on with other
agents than you have chosen would be worse. `sale allow --revoke` takes it back. `sale init` allows what it writes.

A file that you name with `--config` or `$SALE_CONFIG` is believed, as is the one in your configuration directory, and
one in a folder of yours that is none of the above: there you edit and run as you like. `SIGHUP` has `sale serve` read
the same file again, if it is still believed; else the settings stay as they are.

## Environment

| variable | |
|---|---|
| `SALE_CONFIG` | The `sale.toml` to use |
| `SALE_MEMORY` | The auction memory's file or PostgreSQL URL, unless `memory.path` or `memory.url` says so |
| `SALE_MODELS` | Where weights are kept |
| `SALE_LLAMA_SERVER` | A `llama-server` you have built for this machine: embedded models run faster on it |
| `SALE_ASCII` | Set to anything, the command draws its boards in ASCII; so it does where `TERM=dumb` |
| `NO_COLOR` | Set to anything, the command uses no colours |
| `OTEL_EXPORTER_OTLP_ENDPOINT` | Where the server sends [traces](observability.md); nowhere unless set |
| `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, … | Proxies, never on the way to this machine; SOCKS needs `sale[socks]` |
| `SALE_TRACE_CONTENTS` | Set to anything, traces hold tasks and winning plans |
| whatever `api_key_env` names | That agent's key. Keys are never read from the file, and never logged |

Without them, weights are in the user's cache directory and the memory is in the user's data directory.
"""

COMMANDS = """# Command line

Results go to standard output, progress and errors to standard error; with `--json`, `sale run` and `sale bid` print
the error of an auction that could not be held, and what it cost, to standard output, too.
A file that an option or an argument names is
replaced in one step, once the whole is written; a link is followed, and a pipe or a device is written into. `-` stands
for standard output where something is written, and for standard input where something is read. What is read is UTF-8,
with or without a byte-order mark, with any line ends.

| exit status | |
|---:|---|
{rows}

A command that a signal ends also ends whatever it has started, and what was settled is on record. An answer that is
found wrong (by `--tests`, `--expect`, `--judge`, or what the task brings along) is a result like any other, with status
0; with `--check` the status is then 1. Where the answer is there and only its record could not be kept (a full disk),
the status is that of the answer, and a line says so.
"""


def configuration() -> str:
    """The page, from the settings' own types and docstrings."""
    sections = "\n".join(_section(title, kind, purpose) for title, kind, purpose in SECTIONS)
    return CONFIGURATION.format(shipped=config.shipped_text(), sections=sections)


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
    if (said := DEPENDENT.get(f"{kind.__name__}.{name}")) is not None:
        return said
    if issubclass(kind, BaseModel):
        value = kind.model_fields[name].get_default(call_default_factory=True)
    else:
        field = next(field for field in dataclasses.fields(kind) if field.name == name)
        made = field.default_factory
        value = field.default if made is dataclasses.MISSING else made()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"`{{ {', '.join(f'{key} = {one}' for key, one in dataclasses.asdict(value).items())} }}`"
    value = list(value) if isinstance(value, tuple) else value
    return "none" if value is None or value == {} else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _shape(hint: object) -> str:
    if get_origin(hint) is Annotated:
        return _shape(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(hint))
    if get_origin(hint) in {Union, UnionType}:
        return " or ".join(_shape(part) for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is dict:
        return "table" if get_args(hint)[1] in {str, Any} else f"table of {_shapes(get_args(hint)[1])}"
    if get_origin(hint) is tuple:
        return f"list of {_shapes(get_args(hint)[0])}"
    names: dict[type, str] = {
        int: "whole number",
        float: "number",
        str: "text",
        bool: "true or false",
        Path: "path",
        config.PriceSettings: "table or number",
    }
    return names.get(hint, "table") if isinstance(hint, type) else str(hint)


def _shapes(hint: object) -> str:
    """The shape in the plural: `text or list of texts` are `texts or lists of texts`."""
    if get_origin(hint) is Literal:
        return _shape(hint)
    if get_origin(hint) in {Union, UnionType}:
        return " or ".join(_shapes(part) for part in get_args(hint) if part is not NoneType)
    first, of, rest = _shape(hint).partition(" of ")
    return f"{first}s{of}{rest}"


def command_line() -> str:
    """The page, from the commands' own help."""
    rows = "\n".join(f"| {number} | {meaning} |" for number, meaning in STATUSES.items())
    parts = [COMMANDS.format(rows=rows)]
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


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "cli.md": command_line,
    "errors.md": errors_page,
}


def main() -> int:
    """Write or check the pages."""
    stale: list[str] = []
    for name, made in PAGES.items():
        page, text = DOCS / name, made()
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
