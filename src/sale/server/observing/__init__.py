"""Observation of the server for operators: metrics, traces, a structured log. None of it holds a key or users' texts.

`observed` and `ObservedHub` stand between the gateway and what it tells the store and the listeners anyway, so that the
gateway itself need not know who watches; `routes` are `/metrics`.
"""

from sale.server.observing.log import configure_log, mask_secrets
from sale.server.observing.metrics import Metrics, routes
from sale.server.observing.traces import Traces, configure_traces
from sale.server.observing.watching import ObservedHub, ObservedStore, TracedApp

__all__ = [
    "Metrics",
    "ObservedHub",
    "ObservedStore",
    "TracedApp",
    "Traces",
    "configure_log",
    "configure_traces",
    "mask_secrets",
    "routes",
]
