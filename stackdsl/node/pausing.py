"""How long to wait between two tries of a probe. Pure.

While a service comes up: 1 to 2 ms at first, then a fiftieth of the time waited. So a chain of
services is later than the sum of its parts by 2 %, and a slow one costs next to nothing.
"""

STANDING_S = 10.0
_CAP_S = 1.0
_SHARE = 0.02


def next_pause_s(waited_s: float, cost_s: float = 0.0) -> float:
    """Return the pause after a try that took ``cost_s``; at most a fifth of the time is spent."""
    if waited_s < 0.05:
        pause_s = 0.001
    elif waited_s < 0.1:
        pause_s = 0.002
    else:
        pause_s = min(max(0.002, waited_s * _SHARE), _CAP_S)
    return max(pause_s, min(4 * cost_s, _CAP_S))
