"""Tests that share what is costly to make are kept in one worker."""

from __future__ import annotations

import pytest

from tests.support.groups import MODELS, group_of


@pytest.fixture(scope="module")
def costly() -> object:
    return object()


def test_what_a_module_makes_once_is_made_in_one_worker(request: pytest.FixtureRequest, costly: object) -> None:
    file = "tests/test_groups.py"
    assert group_of(request.node) == file
    if request.config.getoption("loadgroup", default=False):
        assert request.node.nodeid.endswith(f"@{file}")


def test_any_other_test_runs_anywhere(request: pytest.FixtureRequest) -> None:
    assert group_of(request.node) is None
    assert "@" not in request.node.nodeid


@pytest.mark.slow
def test_real_models_are_run_one_after_another(request: pytest.FixtureRequest) -> None:
    assert group_of(request.node) == MODELS
