"""One sentence in plain English for each kind of table, for readers who have not read the paper."""

from __future__ import annotations

from collections.abc import Mapping

from sale.bench.report.report_table import ReportTable

SENTENCES: Mapping[str, str] = {
    "record": "How many tasks of each source have been run, and are counted below.",
    "main": (
        "Each row is a way to choose who does a task. pass@1: share of tasks solved at the first attempt; $/task and "
        "$/Mt: what a task and a million tokens cost, in all; largest agent: share of tasks it was given; auction: "
        "share of the money spent on choosing; oracle gap closed: 0 is the best agent alone, 100 a choice that is "
        "always right. After each figure its 95 % interval; p below 0.05: the difference from the best agent alone is "
        "unlikely to be chance."
    ),
    "plans": "Does an agent solve more when it works by the plan it wrote for its bid?",
    "bins": "Share of tasks solved, by how long a person takes for them: the longer, the harder.",
    "workload": "Which share of the tasks each agent was given, by how long a person takes for them.",
    "escalation": (
        "Was each task given to the right agent? A row is the cheapest agent that solves the task, a column the one "
        "that was chosen: the diagonal is right, to the right of it money is wasted, to the left the task fails."
    ),
    "shapley": "How many of 100 tasks are solved because an agent is in the pool, shared out fairly among the agents.",
    "ablations": "What one part of an auction is good for: each row leaves one out, and shows what changes.",
    "refinement": "Does a second bid, written after a look at past auctions, solve more than the first?",
    "signals-planned": (
        "What in a bid tells beforehand whether its agent will succeed when it works by its plan? 1 is always right, "
        "0.5 is chance."
    ),
    "signals-direct": (
        "What in a bid tells beforehand whether its agent will succeed when it works without its plan? 1 is always "
        "right, 0.5 is chance."
    ),
    "opinions": "Does a model that judges answers agree with the rule that compares them with the right answer?",
    "examples": "Do the examples in a task's own text tell right answers from wrong ones?",
}
"""By the end of the table's key."""


def explain_table(table: ReportTable) -> str:
    """Return the sentence for a table; nothing where its kind has none."""
    kind = next((kind for kind in SENTENCES if table.key == kind or table.key.endswith(f"-{kind}")), None)
    return "" if kind is None else SENTENCES[kind]
