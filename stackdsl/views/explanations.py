"""What each error code means, in words that hold for every error of that code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means, and what to do."""

    means: str
    do: str


_TABLE: dict[str, Explanation] = {}


def find(code: str) -> Explanation | None:
    """Return what a code means."""
    return _TABLE.get(code)


def find_near(code: str) -> list[str]:
    """Return the known codes that look like ``code``."""
    import difflib

    return difflib.get_close_matches(code, _TABLE, n=3)
