"""A verifier: an answer has to hold what the settings ask for.

[verifier]
kind = "polite"
words = ["please"]
"""

from __future__ import annotations

from dataclasses import dataclass

from sale import Outcome, Task


@dataclass(frozen=True)
class Polite:
    """Success where every word is in the answer."""

    words: list[str]
    """A setting of its own."""

    async def verify(self, task: Task, answer: str) -> Outcome:
        """Look for the words."""
        missing = [word for word in self.words if word.lower() not in answer.lower()]
        detail = f"it lacks {', '.join(missing)}" if missing else ""
        return Outcome(verdict="failure" if missing else "success", judged_by="polite", detail=detail)
