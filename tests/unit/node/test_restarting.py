"""Patience: whether and when an ended service is started again."""

import pytest

from stackdsl.model import services
from stackdsl.node import restarting


def delays(policy: services.Restart, number: int, **how: object) -> list[float | None]:
    patience = restarting.Patience(policy)
    return [patience.next_delay_s(has_failed=True, **how) for _ in range(number)]  # type: ignore[arg-type]


def test_without_a_policy_there_is_no_other_start() -> None:
    assert delays(services.Restart(), 1) == [None]


def test_delays_double_up_to_the_cap() -> None:
    policy = services.Restart(on="always", max=6, backoff_s=1, cap_s=5)
    assert delays(policy, 6) == [1, 2, 4, 5, 5, 5]


def test_patience_ends_after_so_many_in_a_row() -> None:
    assert delays(services.Restart(on="always", max=2, backoff_s=1), 3) == [1, 2, None]


def test_patience_is_whole_again_after_a_long_readiness() -> None:
    patience = restarting.Patience(services.Restart(on="always", max=1, reset_after_s=60))
    assert patience.next_delay_s(has_failed=True) == 1
    assert patience.next_delay_s(has_failed=True, ready_for_s=59) is None
    assert patience.next_delay_s(has_failed=True, ready_for_s=61) == 1


@pytest.mark.parametrize(("on", "expected"), [("on-failure", None), ("always", 1.0)])
def test_an_exit_with_0_is_followed_by_a_start_only_if_always(
    on: str, expected: float | None
) -> None:
    policy = services.Restart(on=on)  # type: ignore[arg-type]
    assert restarting.Patience(policy).next_delay_s(has_failed=False) == expected


def test_very_many_restarts_keep_to_the_cap() -> None:
    policy = services.Restart(on="always", max=5000, backoff_s=1, cap_s=30)
    assert delays(policy, 5000)[-1] == 30


def test_a_tasks_retries_are_a_policy_of_as_many() -> None:
    policy = restarting.policy_of_task(services.Restart(backoff_s=0.5), 2)
    assert delays(policy, 3) == [0.5, 1.0, None]


def test_a_task_without_retries_has_none() -> None:
    assert delays(restarting.policy_of_task(services.Restart(), 0), 1) == [None]
