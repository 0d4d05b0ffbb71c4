"""From a topology's file, or a lab made in Python, to a checked topology."""

import os
import types
from typing import Any

from stackdsl.dsl import faults, frames, importing
from stackdsl.lab import declaring, reading, topologies
from stackdsl.model import errors, services

_EXAMPLE = """declare one, as
from stackdsl.lab import Lab
lab = Lab()
office = lab.site("office", nat="preserving")
office.host("db")"""


def load(
    target: "str | os.PathLike[str] | declaring.Lab | types.ModuleType",
) -> topologies.Topology:
    """Return the topology of a file (executed afresh), a lab, or a module that holds one.

    Raises:
        UsageError: there is no such file.
        DefinitionError, StackErrors: everything that is wrong with it.
    """
    if isinstance(target, declaring.Lab):
        return reading.read(target, name="lab", file=None)
    if isinstance(target, types.ModuleType):
        file = getattr(target, "__file__", None)
        return _read_namespace(target.__dict__, file or target.__name__)
    file = os.path.abspath(os.path.expanduser(os.fspath(target)))
    return _read_namespace(_execute(file), file)


def default_file(stack_file: str) -> str:
    """Return the topology file that belongs to a stack's file: ``shop_lab.py`` to ``shop.py``."""
    stem, suffix = os.path.splitext(stack_file)
    return f"{stem}_lab{suffix}"


def _execute(file: str) -> dict[str, Any]:
    shown = faults.display(file)
    try:
        with open(file, "rb") as opened:
            source = opened.read()
    except OSError as problem:
        raise errors.UsageError(
            "usage.no-topology",
            f'cannot load topology "{shown}": {(problem.strerror or str(problem)).lower()}',
            do="give the topology's file with --topology FILE; the default for stacks/shop.py is"
            " stacks/shop_lab.py",
        ) from None
    try:
        return importing.Context(os.path.dirname(file)).execute(file, source).__dict__
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - user code
        code = "definition.raised"
        if isinstance(problem, SyntaxError):
            code = "definition.syntax"
        elif isinstance(problem, ImportError):
            code = "definition.import"
        raise frames.blame(
            problem,
            code=code,
            thing=f'load topology "{shown}"',
            fallback=services.Where(file=shown, line=1),
            do="correct the line; a topology's file is executed whenever a lab is built",
        ) from None


def _read_namespace(namespace: dict[str, Any], file: str) -> topologies.Topology:
    found = {id(one): one for one in namespace.values() if isinstance(one, declaring.Lab)}
    shown = faults.display(file)
    if not found:
        raise errors.DefinitionError(
            "definition.no-lab",
            f'cannot load topology "{shown}": it holds no Lab',
            where=f"{shown}:1",
            do=_EXAMPLE,
        )
    first, *others = found.values()
    if others:
        raise errors.DefinitionError(
            "definition.second-lab",
            f'cannot load topology "{shown}": it holds {len(found)} labs',
            where=str(others[0].where("Lab")),
            do="keep one Lab() in a file",
        )
    name = os.path.basename(file).partition(".")[0].removesuffix("_lab").replace("_", "-").lower()
    return reading.read(first, name=name.strip("-") or "lab", file=file)
