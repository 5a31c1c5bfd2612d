"""Tests that share what is costly to make are kept in one worker."""

from __future__ import annotations

import pytest

from tests.support.groups import FOLDERS, MODELS, GroupScheduling, group_of, rank


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("tests/e2e/test_real_models.py::test_x[a]", MODELS),
        (f"{FOLDERS[0]}/test_fault_storm.py::test_x", FOLDERS[0]),
        ("tests/bench/test_report.py::TestReport::test_x", "tests/bench/test_report.py"),
        ("tests/test_types.py::test_x", None),
    ],
)
def test_the_group_is_told_from_the_name(name: str, group: str | None) -> None:
    assert group_of(name) == group


def test_what_takes_longest_comes_first() -> None:
    names = ["tests/test_types.py::a", "tests/bench/test_report.py::b", "tests/e2e/test_real_models.py::c"]
    assert sorted(names, key=rank) == names[::-1]


def test_the_scheduler_hands_out_groups(request: pytest.FixtureRequest) -> None:
    manager = request.config.pluginmanager
    made = manager.hook.pytest_xdist_make_scheduler(config=_Controller(), log=None)
    assert isinstance(made[0] if isinstance(made, list) else made, GroupScheduling)


class _Controller:
    """As much of the configuration of the process that hands tests out as a scheduler reads."""

    class option:  # noqa: N801  as pytest has it
        tx = ("popen", "popen")
        loadscopereorder = False
        maxschedchunk = None

    def getvalue(self, name: str) -> object:
        return getattr(self.option, name)
