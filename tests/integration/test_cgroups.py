"""Control groups that nobody stands in any longer."""

import os
from collections.abc import Iterator

import pytest

from stackdsl.node import cgroups


@pytest.fixture
def deserted() -> Iterator[str]:
    root = cgroups.find_root()
    if root is None:
        pytest.skip("no control groups may be made here")
    path = f"{root}/{cgroups.PREFIX}deserted{os.getpid()}"
    os.mkdir(path)
    yield path
    if os.path.exists(path):
        os.rmdir(path)


def test_an_empty_group_is_removed_when_it_is_old_enough(deserted: str) -> None:
    cgroups.remove_deserted()
    assert os.path.exists(deserted)  # a run may be about to move in
    cgroups.remove_deserted(-60, os.path.basename(deserted))
    assert not os.path.exists(deserted)
