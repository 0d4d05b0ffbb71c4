"""Run benchmarks by name, or all: `python -m bench [NAME…]`; exit 1 when a bound is broken."""

import importlib
import os
import pkgutil
import sys

import bench
from bench import figures

NO_BENCHMARKS = ("__main__", "figures", "fleets", "peers")


def names() -> list[str]:
    """Return the modules that have a `main() -> list[Figure]`."""
    found = [module.name for module in pkgutil.iter_modules(bench.__path__)]
    return [n for n in found if n not in NO_BENCHMARKS and not n.startswith("floor_")]


def run(wanted: list[str]) -> int:
    """Run benchmarks and print their table; return the exit code."""
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        print(f'cannot bench "{unknown[0]}": there are {", ".join(names())}', file=sys.stderr)
        return 2
    figures.print_header()
    is_kept = True
    for name in wanted or names():
        for figure in importlib.import_module(f"bench.{name}").main():
            figures.print_row(figure)
            is_kept = is_kept and figure.is_kept()
    return 0 if is_kept else 1


if __name__ == "__main__":
    # Python's bytecode is part of what is installed; some machines forbid writing it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.exit(run(sys.argv[1:]))
