"""A real node on this machine for tests: its process, a client, and all that it has reported."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from stackdsl.model import plans, reports, specs
from stackdsl.model.requests import RunIdentity
from stackdsl.node import client, spawning
from tests.waiting import eventually_async

WITHIN_S = 10.0


@dataclass
class NativeNode:
    """A node process. ``seen`` fills with reports while the loop runs."""

    pid: int
    node: client.RemoteNode
    seen: list[reports.Report] = field(default_factory=list)
    stands: tuple[plans.Observed, ...] = ()

    def of(self, name: str) -> list[reports.StateReport]:
        """Return a replica's states, in order."""
        return [
            each
            for each in self.seen
            if isinstance(each, reports.StateReport) and each.name == name
        ]

    def states(self, name: str) -> list[str]:
        """Return the names of a replica's states, in order."""
        return [each.state for each in self.of(name)]

    async def until(
        self, name: str, *wanted: str, within_s: float = WITHIN_S, times: int = 1
    ) -> reports.StateReport:
        """Wait until a replica has come into one of the states (for the n-th time)."""

        async def look() -> reports.StateReport | None:
            found = [each for each in self.of(name) if each.state in wanted]
            assert len(found) >= times, f"{name}: {self.of(name)[-3:]}"
            return found[times - 1]

        found = await eventually_async(look, within_s=within_s)
        assert found is not None
        return found

    async def until_seen(
        self, is_it: Callable[[reports.Report], bool], within_s: float = WITHIN_S
    ) -> reports.Report:
        """Wait for a report."""

        async def look() -> reports.Report:
            found = [each for each in self.seen if is_it(each)]
            assert found, f"reports: {self.seen[-3:]}"
            return found[0]

        return await eventually_async(look, within_s=within_s)

    def kill(self) -> None:
        """SIGKILL the node itself."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    async def wait(self, within_s: float = WITHIN_S) -> None:
        """Wait until the node's process has ended; the loop goes on, so that a stream is closed."""

        async def look() -> int:
            return os.waitpid(self.pid, os.WNOHANG)[0]

        with contextlib.suppress(ChildProcessError):
            await eventually_async(look, within_s=within_s)


def identity(home: Path, **fields: object) -> RunIdentity:
    """Return a run in a test's state folder; its environment names that folder, as a mark."""
    base: dict[str, object] = {
        "run": "shop",
        "run_id": f"t{home.name.replace('-', '')}",
        "stack": "shop",
        "folder": str(home / "runs" / "shop"),
        "environment": tuple(os.environ.items()),
    }
    return RunIdentity(**{**base, **fields})  # type: ignore[arg-type]  # a test's own fields


def spec(name: str, *argv: str, **fields: object) -> specs.ServiceSpec:
    """Return a service's spec: one replica, no ports, in /."""
    base: dict[str, object] = {
        "name": name,
        "service": name,
        "index": 0,
        "kind": "service",
        "argv": argv,
        "cwd": "/",
    }
    return specs.ServiceSpec(**{**base, **fields})  # type: ignore[arg-type]  # a test's own fields


@contextlib.asynccontextmanager
async def running(run: RunIdentity | None) -> AsyncIterator[NativeNode]:
    """Start a node, begin a run on it; at the end it leaves and reaps, if it still lives."""
    pid, stream = spawning.spawn()
    native = NativeNode(pid, await client.connect(stream))
    async with asyncio.TaskGroup() as group:
        gathering = group.create_task(_gather(native), name="gather reports")
        try:
            if run is not None:
                native.stands = tuple(await native.node.begin(run))
            yield native
        finally:
            with contextlib.suppress(Exception):
                await native.node.leave("reap")
            native.node.close()
            await native.wait()
            gathering.cancel()


async def _gather(native: NativeNode) -> None:
    async for report in native.node.reports():
        native.seen.append(report)


def alive(pids: Iterable[int]) -> list[int]:
    """Return which of the pids live, zombies left out."""
    found = []
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        if text.rpartition(")")[2].split()[0] not in "ZX":
            found.append(pid)
    return found


async def holds(check: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    """Wait until something holds; the loop goes on meanwhile."""

    async def look() -> bool:
        return check()

    await eventually_async(look, within_s=within_s)
