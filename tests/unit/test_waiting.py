"""Waiting in tests."""

import pytest

from tests.waiting import eventually, eventually_async


def test_the_first_true_value_is_returned() -> None:
    values = iter([0, "", 7])

    assert eventually(lambda: next(values)) == 7


def test_an_assertion_in_the_check_counts_as_not_yet() -> None:
    values = iter([1, 2, 3])

    def check() -> bool:
        assert next(values) == 3
        return True

    assert eventually(check)


def test_when_time_is_up_the_last_value_is_told() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.02 s; last: \[\]"):
        eventually(list, within_s=0.02)


async def test_a_check_that_must_be_awaited_is_tried_again_too() -> None:
    values = iter([0, 5])

    async def check() -> int:
        return next(values)

    assert await eventually_async(check) == 5
