"""The script that counts walks: the stops come in their order, and what a reader passes over is none."""

from __future__ import annotations

from scripts.walks import functions_passed, walk


def test_an_execution_is_walked_from_its_beginning() -> None:
    found = walk("execution", functions_passed())
    stops = list(found.stops)
    assert stops[0] == ("sale.agents.contractor", "Contractor.execute")
    assert ("sale.agents.account", "ExecutionAccount.use") in stops
    assert ("sale.agents.account", "_MeteredTool.info") not in stops  # a property
    assert not [name for _, name in stops if "<lambda>" in name or name.rpartition(".")[2].startswith("__")]
    count, rooms, returns = map(int, str(found).split(" | "))
    assert count == len(stops)
    assert rooms == len({module for module, _ in stops}) > 1
    assert 0 < returns < count
