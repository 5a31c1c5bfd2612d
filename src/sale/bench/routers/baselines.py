"""Every baseline of the comparison, ready to be fitted: the list reports and reproductions share."""

from __future__ import annotations

from collections.abc import Sequence

from sale.bench.routers.carrot import CarrotNearest, CarrotText
from sale.bench.routers.features import Features, JoinedFeatures, WordNgrams
from sale.bench.routers.fixed import AlwaysCheapest, AlwaysLargest, BestSingle, Oracle, Random, SingleAgent
from sale.bench.routers.frugalgpt import FrugalGpt
from sale.bench.routers.protocol import OutcomeTable, Router
from sale.bench.routers.to_router import ToRouter
from sale.bench.routers.tuning import TunedRouter
from sale.bench.routers.wtp import HIDDEN, NEIGHBOURS, WtpNearest, WtpNeural


def fixed_routers(agents: Sequence[str], seed: int = 0) -> list[Router]:
    """Those that learn nothing from a task, the oracle last."""
    alone: list[Router] = [SingleAgent(agent) for agent in agents]
    return [*alone, AlwaysCheapest(), AlwaysLargest(), BestSingle(), Random(seed), Oracle()]


def learnt_routers(features: Features, *, answers: bool) -> list[Router]:
    """Those of method, section 6, each with its knob tuned by the same rule where it has one.

    Args:
        features: Sentence embeddings; shared, so that each text is embedded once.
        answers: Whether the tables will have answers; without them there is no cascade.
    """
    text = JoinedFeatures(features, WordNgrams())
    routers: list[Router] = [
        TunedRouter("WTP k-NN", [WtpNearest(features, k=k) for k in NEIGHBOURS]),
        TunedRouter("WTP MLP", [WtpNeural(features, hidden=hidden) for hidden in HIDDEN]),
        TunedRouter("CARROT k-NN", [CarrotNearest(features)]),
        TunedRouter("CARROT text", [CarrotText(text)]),
        ToRouter(features, variant="nearest"),
        ToRouter(features, variant="mlp"),
    ]
    if answers:
        routers.append(TunedRouter("FrugalGPT", [FrugalGpt(features)]))
    return routers


def baselines(features: Features, train: OutcomeTable, seed: int = 0) -> list[Router]:
    """All that can run on tables like this one."""
    return [*fixed_routers(train.agents, seed), *learnt_routers(features, answers=train.answers is not None)]
