"""Nodes on "other" machines for tests: reached through a real sshd, at home in its folders."""

import asyncio
import contextlib
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from stackdsl.model import places, reports
from stackdsl.model.requests import RunIdentity
from stackdsl.reach import booting, bundles, connecting, farnodes
from tests import leaks
from tests.waiting import eventually, eventually_async
from tests.worlds import sshds


@dataclass
class Far:
    """A far node and all that it has reported."""

    node: farnodes.FarNode
    connector: connecting.Connector
    group: asyncio.TaskGroup
    seen: list[reports.Report] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def states(self, name: str) -> list[str]:
        """Return the names of a replica's states, in order."""
        return [r.state for r in self.seen if isinstance(r, reports.StateReport) and r.name == name]

    async def until(self, name: str, state: str, within_s: float = 10.0) -> reports.StateReport:
        """Wait until a replica has come into a state."""

        async def look() -> reports.StateReport:
            found = [
                r
                for r in self.seen
                if isinstance(r, reports.StateReport) and (r.name, r.state) == (name, state)
            ]
            assert found, f"{self.seen[-5:]}"
            return found[-1]

        return await eventually_async(look, within_s=within_s)


def send_ahead(machine: sshds.Machine) -> None:
    """Put the bundle there, unpacked, as after an earlier run."""
    bundle = bundles.find()
    nodes = machine.cache / "stackdsl" / "nodes"
    nodes.mkdir(parents=True)
    (nodes / "bundle").write_bytes(bundle.data)
    with zipfile.ZipFile(nodes / "bundle") as packed:
        packed.extractall(nodes / bundle.digest)
    (nodes / "bundle").unlink()


@contextlib.asynccontextmanager
async def running(
    host: str, run: RunIdentity | None, *, lease_s: float = booting.LEASE_S, **fields: object
) -> AsyncIterator[Far]:
    """Start a node on a host of ~/.ssh/config and begin a run; at the end it leaves and reaps."""
    place = places.Ssh(host=host, **fields)  # type: ignore[arg-type]  # a test's own fields
    async with connecting.Connector() as connector, asyncio.TaskGroup() as group:
        node = await farnodes.open_node(host, place, connector, group, lease_s=lease_s)
        far = Far(node, connector, group)
        node.on_state = lambda state, reason: far.told.append(f"{state} {reason}".strip())
        gathering = group.create_task(_gather(far), name="gather reports")
        try:
            if run is not None:
                await node.begin(run)
            yield far
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(15):
                    await node.leave("reap")
            node.close()
            gathering.cancel()


async def _gather(far: Far) -> None:
    async for report in far.node.reports():
        far.seen.append(report)  # seen by the test as they come


def is_left(machine: sshds.Machine) -> dict[int, str]:
    """Return the processes that live there, by pid: nodes, services, what they started."""
    mark = f"{machine.home}/state"
    found = leaks.find_processes(mark)
    return {pid: text for pid, text in found.items() if "sshd" not in text}


def wait_until_left(machine: sshds.Machine) -> None:
    """Fail when something goes on living there."""
    eventually(lambda: not is_left(machine), within_s=10)
