"""`stop`, `restart` and `clean`: the end of services and runs."""

import asyncio
import os
import select
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackdsl.cli import choosing, streams
from stackdsl.model import errors
from stackdsl.session import background, recovering
from stackdsl.views import statuses

if TYPE_CHECKING:
    from stackdsl.registry import store as stores

_END_TIMEOUT_S = 5.0


def stop(words: Sequence[str], option: str | None, *, at_once: bool) -> int:
    """Stop a run, or services of it; return the exit code."""
    with choosing.open_records() as (store, records):
        record, names = choosing.choose_run(words, option, records)
        if not record.has_controller and not names:
            recovering.end_orphaned(store, record)
            print(f"{record.run} is stopped", file=sys.stderr)
            return 0
    return asyncio.run(_stop(record, names, at_once=at_once))


async def _stop(record: "stores.Record", names: Sequence[str], *, at_once: bool) -> int:
    async with background.connect(record) as client:
        if names:
            await client.stop_services(names)
            print(f"{', '.join(names)} of {record.run}: stopped", file=sys.stderr)
            return 0
        await client.stop_run(at_once)
    _wait_for_end(record)
    print(f"{record.run} is stopped", file=sys.stderr)
    return 0


def _wait_for_end(record: "stores.Record") -> None:
    """Wait until the run's controller process is gone too."""
    try:
        watched = os.pidfd_open(record.controller.pid)
    except OSError:
        return
    try:
        if record.has_controller:
            select.select([watched], [], [], _END_TIMEOUT_S)
    finally:
        os.close(watched)


def restart(words: Sequence[str], option: str | None) -> int:
    """Restart services of a run (all of them without names); return the exit code."""
    with choosing.open_records() as (_, records):
        record, names = choosing.choose_run(words, option, records)
    return asyncio.run(_restart(record, names))


async def _restart(record: "stores.Record", names: Sequence[str]) -> int:
    async with background.connect(record) as client:
        if not names:
            status = await client.status()
            # tasks are run again only when told by name
            names = sorted({one.service for one in status.services if one.kind == "service"})
        await client.restart_services(names)
        status = await client.status()
    ready = [one.name for one in status.services if {one.name, one.service} & set(names)]
    print(f"{', '.join(ready)} of {record.run}: restarted", file=sys.stderr)
    return 0


def clean(names: Sequence[str], *, everything: bool, volumes: bool, as_json: bool) -> int:
    """Give back what runs left; return the exit code."""
    store = recovering.open_store()
    try:
        known = [record.run for record in recovering.sweep(store)]
        if everything:
            for record in store.records():
                if record.has_controller and (not names or record.run in names):
                    asyncio.run(_stop(record, (), at_once=False))
        cleaned = recovering.clean(store, names, volumes=volumes)
    finally:
        store.close()
    missed = [name for name in names if name not in cleaned.runs and name not in cleaned.folders]
    if missed and not everything:
        raise _not_cleaned(missed[0], is_alive=missed[0] in known)
    if as_json:
        streams.print_json(
            {
                "runs": list(cleaned.runs),
                "folders": list(cleaned.folders),
                "volumes": list(cleaned.volumes),
            }
        )
        return 0
    runs = statuses.say_count(len(cleaned.runs), "run")
    folders = statuses.say_count(len(cleaned.folders), "folder")
    what = ", ".join(dict.fromkeys((*cleaned.runs, *cleaned.folders)))
    print(f"ended {runs}, removed {folders}" + (f": {what}" if what else ""))
    if volumes:
        count = statuses.say_count(len(cleaned.volumes), "volume")
        print(f"removed {count}" + "".join(f"\n  {name}" for name in cleaned.volumes))
    return 0


def _not_cleaned(name: str, *, is_alive: bool) -> errors.UsageError:
    if is_alive:
        return errors.UsageError(
            "usage.run-lives",
            f'cannot clean run "{name}": it is alive',
            do=f"stop it first: stackdsl stop {name}; or clean --all",
        )
    return errors.UsageError(
        "usage.no-run",
        f'cannot clean run "{name}": nothing of it is left here',
        do="see `stackdsl ps`; without a name everything that was left is cleaned",
    )
