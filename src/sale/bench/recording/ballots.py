"""Ballots on record: their labels are drawn anew for every auction, so on record they stand under fixed ones.

A question that differs from a recorded one in its labels alone is the same question, and its answer is read. On record
plans are A, B, … in the order shown, and a verdict is `correct`, as in records made before labels were drawn.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import cast

from sale.types import Prompt, Reply

VERDICT = "correct"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedCall:
    """A call as it is recorded."""

    prompt: Prompt
    schema: Mapping[str, object] | None
    names: Mapping[str, str]
    """Each label asked with to its fixed one, and back."""

    def exchange_labels(self, reply: Reply) -> Reply:
        """A reply with the labels of one in place of the other's; the texts of its tokens stay."""
        return replace(reply, text=_exchanged(reply.text, self.names)) if self.names else reply


def question_of(prompt: Prompt, schema: Mapping[str, object] | None) -> RecordedCall:
    """The call under fixed labels; an answer without a ballot stays as it is."""
    stage = prompt.template.partition("@")[0]
    if schema is None or stage not in {"judge", "judge_panel", "verify"}:
        return RecordedCall(prompt=prompt, schema=schema, names={})
    labels = list(cast("Mapping[str, object]", schema["properties"]))
    to_fixed = dict(zip(labels, [VERDICT] if stage == "verify" else labels_for(len(labels)), strict=True))
    user = _exchanged(prompt.user, to_fixed)
    for label, name in to_fixed.items():
        user = user.replace(f"<plan {label} ", f"<plan {name} ")
    return RecordedCall(
        prompt=replace(prompt, user=user),
        schema=cast("Mapping[str, object]", json.loads(_exchanged(json.dumps(schema), to_fixed))),
        names={**to_fixed, **{name: label for label, name in to_fixed.items()}},
    )


def labels_for(count: int) -> list[str]:
    """A, B, …; two or more letters, as many for all, where one is not enough."""
    width = 1
    while len(string.ascii_uppercase) ** width < count:
        width += 1
    return ["".join(letters) for letters in islice(product(string.ascii_uppercase, repeat=width), count)]


def _exchanged(text: str, names: Mapping[str, str]) -> str:
    """The text with quoted names replaced."""
    quoted = re.compile("|".join(f'"{re.escape(name)}"' for name in names))
    return quoted.sub(lambda found: f'"{names[found[0][1:-1]]}"', text)
