"""Installed packages: a node starts without them, since looking for them costs 10 ms."""

import sys


def make_importable() -> None:
    """Make installed packages importable; once is enough."""
    if sys.flags.no_site and "site" not in sys.modules:
        import site

        site.main()
