"""What work at like tasks cost is part of a track record; work whose cost nobody knows is left out of it."""

from __future__ import annotations

import numpy as np
import pytest

from sale.memory.track_records import TrackedWork, TrackIndex, WorkContext, weights_of


def test_costs_count_as_much_as_their_tasks_are_alike() -> None:
    tracks = TrackIndex()
    tracks.put(
        WorkContext(auction=1, row=0, started=1.0, tenant=0), [TrackedWork(agent="a", verdict="success", dollars=2e-6)]
    )
    tracks.put(
        WorkContext(auction=2, row=1, started=2.0, tenant=0), [TrackedWork(agent="a", verdict="failure", dollars=8e-6)]
    )
    tracks.put(
        WorkContext(auction=3, row=2, started=3.0, tenant=0), [TrackedWork(agent="a", verdict="failure", dollars=None)]
    )
    likeness = np.array([0.9, 0.8, 0.8])
    found = tracks.records(("a", "b"), likeness.astype(np.float32), lambda rows: likeness[rows])
    one, other, third = weights_of(likeness, 0.9)
    assert found["a"].spent == pytest.approx(2.0 * one + 8.0 * other)
    assert found["a"].costed == pytest.approx(one + other)
    assert found["a"].evidence == pytest.approx(one + other + third)
    assert (found["b"].spent, found["b"].costed) == (0.0, 0.0)
