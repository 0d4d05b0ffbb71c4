"""`why`: from a service that is not well to what that comes from; of ended runs what is kept."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackdsl.cli import choosing, reading, streams
from stackdsl.model import causes
from stackdsl.session import asking, background, outputs, preparing, recalling, remains
from stackdsl.views import problems

if TYPE_CHECKING:
    from stackdsl.registry import store as stores

_LAST_LINES = 5


def why(words: Sequence[str], option: str | None, *, as_json: bool) -> int:
    """Print why services are as they are; return the exit code."""
    with choosing.open_records() as (store, records):
        source = reading.find_source(words, option, store, records)
    if source.record is None:
        found = _recall(source)
    else:
        found = asyncio.run(_ask(source.record, source.rest))
    if as_json:
        streams.print_json([problems.explanation_json(one) for one in found])
    else:
        _print(source, found)
    return max((one.exit_code for one in found), default=0)


async def _ask(record: "stores.Record", names: Sequence[str]) -> list[causes.Explanation]:
    async with background.connect(record) as client:
        found: list[causes.Explanation] = []
        for name in names or (None,):
            found.extend(await client.why(name))
        return found


def _recall(source: reading.Source) -> list[causes.Explanation]:
    """Return what is still known of an ended run.

    Raises:
        UsageError: it had no service of that name.
    """
    kept = asking.read_end(source.run, source.folder)
    if not source.rest:
        return list(kept.values())
    known = sorted({*kept, *remains.list_writers(source.folder)})
    found = []
    for asked in source.rest:
        mine = remains.find_replicas(asked, known)
        if not mine:
            raise preparing.unknown_service(asked, source.run, known)
        name = next((one for one in mine if one in kept), mine[0])
        found.append(kept[name] if name in kept else _tell_ended(source, name))
    return found


def _tell_ended(source: reading.Source, name: str) -> causes.Explanation:
    secrets = recalling.find_secrets(source.folder)
    text = outputs.read_text(source.folder, [name], secrets, tail=_LAST_LINES)
    return asking.explain_ended(source.run, name, text.splitlines()[-_LAST_LINES:])


def _print(source: reading.Source, found: Sequence[causes.Explanation]) -> None:
    if not found:
        was = "was well when it ended" if source.record is None else "is well"
        print(f"everything in {source.run} {was}", file=sys.stderr)
        return
    if source.record is None:
        print(f"run {source.run} has ended; this is how it was then", file=sys.stderr)
    paint = streams.paint_for(sys.stdout)
    print("\n\n".join(problems.format_explanation(one, paint) for one in found))
