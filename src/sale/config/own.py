"""Tables of `sale.toml` that name an extension and hold its settings: tools, a verifier, routers, an objective."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from sale import extensions
from sale.config.sections import ExtensionSection, Options, Section, gather_options


class OwnToolSettings(ExtensionSection):
    """A tool of your own, or of an installed package."""

    group: ClassVar[extensions.Group] = "tools"

    __hash__ = ExtensionSection.__hash__


class VerifierSettings(ExtensionSection):
    """Says whether an answer is right, where the command line and the task bring nothing to check it by."""

    group: ClassVar[extensions.Group] = "verifiers"

    kind: str
    """`examples`: the examples in the task's own text are run on the answer's code. `model`: a model judges; its
    `agent` is named. Or the kind of an installed package, or `package.module:Name`."""

    __hash__ = ExtensionSection.__hash__


class RouterSettings(ExtensionSection):
    """A router that `sale bench report` compares with the others."""

    group: ClassVar[extensions.Group] = "routers"

    __hash__ = ExtensionSection.__hash__


class BenchSettings(Section):
    """Settings of the bench: the routers that it compares."""

    routers: tuple[RouterSettings, ...] = ()
    """Routers beside those that come with sale; each a table `[[bench.routers]]`."""


class LearningSettings(Section):
    """Settings of `sale fit`, which fits weights."""

    objective: str = "utility"
    """The objective of the weights: `utility`, `margin`, `minmax`, that of an installed package, or
    `package.module:Name`; [how they differ](learning.md)."""
    options: Options = Field(default_factory=dict)
    """The objective's own settings: every other key of the table."""

    @model_validator(mode="before")
    @classmethod
    def _own_keys(cls, value: object) -> object:
        return gather_options(value, cls.model_fields)

    @field_validator("objective")
    @classmethod
    def _known_objective(cls, objective: str) -> str:
        return extensions.check_name("objectives", objective)
