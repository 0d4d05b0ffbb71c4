"""Pauses between tries: short at first, then a small share of the time waited."""

import pytest

from stackdsl.node import pausing


@pytest.mark.parametrize("waited_s", [0.0, 0.01, 0.05, 0.0999])
def test_pauses_are_two_milliseconds_at_most_at_first(waited_s: float) -> None:
    assert pausing.next_pause_s(waited_s) <= 0.002


@pytest.mark.parametrize("waited_s", [0.1, 0.5, 3.0, 30.0])
def test_pauses_are_at_most_three_hundredths_of_the_time_waited(waited_s: float) -> None:
    assert 0 < pausing.next_pause_s(waited_s) <= 0.03 * waited_s


def test_pauses_are_never_longer_than_a_second() -> None:
    assert pausing.next_pause_s(10_000.0) == 1.0


def test_tries_that_cost_much_are_made_seldom() -> None:
    assert pausing.next_pause_s(0.0, cost_s=0.05) == 0.2
