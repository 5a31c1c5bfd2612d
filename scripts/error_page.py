"""The page of errors, from the tree in `sale.errors`: what each code means, and what to do about it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping

from sale import errors
from sale.errors import ConfigError, InputError, SaleError

PAGE = """# Errors

Every error that `sale` raises on purpose says what was wrong, where, and what to do. Its `code` is stable: it stands in
records, in the JSON of the gateway, and in this list. An error that is not in this list is a fault of `sale`.

On the command line an error is one line on standard error, with the exit status below. In Python it is an exception of
`sale.errors`, with `message`, `where`, `hint`, `code` and `retryable`; all of them are a `SaleError`. What "may be
tried again" may succeed without a change of yours.

```text
{tree}
```

{sections}"""
SECTION = """## `{code}`

`{name}`{retry}; exit status {status}. {meaning}

**What to do.** {cure}
"""
CURES: Mapping[str, str] = {
    "sale": "Read the message: it says where it happened. This code is used where none of the others fits.",
    "config": (
        "Correct the key of `sale.toml` that the message names; [configuration](configuration.md) lists all of them. "
        "`sale doctor` then checks every agent."
    ),
    "config.unpriced": "Give the agent a `price`, in dollars per million tokens. 0 is a price: say so if it is free.",
    "config.missing_extra": "Install what the message names, for instance `pip install 'sale[server]'`.",
    "input": "Correct the argument, the file or the line that the message names.",
    "input.requirement": (
        "Ask for fewer labels, or give an agent the ones that are asked for: [requirements](gateway.md#requirements)."
    ),
    "call": "`sale doctor` calls every agent once and shows what comes back.",
    "call.unreachable": (
        "Check `endpoint` of the agent, and whether the server runs. Behind a proxy, see "
        "[the environment](configuration.md#environment)."
    ),
    "call.timeout": (
        "Give the stage more time (`bid_seconds`, `judge_seconds` of `[auction]`, `seconds` of the agent), or "
        "take a faster model."
    ),
    "call.rate_limited": "Wait, ask the provider for a higher limit, or let fewer agents share the key.",
    "call.server": "Wait and try again. If it lasts, look at the status page or the log of the endpoint.",
    "call.rejected": (
        "Check the key in the variable that `api_key_env` names, the name of the model, and whether the task fits its "
        "context."
    ),
    "call.bad_reply": (
        "The model answered with something else than it was asked for. Small models do now and then; one that always "
        "does suits another part, for instance `judge = false`."
    ),
    "call.budget": "Raise the budget of the execution, or ask for less. What was found so far is on record.",
    "call.not_ready": "`sale models pull` fetches weights again; `sale models list` shows what is here.",
    "auction": "Read the message: it names the stage.",
    "auction.cap": (
        "Use fewer agents, the panel jury, a `shortlist` or a shorter task, or raise the cap under `[auction.caps]`."
    ),
    "auction.no_bids": "`sale doctor` asks every agent for a plan. The message says why each one dropped out.",
    "execution": "Read the message; the trace of the work is shown by `sale memory show`.",
    "execution.sandbox": (
        "Install `bubblewrap`, which runs code of models apart from your files. See [security](security.md)."
    ),
    "execution.fetch": "It costs one call of the agent, not the task. Check the network if it happens each time.",
    "execution.fetch.forbidden": (
        "Agents read the public web only. Allow an address of your own network with `allow` under "
        "[`[tools.search]`](search.md)."
    ),
    "model_file": "Read the message; `sale models path` shows where weights are kept.",
    "model_file.digest": (
        "Fetch it again with `sale models pull`. A file given by `--from` must be the very one of the list."
    ),
    "model_file.disk_full": "Make room, remove weights with `sale models rm`, or keep them elsewhere: `SALE_MODELS`.",
    "model_file.sources": (
        "Check the network, then `sale models pull`: it goes on where it stopped. Or give a file: `--from`."
    ),
    "access": "Ask whoever runs the server.",
    "access.authentication": (
        "Send a valid key as `Authorization: Bearer …`; `sale keys create` makes one. See [keys](keys.md)."
    ),
    "access.rate_limit": "Wait for the seconds that `Retry-After` says, or raise the limits of the key.",
    "access.budget": "Wait for the next period, or raise the budget of the key: [keys](keys.md).",
    "output": "Check the path, its permissions and the room on the disk. Results that were paid for are on record.",
    "store": (
        "Check the file or the database that the message names: permissions, room, a server that runs. See "
        "[memory on PostgreSQL](memory-postgres.md)."
    ),
}
"""What to do, by code; an error without an entry fails the making of the page."""


def errors_page() -> str:
    """The page, in the order of the tree."""
    tree = inspect.cleandoc(inspect.getdoc(errors) or "").split("\n\n")[1]
    return PAGE.format(tree=inspect.cleandoc(tree), sections="\n".join(map(_section, error_classes())))


def error_classes() -> Iterator[type[SaleError]]:
    """Every class of the tree, the root first."""
    for one in vars(errors).values():
        if isinstance(one, type) and issubclass(one, SaleError) and one.__module__ == errors.__name__:
            yield one


def _section(kind: type[SaleError]) -> str:
    meaning = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    return SECTION.format(
        code=kind.code,
        name=kind.__name__,
        retry=", may be tried again" if kind.retryable else "",
        status=2 if issubclass(kind, ConfigError | InputError) else 1,
        meaning=meaning,
        cure=CURES[kind.code],
    )
