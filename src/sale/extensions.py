"""Extensions of the market: agents, tools, jurors, objectives, routers, search providers, verifiers and models.

A setting names an extension in one of three ways: the name of one that comes with sale (`BUILT_IN`), the name of an
entry point that an installed package declares in the group `sale.<group>`, or a dotted path, `package.module:Name`. All
three are looked up by the same functions. What comes with sale is a table of paths and not a set of entry points of
sale's own, so that a name in it costs no search through every installed package; a package cannot take such a name.

Settings are checked by names alone: reading a `sale.toml` imports nothing. An extension is imported when it is made.

An extension is a class or a function. It is called with keyword arguments: those that sale gives, where its signature
names them, and the other keys of its table in `sale.toml`, checked against the annotations of the signature. Where the
signature has a parameter `settings` annotated with a Pydantic model, that model is given all of them instead.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from importlib import import_module, metadata
from typing import Annotated, Any, Literal, TypeVar, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from sale.errors import ConfigError, SaleError
from sale.wording import FAULT_WORDS

T = TypeVar("T")
Group = Literal["agents", "tools", "jurors", "objectives", "routers", "providers", "verifiers", "models"]

NOUNS: Mapping[Group, str] = {
    "agents": "kind of agent",
    "tools": "kind of tool",
    "jurors": "kind of juror",
    "objectives": "objective",
    "routers": "router",
    "providers": "search provider",
    "verifiers": "kind of verifier",
    "models": "provider of models",
}
"""The noun for one extension of each group, as errors show it."""
PYDANTIC_AI = (
    *("alibaba", "anthropic", "azure", "azure-responses", "bedrock", "cerebras", "cohere", "deepseek", "fireworks"),
    *("github", "google", "google-cloud", "groq", "heroku", "huggingface", "litellm", "meta", "mistral"),
    *("moonshotai", "nebius", "ollama", "openai", "openai-chat", "openai-responses", "openrouter", "ovhcloud"),
    *("sambanova", "snowflake", "together", "vercel", "vllm", "xai", "zai"),
)
"""Providers of models that are reached through Pydantic AI, as they are called there."""
BUILT_IN: Mapping[Group, Mapping[str, str]] = {
    "agents": {},
    "tools": {},
    "jurors": {
        "question": "sale.agents.jury_seats:model_juror",
        "match": "sale.agents.jury_seats:match_juror",
        "decision": "sale.agents.jury_seats:decision_juror",
        "function": "sale.agents.jury_seats:function_juror",
    },
    "objectives": {
        "utility": "sale.learning.utility:Utility",
        "margin": "sale.learning.margin:Margin",
        "minmax": "sale.learning.minmax:MinMax",
    },
    "routers": {
        "best-single": "sale.bench.routers.fixed:BestSingle",
        "wtp-knn": "sale.bench.routers.baselines:wtp_knn",
        "wtp-mlp": "sale.bench.routers.baselines:wtp_mlp",
        "carrot-knn": "sale.bench.routers.baselines:carrot_knn",
        "carrot-text": "sale.bench.routers.baselines:carrot_text",
        "to-router-knn": "sale.bench.routers.baselines:to_router_knn",
        "to-router-mlp": "sale.bench.routers.baselines:to_router_mlp",
        "frugalgpt": "sale.bench.routers.baselines:frugalgpt",
        "evoroute": "sale.bench.routers.baselines:evoroute",
        "oi-mas": "sale.bench.routers.baselines:oi_mas",
        "strmac": "sale.bench.routers.baselines:strmac",
    },
    "providers": {
        "searxng": "sale.agents.tools.web.providers:SearXNG",
        "brave": "sale.agents.tools.web.toolset:brave",
        "tavily": "sale.agents.tools.web.toolset:tavily",
        "duckduckgo": "sale.agents.tools.web.toolset:duckduckgo",
        "corpus": "sale.agents.tools.web.toolset:passages",
    },
    "verifiers": {
        "examples": "sale.agents.own_tools:examples_verifier",
        "model": "sale.agents.own_tools:model_verifier",
    },
    "models": dict.fromkeys(PYDANTIC_AI, "sale.models.native:native_model"),
}
"""The path of each extension that comes with sale, by group and name."""
PATH = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"
"""`package.module:name`."""
ADDRESS = "^https?://"
"""The pattern of an endpoint's address."""
FORMS = {f"^{PATH}$": "must be package.module:name", ADDRESS: "must begin with http:// or https://"}
"""The demands of the settings' patterns, in words."""
FEW_KEYS = 12
"""As many keys as are all named where an unknown one is like none of them."""
LIKENESS = 0.63
"""The likeness of an unknown key to a known one, of 1, from which on that one was meant."""
FUNCTIONS: Mapping[Group, str] = {
    "jurors": 'For a function that answers by itself write kind = "function" and function = "{name}".',
    "agents": 'For a function that does the work by itself write function = "{name}" in place of kind.',
}
"""The hint where a function is named in place of a maker of extensions, by group."""
FREE_FORM = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


def is_path(name: str) -> bool:
    """Return True where a name is the dotted path of an extension."""
    return re.fullmatch(PATH, name) is not None


def names(group: Group) -> list[str]:
    """The names a setting may use, beside dotted paths: what comes with sale first, then what packages declare."""
    return [*BUILT_IN[group], *sorted({point.name for point in _points(group)} - set(BUILT_IN[group]))]


def check_name(group: Group, name: str) -> str:
    """Return the name of an extension that is there, or a dotted path, which is not followed yet.

    Raises:
        ValueError: There is no extension of this name.
    """
    if name in BUILT_IN[group] or is_path(name):
        return name
    known = names(group)
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    there = f"there are {', '.join(known)}" if known else "none is installed"
    raise ValueError(f"unknown {NOUNS[group]} {name!r}: {there}, or package.module:Name{advice}")


def load(group: Group, name: str, *, where: str) -> object:
    """Import an extension.

    Args:
        group: Its group.
        name: Its name, or a dotted path.
        where: The part of the settings that names it, for the error.

    Raises:
        ConfigError: There is none of this name, two packages declare it, or it cannot be imported.
    """
    try:
        check_name(group, name)
    except ValueError as error:
        raise ConfigError(str(error), where=where, hint=_install_hint(group)) from None
    if name in BUILT_IN[group]:
        return import_path(BUILT_IN[group][name], where=where)
    if is_path(name):
        return import_path(name, where=where)
    found = [point for point in _points(group) if point.name == name]
    packages = sorted({_package(point) for point in found})
    if len(packages) > 1:
        raise ConfigError(
            f"several packages have a {NOUNS[group]} {name!r}: {', '.join(packages)}",
            where=where,
            hint="Uninstall all but one, or give the dotted path of the one you mean.",
        )
    return import_path(found[0].value, where=where, package=packages[0])


def import_path(path: str, *, where: str, package: str = "") -> object:
    """Return what `package.module:name` names.

    Args:
        path: The name of the module, a colon, and the name of something in it.
        where: The part of the settings it is for, for the error.
        package: The installed package that declares it, for the error.

    Raises:
        ConfigError: It is not there, or its module cannot be imported.
    """
    module, _, name = path.partition(":")
    owner = f" of the package {package}" if package else ""
    remedy = f"Reinstall or update {package}." if package else ""
    try:
        found: object = import_module(module)
    except ImportError as error:
        hint = remedy or "Is its package installed, or its directory on PYTHONPATH?"
        raise ConfigError(f"{module!r}{owner} cannot be imported: {error}", where=where, hint=hint) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{module!r}{owner} fails when it is imported: {_said(error)}", where=where, hint=remedy
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=1)
            hint = remedy or (f"Did you mean {near[0]!r}?" if near else "package.module:name is the form.")
            raise ConfigError(f"there is no {name!r} in {module!r}{owner}", where=where, hint=hint)
        found = getattr(found, part)
    return found


def make(
    group: Group,
    name: str,
    shape: type[T],
    *,
    given: Mapping[str, object],
    options: Mapping[str, object],
    where: str,
    common: Collection[str] = (),
) -> T:
    """Make an extension that settings name.

    Args:
        group: Its group.
        name: Its name, or a dotted path.
        shape: The protocol it must have.
        given: Arguments from sale, by name; each is passed where the signature has it.
        options: The keys of its own in the settings.
        where: The part of the settings that names it, for the error.
        common: Other keys of its table, one of which may have been meant where a key is unknown.

    Raises:
        ConfigError: It cannot be imported or made, is told what it does not take, or lacks what its group needs.
    """
    found = load(group, name, where=where)
    what = f"the {NOUNS[group]} {name!r}{_origin(group, name)}"
    lacking = _lacking(found, shape)
    if isinstance(found, type) or lacking:
        if not callable(found):
            raise ConfigError(f"{what} lacks {', '.join(lacking)}", where=where, hint="Name a class or a function.")
        hint = FUNCTIONS.get(group, "").format(name=name) if inspect.isfunction(found) and is_path(name) else ""
        factory = cast("Callable[..., object]", found)
        found = _called(factory, given, options, common, what=what, where=where, hint=hint)
        lacking = _lacking(found, shape)
    elif options:
        raise ConfigError(f"{what} is ready made and takes no {', '.join(sorted(options))}", where=where)
    if lacking:
        raise ConfigError(
            f"{what} makes a {type(found).__name__}, which lacks {', '.join(lacking)}",
            where=where,
            hint=f"docs/extend.md says what a {NOUNS[group]} needs.",
        )
    return cast("T", found)


def check_options(model: type[BaseModel], options: Mapping[str, object], whose: str, common: Collection[str]) -> None:
    """Check the own settings of an extension before it is made.

    Args:
        model: What they must be.
        options: What was given.
        whose: "a juror of kind 'match'", for the error.
        common: Keys that every extension of the group has, for advice on misspelt ones.

    Raises:
        ValueError: Something is missing, unknown or wrong; every fault is named.
    """
    try:
        model.model_validate(options)
    except ValidationError as error:
        raise ValueError(option_faults(error, whose, (*model.model_fields, *common))) from None


def option_faults(error: ValidationError, whose: str, keys: Collection[str]) -> str:
    """Every fault of an extension's own settings, in a line."""
    faults = error.errors()
    missing = [str(one["loc"][0]) for one in faults if one["type"] == "missing" and len(one["loc"]) == 1]
    said = [f"{whose} needs {', '.join(sorted(missing))}"] if missing else []
    for one in faults:
        key = str(one["loc"][0]) if len(one["loc"]) == 1 else ""
        if key in missing:
            continue
        known = key in keys or not difflib.get_close_matches(key, keys, n=1)
        if one["type"] == "extra_forbidden" and key and known:
            said.append(f"{key} cannot be said of {whose}")
        else:
            said.append(fault_text(one, keys))
    return "; ".join(dict.fromkeys(said))


def fault_text(fault: ErrorDetails, keys: Collection[str], whole: str = "the file") -> str:
    """One fault as `agents.1.prize: unknown key; did you mean 'price'?`.

    Args:
        fault: As Pydantic found it.
        keys: Known keys, one of which may have been meant.
        whole: The words for what is checked, where the fault is in all of it.
    """
    steps = [str(part + 1) if isinstance(part, int) else part for part in fault["loc"]]
    where = ".".join(steps) or whole
    if fault["type"] not in {"extra_forbidden", "unexpected_keyword_argument"}:
        if any(step.endswith("_env") for step in steps):  # most likely the key itself, which must not end up in a log
            return f"{where}: must be the name of an environment variable, not the key"
        if fault["type"] == "missing":
            return f"{where} is missing"
        message = FAULT_WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        if fault["type"] == "string_pattern_mismatch":
            message = FORMS.get(fault.get("ctx", {}).get("pattern", ""), message)
        value: object = fault["input"]
        plain = isinstance(value, str | int | float | bool) and repr(value) not in message
        shown = f" (got {value!r})" if plain else ""
        return f"{where}: {message}{shown}"
    key = steps[-1] if steps else ""
    if key in {"api_key", "key", "token"}:
        return f"{where}: keys are never in the file; name the environment variable in api_key_env"
    near = difflib.get_close_matches(key, keys, n=1, cutoff=LIKENESS)
    there = f"; there are {', '.join(keys)}" if len(keys) <= FEW_KEYS else ""
    return f"{where}: unknown key{f'; did you mean {near[0]!r}?' if near else there}"


def _called(
    factory: Callable[..., object],
    given: Mapping[str, object],
    options: Mapping[str, object],
    common: Collection[str],
    *,
    what: str,
    where: str,
    hint: str,
) -> object:
    try:
        arguments = _arguments(factory, given, options)
        return factory(**arguments)
    except ValidationError as error:
        keys = (*common, *inspect.signature(factory).parameters)
        raise ConfigError(option_faults(error, what, keys), where=where, hint=hint) from None
    except SaleError as error:
        if isinstance(error, ConfigError) and not error.where:
            error.where = where
        raise
    except Exception as error:
        raise ConfigError(f"{what} cannot be made: {_said(error)}", where=where) from error


def _arguments(
    factory: Callable[..., object], given: Mapping[str, object], options: Mapping[str, object]
) -> dict[str, object]:
    """The arguments of a call: what sale gives and the signature names, and the settings, checked."""
    parameters = inspect.signature(factory).parameters
    try:
        hints = get_type_hints(factory.__init__ if isinstance(factory, type) else factory)
    except NameError as error:
        raise ConfigError(f"its signature cannot be read: {error}", hint="Import it outside TYPE_CHECKING.") from error
    arguments = {name: value for name, value in given.items() if name in parameters}
    model = hints.get("settings")
    if "settings" in parameters and isinstance(model, type) and issubclass(model, BaseModel):
        return arguments | {"settings": model.model_validate(options)}
    fields: dict[str, Any] = {}
    open_ended = False
    for name, one in parameters.items():
        open_ended = open_ended or one.kind is inspect.Parameter.VAR_KEYWORD
        if name in arguments or one.kind in {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}:
            continue
        default = ... if one.default is inspect.Parameter.empty else one.default
        kind = hints.get(name, Any)
        # TOML has types of its own, so `true` or `"5"` where a number belongs is a mistake.
        fields[name] = (Annotated[kind, Field(strict=True)] if kind in (bool, int, float, str) else kind, default)
    config = ConfigDict(FREE_FORM, extra="allow") if open_ended else FREE_FORM
    checked = create_model("options", __config__=config, **fields).model_validate(options)
    return arguments | {name: getattr(checked, name) for name in checked.model_fields_set}


def _lacking(found: object, shape: type) -> list[str]:
    """The members of a protocol that something has not; the base class, where it is none."""
    if not getattr(shape, "_is_protocol", False):
        return [] if isinstance(found, shape) else [f"the base class {shape.__module__}.{shape.__name__}"]
    wanted = {
        name for base in shape.__mro__[:-1] for name in vars(base) if not name.startswith("_") and base is not object
    }
    return sorted(name for name in wanted if not hasattr(found, name))


def _points(group: Group) -> metadata.EntryPoints:
    return metadata.entry_points(group=f"sale.{group}")


def _package(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


def _origin(group: Group, name: str) -> str:
    """` of the package x 1.0`, where an installed package declares the name."""
    if name in BUILT_IN[group] or is_path(name):
        return ""
    found = [point for point in _points(group) if point.name == name]
    return f" of the package {_package(found[0])}" if found else ""


def _install_hint(group: Group) -> str:
    return f"Packages declare their own as entry points of the group sale.{group}; is it installed?"


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
