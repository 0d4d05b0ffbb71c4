"""Which run is meant: names of runs and copies, and what STACK stands for on a command line."""

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackdsl.model import errors
from stackdsl.model.data import dataclass

if TYPE_CHECKING:  # checking a stack reads no store, and sqlite3 costs start-up time
    from stackdsl.registry import store as stores

_COPY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


def run_name(stack: str, copy: str | None) -> str:
    """Return the run's name: the stack's, or ``stack@copy``.

    Raises:
        UsageError: the copy's name has characters that folders and names cannot have.
    """
    if copy is None:
        return stack
    if not _COPY.match(copy):
        raise errors.UsageError(
            "usage.copy-name",
            f'cannot name a copy "{copy}": letters, digits, ".", "_" and "-" only',
            do="choose another --copy NAME",
        )
    return f"{stack}@{copy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What STACK came out as: a file, a run, or both (a run and the file that it came from).

    ``is_foreign``: nobody named it, it is the only run that lives, and it is of another folder.
    """

    file: str | None = None
    run: str | None = None
    rest: tuple[str, ...] = ()
    is_foreign: bool = False


def choose(
    words: Sequence[str],
    runs: "Sequence[stores.Record]",
    *,
    option: str | None = None,
    wants: str = "any",
) -> Chosen:
    """Read STACK off the words of a command line.

    ``option`` is --stack. ``wants``: "file" (commands that start or check: a file is preferred),
    "run" (commands on living runs), "any". The rest of the words stays.

    Raises:
        UsageError: nothing fits; the choices are named.
    """
    names = {record.run: record for record in runs}
    if option is not None:
        found = _named(option, names)
        if found is None:
            raise _unknown(option, names)
        return Chosen(file=found.file, run=found.run, rest=tuple(words))
    if words:
        found = _named(words[0], names)
        if found is not None:
            return Chosen(file=found.file, run=found.run, rest=tuple(words[1:]))
        if words[0].endswith((".py", ".yaml", ".yml")) or "/" in words[0]:
            raise _unknown(words[0], names)
    return _default(words, names, wants)


def _named(word: str, names: "dict[str, stores.Record]") -> Chosen | None:
    if os.path.isfile(word):
        path = os.path.abspath(word)
        for record in names.values():
            if record.file == path and "@" not in record.run:
                return Chosen(file=path, run=record.run)
        return Chosen(file=path)
    known = names.get(word)
    return None if known is None else Chosen(file=known.file, run=known.run)


def _default(words: Sequence[str], names: "dict[str, stores.Record]", wants: str) -> Chosen:
    rest = tuple(words)
    files = ["stack.py"] if os.path.isfile("stack.py") else _files_in("stacks")
    if len(names) == 1:
        record = next(iter(names.values()))
        is_foreign = not _is_here(record.file)
        return Chosen(file=record.file, run=record.run, rest=rest, is_foreign=is_foreign)
    found = _named(files[0], names) if len(files) == 1 else None
    if found is not None and (found.run is not None or wants != "run"):
        return Chosen(file=found.file, run=found.run, rest=rest)
    if wants == "run":
        raise _no_run(rest, names)
    if len(files) > 1:
        raise _many("stacks", files)
    raise errors.UsageError(
        "usage.no-stack",
        "cannot choose a stack: there is no stack.py, no file in stacks/ and no living run"
        + (f' ("{rest[0]}" is neither a file nor a run)' if rest else ""),
        do="name one: stackdsl run path/to/stack.py",
    )


def _is_here(file: str | None) -> bool:
    """Whether a file is in the current folder or below it."""
    if file is None:  # a stack that was built in Python: of no folder
        return False
    here = os.path.realpath(".").rstrip("/")
    return os.path.realpath(file).startswith(f"{here}/")


def _files_in(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    names = {
        name
        for name in os.listdir(folder)
        if name.endswith(".py") and not name.startswith(("_", "."))
    }
    # shop_lab.py beside shop.py is the topology of its lab
    labs = {name for name in names if name.removesuffix("_lab.py") + ".py" in names - {name}}
    return sorted(f"{folder}/{name}" for name in names - labs)


def _no_run(rest: Sequence[str], names: "dict[str, stores.Record]") -> errors.UsageError:
    if names:
        return _many("living runs", sorted(names))
    word = f': "{rest[0]}" is neither a file nor a living run' if rest else ""
    return errors.UsageError(
        "usage.no-run",
        f"cannot find a run: none is alive{word}",
        do="start one: stackdsl start path/to/stack.py; `stackdsl ps` lists them",
    )


def _many(what: str, choices: Sequence[str]) -> errors.UsageError:
    return errors.UsageError(
        "usage.choose",
        f"cannot choose between {len(choices)} {what}",
        why=", ".join(choices),
        do="name one as the first word, or with --stack",
    )


def _unknown(word: str, names: "dict[str, stores.Record]") -> errors.UsageError:
    import difflib  # only on the way out: costs start-up time

    choices = [*names, *_files_in("."), *_files_in("stacks")]
    near = difflib.get_close_matches(word, choices, n=3)
    return errors.UsageError(
        "usage.unknown-stack",
        f'cannot find stack "{word}": it is neither a file nor a living run',
        why=f"near: {', '.join(near)}" if near else "",
        do="name an existing file, or a run that `stackdsl ps` lists",
    )
