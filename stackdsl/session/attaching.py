"""Taking hold of a living run from Python."""

from stackdsl.model import errors
from stackdsl.registry import client as clients
from stackdsl.session import bridging, handles, recovering, runs


def attach(name: str) -> runs.Run:
    """Return the living run of that name; leaving it alone again needs nothing.

    Raises:
        UsageError: there is none, or it has no controller.
    """
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

    async def connect() -> tuple[clients.Client, tuple[str, ...]]:
        client = clients.Client(name)
        await client.open(record.folder)
        return client, await client.secrets()

    client, secrets = bridging.call(connect())
    return runs.Run(handles.Held(client, run=name, folder=record.folder, secrets=secrets))
