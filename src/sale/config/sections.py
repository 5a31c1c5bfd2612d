"""The base of all sections of `sale.toml`: strict, frozen, unknown keys refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Strict: TOML has types of its own, so `true` or `"5"` where a number belongs is a mistake.
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Weight = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Positive = Annotated[int, Field(gt=0, strict=True)]


class Section(BaseModel):
    """A table of `sale.toml`."""

    # Inputs stay out of Pydantic's own messages: a key written in the wrong place must not end up in a traceback.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)
