"""The offline corpus as a tool of recorded executions: what it shows for a query is part of the record."""

from __future__ import annotations

from dataclasses import dataclass

from sale.agents.tools.corpus import PASSAGES, Corpus, Passage, open_corpus, read_passages
from sale.agents.tools.python import clip
from sale.types import ToolInfo

__all__ = ["Corpus", "CorpusSearch", "Passage", "open_corpus", "read_passages"]

PASSAGE_CHARACTERS = 600
"""Characters of a passage that an agent is shown: small models have small contexts."""


@dataclass(frozen=True, slots=True)
class CorpusSearch:
    """The corpus as an agent's tool: a query in, passages with their titles out."""

    corpus: Corpus
    passages: int = PASSAGES

    @property
    def info(self) -> ToolInfo:
        """Name and description, as bidders and workers see it."""
        return ToolInfo(
            name="search",
            description=(
                f"look up an encyclopedia; the input is a short query, the result its {self.passages} best passages. "
                "Search before you answer, for one thing at a time."
            ),
        )

    async def run(self, query: str) -> str:
        """Search the corpus.

        Args:
            query: What to look for.
        """
        found = await self.corpus.search(query, self.passages)
        if not found:
            return "nothing was found; try other words"
        return "\n".join(f"[{passage.title}] {clip(passage.text, PASSAGE_CHARACTERS)}" for passage in found)
