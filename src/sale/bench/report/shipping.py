"""The knowledge of a pool that is shipped with sale, from its records: every whole task, dev and test alike.

Claims are made on tasks that were held out, by the tables; what is shipped may know them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sale.bench.online import examples_of, list_all_work
from sale.bench.replay import RecordedTasks, merge_records
from sale.bench.report.fitted import SOLVER_SECONDS
from sale.bench.routers.features import Embeddings
from sale.learning.fit import fit
from sale.learning.spending import MatchBestAgent
from sale.memory.prior import PriorWork
from sale.shipped import PoolKnowledge
from sale.storage.columns import text_digest


def knowledge(parts: Sequence[RecordedTasks], features: Embeddings) -> PoolKnowledge:
    """Weights fitted on the records of a pool, and its work without plans.

    Args:
        parts: Records of all domains and splits.
        features: Sentence embeddings.
    """
    settings = [agent for part in parts for agent in part.runs[-1].settings["agents"]]
    whole = merge_records(parts)
    fitted = fit(
        examples_of(whole, features), "utility", worth=MatchBestAgent(len(whole.agents)), seconds=SOLVER_SECONDS
    )
    return PoolKnowledge(
        agents={agent["name"]: (agent["local"], agent["price"]["input"]) for agent in settings},
        weights=fitted.weights,
        training=fitted.training,
        domains=[task.domain for task in whole.tasks],
        work=PriorWork(
            embedder=features.embedder,
            digests=[text_digest(task.prompt) for task in whole.tasks],
            vectors=features([task.prompt for task in whole.tasks]).astype(np.float32),
            work=[list_all_work(whole, task.id) for task in whole.tasks],
        ),
    )
