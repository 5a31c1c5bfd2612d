"""Rendering prompt files: strict variables, untrusted text made harmless, a digest for the record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache, cached_property, lru_cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from jinja2.meta import find_referenced_templates

from sale.auction.text import REMEMBERED, without_answers, without_scores, without_verdicts
from sale.types import Prompt

_INCLUDE = re.compile(r'^\{% include "([^"]+)" %\}\n?', re.MULTILINE)
_MARK = re.compile(r"<(\s*+(?:/\s*+)?(?:task|plan|answer|reference|result|found|source))\b", re.IGNORECASE)


@lru_cache(REMEMBERED)
def neutralise(text: str) -> str:
    """Break anything in untrusted text that looks like one of our marks. The text never gets longer."""
    return _MARK.sub(r"(\1", text.strip())


class PromptFolder:
    """The prompt files of one package: `system.md.j2`, and one `<name>.md.j2` for each prompt."""

    def __init__(self, package: str) -> None:
        """Nothing is read yet.

        Args:
            package: The package that holds the files, `sale.auction.prompts`.
        """
        self._files = files(package)
        self._environment = Environment(
            loader=FunctionLoader(self._whole),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,  # the digest is taken once, so the text must stay what it was
            autoescape=False,  # noqa: S701  plain text for a model, not HTML
        )
        self._environment.filters |= {
            "harmless": neutralise,
            "without_answers": without_answers,
            "without_scores": without_scores,
            "without_verdicts": without_verdicts,
        }
        self._labels: dict[str, str] = {}

    def render(self, name: str, values: Mapping[str, object]) -> Prompt:
        """Render a prompt; a variable the template names and `values` lacks is a `jinja2.UndefinedError`."""
        return Prompt(
            system=self._system,
            user=self._environment.get_template(f"{name}.md.j2").render(values).strip(),
            template=self._label(name),
        )

    def text(self, name: str, values: Mapping[str, object]) -> str:
        """A file of the folder as plain text, where no prompt with a system text is made of it."""
        return self._environment.get_template(f"{name}.md.j2").render(values).strip()

    def _whole(self, file: str) -> str:
        """The source of a template, what it includes put in its place: to render part by part takes longer."""
        source = self._files.joinpath(file).read_text(encoding="utf-8")
        return _INCLUDE.sub(lambda found: self._whole(found[1]), source)

    @cached_property
    def _system(self) -> str:
        return self._environment.get_template("system.md.j2").render().strip()

    def _label(self, name: str) -> str:
        """`name@digest`, over the template, what it includes, and the system text."""
        if name not in self._labels:
            text = "\0".join([*self._sources(f"{name}.md.j2"), *self._sources("system.md.j2")])
            self._labels[name] = f"{name}@{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        return self._labels[name]

    def _sources(self, file: str) -> list[str]:
        """The source of a template and of all it includes, depth first."""
        source = self._files.joinpath(file).read_text(encoding="utf-8")
        included = sorted(part for part in find_referenced_templates(self._environment.parse(source)) if part)
        return [source, *(text for part in included for text in self._sources(part))]


@cache
def load_folder(package: str) -> PromptFolder:
    """The folder of a package, read once."""
    return PromptFolder(package)
