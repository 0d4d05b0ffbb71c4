"""Times as people and programs read them."""

import time


def format_time(time_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 UTC with milliseconds."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{stamp}.{rest_ns // 1_000_000:03d}Z"
