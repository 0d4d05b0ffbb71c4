"""`attach`: with a name, a living run; with a keyword, a place in a stack's file."""

from typing import TYPE_CHECKING, overload

from stackdsl.dsl import places
from stackdsl.model import errors

if TYPE_CHECKING:  # a stack's file that names a place pays for no connection
    from stackdsl.registry import client as clients
    from stackdsl.session import runs


@overload
def attach(name: str, /) -> "runs.Run": ...


@overload
def attach(
    *,
    container: str | None = None,
    pid: int | None = None,
    process: str | None = None,
    systemd: str | None = None,
    on: places.Place = places.local,
) -> places.Place: ...


def attach(name: str | None = None, /, **place: object) -> "runs.Run | places.Place":
    """Return the living run of that name; leaving it alone again needs nothing.

    With a keyword instead, return a place: what others started (``container``, ``pid``,
    ``process`` or ``systemd``), watched and never started, signalled or stopped.

    Raises:
        UsageError: there is no such run, or it has no controller; or both forms are mixed.
    """
    if name is None:
        return places.attach(depth=1, **place)  # type: ignore[arg-type] # judged when it is read
    if place:
        raise errors.UsageError(
            "usage.call",
            f'cannot attach to "{name}": a run is named, and {", ".join(sorted(place))}= is given',
            do='write attach("run") for a living run, or attach(pid=…) for a place',
        )
    return _attach_run(name)


def _attach_run(name: str) -> "runs.Run":
    # imported here for the same reason as above
    from stackdsl.registry import client as clients
    from stackdsl.session import bridging, handles, recovering, runs

    store = recovering.open_store()
    record = store.record(name)
    known = [one.run for one in store.records()]
    store.close()
    if record is None:
        raise errors.UsageError(
            "usage.no-run",
            f'cannot attach to run "{name}": it is not alive',
            why=f"alive: {', '.join(known)}" if known else "no run is alive",
            do="start it: stackdsl start path/to/stack.py",
        )

    async def connect() -> "tuple[clients.Client, tuple[str, ...]]":
        client = clients.Client(name)
        await client.open(record.folder)
        return client, await client.secrets()

    client, secrets = bridging.call(connect())
    return runs.Run(handles.Held(client, run=name, folder=record.folder, secrets=secrets))
