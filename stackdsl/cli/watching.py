"""`status`, `ps`, `events` and `wait`: looks at living runs."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stackdsl.cli import choosing, screens, staying, streams
from stackdsl.model import errors, states
from stackdsl.model import events as model_events
from stackdsl.session import background, recovering
from stackdsl.views import eventlines, statuses

if TYPE_CHECKING:
    from stackdsl.registry import client as clients
    from stackdsl.registry import store as stores

SERVICE_STATES = (
    "waiting", "starting", "ready", "unready", "restarting", "running", "completed", "failed",
    "stopping", "stopped",
)  # fmt: skip
RUN_STATES = ("starting", "ready", "degraded", "stopping", "stopped", "failed")
_WATCH_MIN_S = 0.05
# What a status shows; probes and steps are told by `events`.
_TELLING = ("service-changed", "host", "run", "link", "gap")
_PAUSE_S = 0.5


def status(words: Sequence[str], option: str | None, *, as_json: bool, is_watching: bool) -> int:
    """Print the status of a run, or again at every change; return the exit code."""
    record, rest = _find(words, option)
    choosing.refuse_rest(rest, "status")
    return asyncio.run(_show_status(record, as_json=as_json, is_watching=is_watching))


def _find(words: Sequence[str], option: str | None) -> "tuple[stores.Record, list[str]]":
    with choosing.open_records() as (_, records):
        return choosing.choose_run(words, option, records)


async def _show_status(record: "stores.Record", *, as_json: bool, is_watching: bool) -> int:
    if is_watching and not as_json and screens.is_live():
        from stackdsl.cli import onlooking  # and rich with it

        return await onlooking.look_on(record)
    async with background.connect(record) as client:
        now = await client.status()
        await _print_status(client, now, as_json=as_json)
        if not is_watching:
            return 0

    async def show(client: "clients.Client") -> None:
        now = await client.status()
        async for event in client.events(now.seq, logs=False):
            if event.seq <= now.seq or event.kind not in _TELLING:
                continue
            await asyncio.sleep(_WATCH_MIN_S)  # many changes at once are shown together
            now = await client.status()
            await _print_status(client, now, as_json=as_json, is_again=True)

    await staying.stay(record, show)
    return 0


async def _print_status(
    client: "clients.Client", now: states.RunStatus, *, as_json: bool, is_again: bool = False
) -> None:
    if as_json:
        streams.print_json(statuses.status_json(now))
        return
    text = statuses.format_status(
        now,
        streams.paint_for(sys.stdout),
        now=datetime.now(UTC),
        plan=await client.plan(),
        width=streams.width_of(sys.stdout),
    )
    if is_again:
        print()
    print(text, end="", flush=True)


def ps(*, as_json: bool) -> int:
    """List the runs; return the exit code."""
    store = recovering.open_store()
    try:
        listed = recovering.list_runs(store)
    finally:
        store.close()
    rows = [
        {
            "run": one.run,
            "stack": one.stack,
            "state": one.state,
            "since": _say_time(one.created_ns),
            "file": one.file,
            "folder": one.folder,
            "pid": one.pid,
            "on_crash": one.crash,
        }
        for one in listed
    ]
    if as_json:
        streams.print_json(rows)
    elif rows:
        paint = streams.paint_for(sys.stdout)
        print(statuses.format_runs(rows, paint, now=datetime.now(UTC)), end="")
    else:
        print("no run is alive", file=sys.stderr)
    return 0


def _say_time(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // 1_000_000 / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def events(
    words: Sequence[str],
    option: str | None,
    *,
    since: int,
    is_following: bool,
    has_logs: bool,
    as_json: bool,
) -> int:
    """Print the events of a run after a number; return the exit code."""
    record, rest = _find(words, option)
    choosing.refuse_rest(rest, "events")
    work = _print_events(record, since, is_following, has_logs=has_logs, as_json=as_json)
    return asyncio.run(work)


async def _print_events(
    record: "stores.Record", since: int, is_following: bool, *, has_logs: bool, as_json: bool
) -> int:
    paint = streams.paint_for(sys.stdout)
    async with background.connect(record) as client:
        last = None if is_following else (await client.status()).seq
        if since == last:
            return 0
        async for event in _read_kept(client.events(since, logs=has_logs), last):
            if as_json:
                print(streams.json_line(eventlines.event_json(event)), end="", flush=True)
            else:
                print(eventlines.format_event(event, paint), flush=True)
    return 0


async def _read_kept(
    source: AsyncIterator[model_events.Event], last: int | None
) -> AsyncIterator[model_events.Event]:
    """Yield events up to number ``last``, or for ever; what is kept comes in one go, so a pause is
    its end too (the last number may be that of a line of output, which is not asked for)."""
    while True:
        try:
            async with asyncio.timeout(None if last is None else _PAUSE_S):
                event = await anext(source, None)
        except TimeoutError:
            return
        if event is None:
            return
        yield event
        if last is not None and event.seq >= last:
            return


def wait(
    words: Sequence[str], option: str | None, *, wanted: str | None, timeout: str | None
) -> int:
    """Wait until a run, or services of it, are in a state; return the exit code."""
    timeout_s = None if timeout is None else choosing.parse_duration(timeout, "--timeout")
    record, names = _find(words, option)
    known = SERVICE_STATES if names else RUN_STATES
    if wanted is None:
        chosen: tuple[str, ...] = ("ready", "completed") if names else ("ready",)
    else:
        chosen = tuple(part.strip() for part in wanted.split(","))
    for state in chosen:
        if state not in known:
            raise _unknown_state(state, known, "service" if names else "run")
    return asyncio.run(_wait(record, names, chosen, timeout_s))


async def _wait(
    record: "stores.Record", names: Sequence[str], wanted: Sequence[str], timeout_s: float | None
) -> int:
    async with background.connect(record) as client:
        try:
            async with asyncio.TaskGroup() as group:
                for name in names or (None,):
                    work = client.wait_for(name, wanted, timeout_s)
                    group.create_task(work, name=f"wait for {name}")
        except* errors.StackError as group_error:
            errors.raise_all(
                [one for one in group_error.exceptions if isinstance(one, errors.StackError)]
            )
    return 0


def _unknown_state(state: str, known: Sequence[str], what: str) -> errors.UsageError:
    import difflib  # only on the way out

    near = difflib.get_close_matches(state, known, n=2)
    return errors.UsageError(
        "usage.unknown-state",
        f'cannot wait for "{state}": it is no state of a {what}',
        why=f"near: {', '.join(near)}" if near else "",
        do=f"choose of {', '.join(known)}",
    )
