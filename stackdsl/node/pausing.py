"""How long to wait between two tries of a probe. Pure.

While a service comes up: 1 ms at first, then a hundredth of the time waited. So a chain of services
is later than the sum of its parts by half of that, and a slow one costs next to nothing.
"""

STANDING_S = 10.0
ANSWERED_S = 0.025
_LEAST_S = 0.001
_SHARE = 0.01
_CAP_S = 1.0
_COST_FACTOR = 4


def next_pause_s(waited_s: float, cost_s: float = 0.0) -> float:
    """Return the pause after a try that took ``cost_s``; at most a fifth of the time is spent.

    Whole milliseconds: the loop rounds up to them (epoll_wait(2)), which would double the least.
    """
    pause_s = max(waited_s * _SHARE, _COST_FACTOR * cost_s)
    return min(max(_LEAST_S, int(pause_s * 1000) / 1000), _CAP_S)
