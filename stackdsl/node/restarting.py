"""Whether and when an ended service is started again. Pure: time is handed in."""

from stackdsl.model import services


class Patience:
    """The patience left with one replica: delays double to the cap, at most ``max`` in a row; it
    is whole again after ``reset_after_s`` of readiness. ``is_spent``: the last start asked for was
    refused for that alone."""

    def __init__(self, policy: services.Restart) -> None:
        self._policy = policy
        self._in_a_row = 0
        self.is_spent = False

    def next_delay_s(self, *, has_failed: bool, ready_for_s: float = 0.0) -> float | None:
        """Return how long to wait before the next start, None when there is none."""
        policy = self._policy
        self.is_spent = False
        if policy.on == "no" or (policy.on == "on-failure" and not has_failed):
            return None
        if ready_for_s >= policy.reset_after_s:
            self._in_a_row = 0
        if self._in_a_row >= policy.max:
            self.is_spent = True
            return None
        delay_s = min(policy.backoff_s * 2.0 ** min(self._in_a_row, 60), policy.cap_s)
        self._in_a_row += 1
        return delay_s

    def describe(self) -> str:
        """Return how often it was tried in a row: ``3 of 5``."""
        return f"{self._in_a_row} of {self._policy.max}"


def policy_of_task(policy: services.Restart, retries: int) -> services.Restart:
    """Return a task's retries as a policy: as many, with the policy's delays."""
    return services.Restart(
        on="on-failure" if retries else "no",
        max=retries,
        backoff_s=policy.backoff_s,
        cap_s=policy.cap_s,
        reset_after_s=float("inf"),
    )
