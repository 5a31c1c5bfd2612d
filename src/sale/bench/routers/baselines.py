"""Every baseline of the comparison, ready to be fitted: the list reports and reproductions share."""

from __future__ import annotations

from collections.abc import Sequence

from sale.bench.routers.carrot import CarrotNearest, CarrotText
from sale.bench.routers.evoroute import EvoRoute
from sale.bench.routers.features import Features, JoinedFeatures, WordNgrams
from sale.bench.routers.fixed import AlwaysCheapest, AlwaysLargest, BestSingle, Oracle, Random, SingleAgent
from sale.bench.routers.frugalgpt import FrugalGpt
from sale.bench.routers.oi_mas import OiMas
from sale.bench.routers.protocol import OutcomeTable, Router
from sale.bench.routers.strmac import Strmac
from sale.bench.routers.to_router import ToRouter
from sale.bench.routers.tuning import TunedRouter
from sale.bench.routers.wtp import HIDDEN, NEIGHBOURS, WtpNearest, WtpNeural
from sale.config import RouterSettings
from sale.errors import ConfigError
from sale.extensions import make


def fixed_routers(agents: Sequence[str], seed: int = 0) -> list[Router]:
    """Those that learn nothing from a task, the oracle last."""
    alone: list[Router] = [SingleAgent(agent) for agent in agents]
    return [*alone, AlwaysCheapest(), AlwaysLargest(), BestSingle(), Random(seed), Oracle()]


LEARNT = ("wtp-knn", "wtp-mlp", "carrot-knn", "carrot-text", "to-router-knn", "to-router-mlp", "frugalgpt")
"""Those of method, section 6, in the order of tables."""
RELATED = ("evoroute", "oi-mas", "strmac")
"""Systems for the same job, reduced to tables; shown on outside tables (`benchmarks.outside`), not in reports."""
NEEDS_ANSWERS = frozenset({"frugalgpt"})
"""Those that look at answers, which not every table has."""


def learnt_routers(features: Features, *, answers: bool, more: Sequence[RouterSettings] = ()) -> list[Router]:
    """Those of method, section 6, each with its knob tuned by the same rule where it has one; then others.

    A router is a class or a function. It is given `features` where its signature has them, and its own settings.

    Args:
        features: Sentence embeddings; shared, so that each text is embedded once.
        answers: Whether the tables will have answers; without them there is no cascade.
        more: Others that settings name.

    Raises:
        ConfigError: One that settings name is not there or cannot be made, or has the name of another.
    """
    named = [(name, dict[str, object]()) for name in LEARNT if answers or name not in NEEDS_ANSWERS]
    named += [(one.kind, dict(one.options)) for one in more]
    routers = [
        make("routers", name, Router, given={"features": features}, options=options, where=f"router {name!r}")
        for name, options in named
    ]
    called = [router.name for router in routers]
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise ConfigError(f"routers share a name: {', '.join(twice)}", where="[[bench.routers]]")
    return routers


def wtp_knn(features: Features) -> Router:
    """WTP with neighbours."""
    return TunedRouter("WTP k-NN", [WtpNearest(features, k=k) for k in NEIGHBOURS])


def wtp_mlp(features: Features) -> Router:
    """WTP with a neural network."""
    return TunedRouter("WTP MLP", [WtpNeural(features, hidden=hidden) for hidden in HIDDEN])


def carrot_knn(features: Features) -> Router:
    """CARROT with neighbours."""
    return TunedRouter("CARROT k-NN", [CarrotNearest(features)])


def carrot_text(features: Features) -> Router:
    """CARROT with embeddings and words."""
    return TunedRouter("CARROT text", [CarrotText(JoinedFeatures(features, WordNgrams()))])


def to_router_knn(features: Features) -> Router:
    """TO-Router with the nearest neighbour."""
    return ToRouter(features, variant="nearest")


def to_router_mlp(features: Features) -> Router:
    """TO-Router with a neural network."""
    return ToRouter(features, variant="mlp")


def frugalgpt(features: Features) -> Router:
    """FrugalGPT's cascade."""
    return TunedRouter("FrugalGPT", [FrugalGpt(features)])


def evoroute(features: Features) -> Router:
    """EvoRoute's Thompson sampling among Pareto-optimal agents."""
    return TunedRouter("EvoRoute", [EvoRoute(features)])


def oi_mas(features: Features) -> Router:
    """OI-MAS's policy with confidence-weighted cost."""
    return TunedRouter("OI-MAS", [OiMas(features)])


def strmac(features: Features) -> Router:
    """STRMAC's contrastive choice."""
    return TunedRouter("STRMAC", [Strmac(features)])


def baselines(features: Features, train: OutcomeTable, seed: int = 0) -> list[Router]:
    """All that can run on tables like this one."""
    return [*fixed_routers(train.agents, seed), *learnt_routers(features, answers=train.answers is not None)]
