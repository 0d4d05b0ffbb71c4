"""`logs`: what services wrote, from the files in the run's folder, of ended runs too."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stackdsl.cli import asides, choosing, streams
from stackdsl.model import errors
from stackdsl.model.data import dataclass
from stackdsl.session import background, outputs, preparing, recalling, remains, stacks
from stackdsl.views import lines

if TYPE_CHECKING:
    from stackdsl.registry import store as stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A run whose output is read. ``record`` is None once it has ended; ``replicas`` are those of
    a living one's plan."""

    run: str
    folder: str
    record: "stores.Record | None" = None
    replicas: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()


def logs(
    words: Sequence[str],
    option: str | None,
    *,
    is_following: bool,
    tail: int | None,
    since: str | None,
    has_times: bool,
    as_json: bool,
) -> int:
    """Print output of services; return the exit code."""
    since_ns = None if since is None else _parse_since(since)
    with choosing.open_records() as (store, records):
        source = find_source(words, option, store, records)
    is_named = option is not None or len(source.rest) < len(words)
    names = _find_names(source, is_run_named=is_named)
    printer = _make_printer(
        names or remains.list_writers(source.folder), has_times=has_times, as_json=as_json
    )
    if is_following and source.record is not None and source.record.has_controller:
        return asyncio.run(_follow(source, names, printer, tail=tail, since_ns=since_ns))
    secrets = _find_secrets(source)
    for chunk in outputs.read_lines(source.folder, names, secrets, tail=tail, since_ns=since_ns):
        printer(chunk)
    return 0


def find_source(
    words: Sequence[str],
    option: str | None,
    store: "stores.Store",
    records: "Sequence[stores.Record]",
) -> Source:
    """Return the run that is meant: a living one, else one that has left its folder."""
    word = option or (words[0] if words else None)
    rest = tuple(words) if option is not None else tuple(words[1:])
    living = {record.run for record in records}
    ended = [name for name in remains.list_folders(store) if name not in living]
    if word is not None and word in ended:
        return _ended(store, word, rest)
    try:
        record, left = choosing.choose_run(words, option, records)
    except errors.UsageError:
        if word is not None and os.path.isfile(word):
            with asides.beside():
                run = stacks.load(word).name
            if run in ended:
                return _ended(store, run, rest)
        elif not records and option is None and ended:
            return _latest(store, ended, tuple(words))
        raise
    return Source(
        run=record.run,
        folder=record.folder,
        record=record,
        replicas=tuple(remains.list_replicas(store, record.run)),
        rest=tuple(left),
    )


def _latest(store: "stores.Store", ended: Sequence[str], rest: tuple[str, ...]) -> Source:
    """Return the run that ended last; which one is said where there are several."""
    run = max(ended, key=lambda name: remains.touched_ns(store, name))
    if len(ended) > 1:
        print(f'of run "{run}", the last that ended; others by name', file=sys.stderr)
    return _ended(store, run, rest)


def _ended(store: "stores.Store", run: str, rest: tuple[str, ...]) -> Source:
    return Source(run=run, folder=remains.folder_of(store, run), rest=rest)


def _find_names(source: Source, *, is_run_named: bool) -> list[str] | None:
    """Return the replicas that are asked for; None for all.

    Raises:
        UsageError: a name is unknown.
    """
    if not source.rest:
        return None
    known = remains.list_writers(source.folder)
    if source.record is not None:
        known = sorted({*known, *source.replicas})
    found: list[str] = []
    for asked in source.rest:
        mine = remains.find_replicas(asked, known)
        if not mine:
            raise _unknown(asked, source.run, known, is_run_named=is_run_named)
        found.extend(mine)
    return found


def _unknown(
    asked: str, run: str, known: Sequence[str], *, is_run_named: bool
) -> errors.UsageError:
    """Return that a name is none of a run's; where nobody named the run, it may have been meant."""
    error = preparing.unknown_service(asked, run, known)
    if is_run_named:
        return error
    return errors.UsageError(
        error.code,
        f"{error.what}, and no run of that name has left anything",
        where=error.where,
        why=error.why,
        do=f"{error.do}; `stackdsl ps` lists the runs that live",
    )


def _find_secrets(source: Source) -> tuple[str, ...]:
    """Return what must be masked: as the controller says, else as the stack's file does.

    Raises:
        UsageError: there are secrets, and nobody knows them any more.
    """
    if source.record is not None and source.record.has_controller:
        return asyncio.run(_ask_secrets(source.record))
    try:
        return recalling.find_secrets(source.folder)
    except errors.StackError as error:
        raise errors.UsageError(
            "usage.secrets-unknown",
            f'cannot print the output of "{source.run}": its secrets cannot be masked',
            why=error.what,
            do=f"mend the stack's file, or read the files in {source.folder}/logs yourself",
        ) from error


async def _ask_secrets(record: "stores.Record") -> tuple[str, ...]:
    async with background.connect(record) as client:
        return await client.secrets()


async def _follow(
    source: Source,
    names: list[str] | None,
    printer: "Callable[[outputs.Lines], None]",
    *,
    tail: int | None,
    since_ns: int | None,
) -> int:
    assert source.record is not None
    async with background.connect(source.record) as client:
        secrets = await client.secrets()
        reader = outputs.open_reader(source.folder, names)

        async def stop_at_the_end() -> None:
            async for _ in client.events(None, logs=False):
                pass
            reader.stop()

        async with asyncio.TaskGroup() as group:
            ending = group.create_task(stop_at_the_end(), name="wait for the run's end")
            try:
                async for chunk in outputs.follow_lines(
                    reader, secrets, tail=tail, since_ns=since_ns
                ):
                    printer(chunk)
            finally:
                ending.cancel()
    return 0


def _make_printer(
    names: Sequence[str], *, has_times: bool, as_json: bool
) -> "Callable[[outputs.Lines], None]":
    if as_json:
        return _print_json
    is_tamed = streams.is_terminal(sys.stdout)
    prefixes = lines.Prefixes(names, streams.paint_for(sys.stdout))

    def print_lines(chunk: outputs.Lines) -> None:
        prefix = prefixes[chunk.name]
        if has_times:
            prefix += f"{_stamp(chunk)} "
        text = lines.prefix_lines(prefix, chunk.lines, is_tamed=is_tamed)
        if chunk.lost_bytes:
            text = f"{prefix}({chunk.lost_bytes} bytes are no longer kept)\n{text}"
        sys.stdout.write(text)
        sys.stdout.flush()

    return print_lines


def _stamp(chunk: outputs.Lines) -> str:
    """Return when lines were written, as RFC 3339 has it."""
    moment = datetime.fromtimestamp(chunk.time_ns // 1_000_000 / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _print_json(chunk: outputs.Lines) -> None:
    head = {"time": _stamp(chunk), "name": chunk.name, "stream": chunk.stream}
    rows = [streams.json_line({**head, "line": line}) for line in chunk.lines]
    sys.stdout.write("".join(rows))
    sys.stdout.flush()


def _parse_since(text: str) -> int:
    """Return a moment as nanoseconds since 1970: so long ago, or a time (RFC 3339).

    Raises:
        UsageError: it is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        ago_s = choosing.parse_duration(text, "--since")
        return time.time_ns() - int(ago_s * 1e9)
    # a time without a zone is meant as the clock on the wall shows it
    return int(moment.astimezone(UTC).timestamp() * 1e9)
