"""Which stack or run a command is about: STACK, read off its words after recovery."""

import os
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackdsl.model import errors
from stackdsl.session import naming

if TYPE_CHECKING:  # a checked stack needs no store
    from collections.abc import Iterator

    from stackdsl.registry import store as stores


@contextmanager
def open_records() -> "Iterator[tuple[stores.Store, tuple[stores.Record, ...]]]":
    """Yield the store and the records of what is still something; what is not is given back."""
    from stackdsl.session import recovering

    store = recovering.open_store()
    try:
        yield store, recovering.sweep(store)
    finally:
        store.close()


def choose_run(
    words: Sequence[str], option: str | None, records: "Sequence[stores.Record]"
) -> "tuple[stores.Record, list[str]]":
    """Return the living run that is meant, and the words that are left. One of another folder that
    nobody named is told.

    Raises:
        UsageError: nothing fits; the choices are named.
    """
    chosen = naming.choose(words, records, option=option, wants="run")
    _tell_foreign(chosen)
    for record in records:
        if record.run == chosen.run:
            return record, list(chosen.rest)
    copies = [record.run for record in records if record.file == chosen.file]
    raise errors.UsageError(
        "usage.no-run",
        f'cannot find a run of "{chosen.file}": none is alive',
        why=f"copies of it are: {', '.join(copies)}" if copies else "",
        do="name one of them" if copies else f"start it: stackdsl start {option or words[0]}",
    )


def choose_file(
    words: Sequence[str],
    option: str | None,
    records: "Sequence[stores.Record]",
) -> naming.Chosen:
    """Return the stack that is meant, with its file. One of another folder that nobody named is
    told.

    Raises:
        UsageError: nothing fits; the choices are named.
    """
    chosen = naming.choose(words, records, option=option, wants="file")
    _tell_foreign(chosen)
    if chosen.file is None:
        raise errors.UsageError(
            "usage.no-file",
            f'cannot load the stack of run "{chosen.run}": it was not started from a file',
            do="name the file of the stack",
        )
    return chosen


def _tell_foreign(chosen: naming.Chosen) -> None:
    if chosen.is_foreign:
        of = "" if chosen.file is None else f" of {chosen.file}"
        text = f'taking run "{chosen.run}"{of}: it is the only living run'
        print(text, file=sys.stderr, flush=True)


def is_plain_file(words: Sequence[str], option: str | None) -> bool:
    """Whether STACK is an existing file, so that no run needs to be looked at."""
    word = option or (words[0] if words else None)
    return word is not None and os.path.isfile(word)


def refuse_rest(rest: Sequence[str], command: str) -> None:
    """Refuse words that are left over.

    Raises:
        UsageError: there are some.
    """
    if rest:
        raise errors.UsageError(
            "usage.words",
            f'cannot read "{rest[0]}": it is neither a file nor a living run,'
            f" and {command} takes nothing else",
            do="name an existing file, or a run that `stackdsl ps` lists",
        )


def parse_duration(text: str, option: str) -> float:
    """Return a duration in seconds.

    Raises:
        UsageError: it is none.
    """
    from stackdsl.dsl import faults, units

    try:
        return units.seconds(float(text) if text.replace(".", "", 1).isdigit() else text)
    except faults.Refusal as error:
        raise errors.UsageError(
            "usage.duration",
            f'cannot read {option} "{text}": it is not a duration',
            do='give seconds, or text as "500ms", "10s", "2m", "1h30m"',
        ) from error
