"""`start`: a run that is left behind, or changed, and its hidden controller process."""

import asyncio
import socket
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackdsl.cli import choosing, streams, telling
from stackdsl.model import errors, plans, states
from stackdsl.session import background, controlling, naming, nodes, stacks
from stackdsl.views import changes as differences
from stackdsl.views import problems, statuses

if TYPE_CHECKING:
    from stackdsl.registry import client as clients
    from stackdsl.registry import store as stores

_SERVE_TIMEOUT_S = 10.0


def start(words: Sequence[str], option: str | None, copy: str | None, *, as_json: bool) -> int:
    """Start a stack, change a living run, or start services of it; return the exit code."""
    with choosing.open_records() as (_, records):
        chosen = choosing.choose_file(words, option, records)
    record = _find_living(chosen, copy, records)
    starter = _Starter(as_json=as_json)
    try:
        if record is not None and record.has_controller:
            return asyncio.run(starter.change(record, chosen.rest))
        assert chosen.file is not None
        if record is not None and "@" in record.run:
            copy = record.run.partition("@")[2]
        return asyncio.run(starter.start(chosen.file, copy, chosen.rest))
    except KeyboardInterrupt:
        print(
            f"{starter.run or chosen.file} goes on starting; stackdsl stop ends it",
            file=sys.stderr,
        )
        return 130


def _find_living(
    chosen: naming.Chosen, copy: str | None, records: "Sequence[stores.Record]"
) -> "stores.Record | None":
    """Return the run that `start` is about, if it is something already."""
    for record in records:
        if copy is not None:
            is_meant = record.file == chosen.file and record.run.endswith(f"@{copy}")
        else:
            is_meant = record.run == chosen.run
        if is_meant:
            return record
    return None


class _Starter:
    """Starts or changes a run and tells of it."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._paint = streams.paint_for(sys.stderr)
        self._began_s = time.monotonic()
        self.run = ""

    async def start(self, file: str, copy: str | None, names: Sequence[str]) -> int:
        """Start a run that is not alive: all of it, or only what is named."""
        options = controlling.Options(copy=copy, crash="adopt", keep_going=True)
        try:
            async with background.spawn_controller(file, options, only=names) as client:
                return await self._follow_start(client)
        except errors.UsageError as error:
            if error.code != "usage.run-lives":
                raise
            return await self._join(file, copy, error)

    async def _join(self, file: str, copy: str | None, error: errors.UsageError) -> int:
        """Take part in the start that another process began a moment ago.

        Raises:
            UsageError: what lives under that name comes from another file.
        """
        deadline = time.monotonic() + _SERVE_TIMEOUT_S
        while True:
            with choosing.open_records() as (_, records):
                mine = [
                    record
                    for record in records
                    if record.file == file and record.run.partition("@")[2] == (copy or "")
                ]
            if not mine:
                raise error
            try:
                async with background.connect(mine[0]) as client:
                    return await self._follow_start(client)
            except errors.UsageError as refusal:
                if refusal.code != "usage.run-not-served" or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)  # until the other one serves

    async def _follow_start(self, client: "clients.Client") -> int:
        """Show a start until it is over, then its summary."""
        plan = await client.plan()
        self.run = plan.run
        for notice in plan.warnings:
            self._tell(problems.format_warning(notice, self._paint))
        changes = telling.Changes(plan, self._tell, self._paint)
        following = _begin_following(client, changes, since=0)
        try:
            status = await client.settled()
            await changes.wait_until(status.seq)
        except errors.StackError as error:
            return self._fail(error, plan.run)
        finally:
            following.cancel()
        self._summarise(status, plan, changes)
        return 0

    async def change(self, record: "stores.Record", names: Sequence[str]) -> int:
        """Bring a living run to what its file says now, or start services of it."""
        self.run = record.run
        async with background.connect(record) as client:
            before = await client.plan()
            changes = telling.Changes(before, self._tell, self._paint)
            following = _begin_following(client, changes, since=None)
            try:
                if names:
                    await client.start_services(names)
                    plan = before
                else:
                    assert record.file is not None
                    plan = await client.change(record.file)
                status = await client.status()
                await changes.wait_until(status.seq)
            except errors.ServiceError as error:
                return self._fail(error, record.run)
            finally:
                following.cancel()
        if not names:
            self._tell(differences.format_changes(plan.steps, self._paint))
        self._summarise(status, plan, changes)
        return 0

    def _summarise(
        self, status: states.RunStatus, plan: plans.Plan, changes: telling.Changes
    ) -> None:
        if self._as_json:
            streams.print_json(statuses.status_json(status))
            return
        summary = statuses.format_summary(
            status,
            streams.paint_for(sys.stdout),
            took_s=time.monotonic() - self._began_s,
            ready_s=changes.took_s,
            plan=plan,
            advice=f"it goes on; stackdsl stop {status.run} ends it",
        )
        print(summary, end="")

    def _fail(self, error: errors.StackError, run: str) -> int:
        self._tell(problems.format_error(error, self._paint))
        self._tell(f"{run}: what did start goes on; stackdsl stop {run} ends it")
        return error.exit_code

    def _tell(self, text: str) -> None:
        if text:
            print(text, file=sys.stderr, flush=True)


def _begin_following(
    client: "clients.Client", changes: telling.Changes, *, since: int | None
) -> "asyncio.Task[None]":
    """Tell of changes until the caller cancels it; whoever waits for one does so with a limit."""
    # a TaskGroup would wrap the errors that the caller shows to people
    return asyncio.create_task(_follow(client, changes, since=since), name="follow")


async def _follow(client: "clients.Client", changes: telling.Changes, *, since: int | None) -> None:
    async for event in client.events(since, logs=False):
        changes.take(event)
    changes.end()


def control(
    file: str, copy: str | None, names: Sequence[str], node: tuple[int, socket.socket]
) -> int:
    """Be the controller process of a run. ``node`` was started ahead of all else."""

    def load() -> stacks.Stack:
        stack = stacks.load(file)
        return stack.only(*names) if names else stack

    options = controlling.Options(copy=copy, crash="adopt", keep_going=True)
    asyncio.run(
        background.serve_controller(
            load, options=options, reload=stacks.load, spawned=nodes.NodeProcess(*node)
        )
    )
    return 0
