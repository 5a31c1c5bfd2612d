"""Does an agent know whether it will succeed? One word before the work, after its plan, and after its answer.

    python -m benchmarks.self_estimate run       # resumable: every word is recorded as it comes
    python -m benchmarks.self_estimate report    # writes the table of docs/research.md from the record
    python -m benchmarks.self_estimate check     # whether the page says what the record says

A bid could carry such an estimate, and an answer could be held back by one: one token each, so next to free. The tasks,
plans, answers and outcomes are those of the embedded pool's record. What counts is the probability of yes against no
before anything is drawn, and whether it ranks an agent's successes above its failures among tasks of the same source.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from benchmarks.self_estimate.asking import ask, questions, read
from benchmarks.self_estimate.report import DOMAINS, PAGE, RECORD, page, recorded


def main() -> int:
    """Run, report or check."""
    parser = argparse.ArgumentParser(description="Does an agent know whether it will succeed?")
    parser.add_argument("act", choices=["run", "report", "check"])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.act == "run":
        asked = [question for domain in DOMAINS for question in questions(recorded(domain))]
        asyncio.run(ask(asked, RECORD, given.threads))
        return 0
    text = PAGE.read_text(encoding="utf-8")
    made = page(text, read(RECORD))
    if given.act == "report":
        PAGE.write_text(made, encoding="utf-8")
    return int(given.act == "check" and made != text)


if __name__ == "__main__":
    sys.exit(main())
