"""Frames: an exception of the author's code as an error that shows the author's lines only."""

import os
import re
import sys
from collections.abc import Sequence
from types import TracebackType

from stackdsl.dsl import faults
from stackdsl.model import errors, masks, services

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NOT_IMPORTED = re.compile(r"cannot import name '(\w+)'")
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def blame(
    problem: BaseException,
    *,
    code: str,
    thing: str,
    fallback: services.Where,
    do: str,
    secrets: Sequence[str] = (),
) -> errors.StackError:
    """Return an error for what the author's code raised.

    ``thing`` is what cannot be done ("load "shop.py""). A StackError passes, with its place filled
    in; its place and the frames are those of the author's files. ``secrets`` are masked.
    """
    error = _blame(problem, code, thing, fallback, do)
    if secrets:
        masks.mask_error(error, masks.make_mask(secrets))
    return error


def _blame(
    problem: BaseException, code: str, thing: str, fallback: services.Where, do: str
) -> errors.StackError:
    where, frames = trace(problem)
    if isinstance(problem, SyntaxError) and problem.filename:
        where = services.Where(file=faults.display(problem.filename), line=problem.lineno or 1)
        frames = _show_syntax(problem)
    found = services.Where(
        file=(where or fallback).file, line=(where or fallback).line, what=fallback.what
    )
    if isinstance(problem, errors.StackError):
        for one in errors.flatten(problem):
            one.where = one.where or str(found)
            one.frames = one.frames or frames
        return problem
    return errors.DefinitionError(
        code,
        f"cannot {thing}: {_say(problem)}",
        where=str(found),
        do=f"{_guess(problem)}{do}",
        frames=frames,
    )


def trace(problem: BaseException) -> tuple[services.Where | None, str]:
    """Return the innermost line of the author's that an exception passed, and all such frames."""
    kept = []
    step: TracebackType | None = problem.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if _is_authors(file):
            kept.append((file, step.tb_lineno, step.tb_frame.f_code.co_name))
        step = step.tb_next
    if not kept:
        return None, ""
    import linecache

    rows = []
    for file, line, name in kept[-12:]:
        linecache.checkcache(file)
        rows.append(f'File "{faults.display(file)}", line {line}, in {name}')
        source = linecache.getline(file, line).strip()
        rows.extend([f"    {source}"] if source else [])
    rows.append(f"{type(problem).__name__}: {_first_line(problem)}".rstrip(": "))
    return services.Where(file=faults.display(kept[-1][0]), line=kept[-1][1]), "\n".join(rows)


def _is_authors(file: str) -> bool:
    if file.startswith(("<", _OURS)) or any(part in file for part in _LIBRARIES):
        return False
    return not file.startswith(os.path.dirname(os.__file__) + os.sep)


def _show_syntax(problem: SyntaxError) -> str:
    text = (problem.text or "").rstrip("\n")
    cut = len(text) - len(text.lstrip())
    caret = " " * max((problem.offset or 1) - 1 - cut, 0) + "^"
    head = f'File "{faults.display(problem.filename or "")}", line {problem.lineno}'
    return f"{head}\n    {text.lstrip()}\n    {caret}\n{type(problem).__name__}: {problem.msg}"


def _say(problem: BaseException) -> str:
    if isinstance(problem, SyntaxError):
        return f"{problem.msg}"
    if isinstance(problem, ImportError):
        return _first_line(problem)
    return f"{type(problem).__name__}: {_first_line(problem)}".rstrip(": ")


def _guess(problem: BaseException) -> str:
    """Return the nearest name where an attribute, or a name to import, is misspelt."""
    name: str | None = None
    owner: object = None
    if isinstance(problem, AttributeError):
        name, owner = problem.name, problem.obj
    elif isinstance(problem, ImportError):
        match = _NOT_IMPORTED.match(problem.msg or "")  # Python 3.11 keeps the name nowhere else
        name, owner = match[1] if match else None, sys.modules.get(problem.name or "")
    if not name or owner is None:
        return ""
    known = getattr(owner, "__all__", None) or dir(owner)
    return faults.nearest(name, [one for one in known if not one.startswith("_")])


def _first_line(problem: BaseException) -> str:
    lines = str(problem).splitlines()
    return lines[0] if lines else ""
