"""Ending on other machines what a run left there: which they are stands in the run's folder.

Laws: what a machine keeps is ended by a node there; a machine that is not reached is named.
"""

import json
import os
from collections.abc import Mapping
from typing import cast

from stackdsl.model import errors, places
from stackdsl.model.requests import RunIdentity
from stackdsl.wire import codec

_NOTE = "hosts.json"


def note(folder: str, hosts: Mapping[str, places.Ssh]) -> None:
    """Write down which machines a run uses, and how they are reached."""
    path = os.path.join(folder, _NOTE)
    known = _read(folder) | dict(hosts)
    part = f"{path}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as stream:
        json.dump({name: codec.encode(place) for name, place in known.items()}, stream)
    os.replace(part, path)


def _read(folder: str) -> dict[str, places.Ssh]:
    try:
        with open(os.path.join(folder, _NOTE), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    return {name: cast("places.Ssh", codec.decode(place)) for name, place in found.items()}


def reap(run: str, run_id: str, stack: str, folder: str) -> None:
    """End everything of a run on the machines that it used; blocks.

    Raises:
        HostError: some were not reached; on the others nothing is left.
    """
    hosts = _read(folder)
    if not hosts:
        return
    import asyncio  # only where there are other machines

    identity = RunIdentity(run=run, run_id=run_id, stack=stack, folder=folder)
    errors.raise_all(asyncio.run(_reap_all(hosts, identity)))
    os.unlink(os.path.join(folder, _NOTE))


async def _reap_all(
    hosts: Mapping[str, places.Ssh], identity: RunIdentity
) -> list[errors.StackError]:
    # stacks on one machine do without SSH
    import asyncio

    from stackdsl.reach import connecting, farnodes

    failures: list[errors.StackError] = []
    async with connecting.Connector() as connector, asyncio.TaskGroup() as group:

        async def reap_one(name: str, place: places.Ssh) -> None:
            try:
                node = await farnodes.open_node(name, place, connector, group)
                await node.begin(identity)
                await node.leave("reap")
            except errors.StackError as error:
                failures.append(error)

        async with asyncio.TaskGroup() as reaping:
            for name, place in sorted(hosts.items()):
                reaping.create_task(reap_one(name, place), name=f"reap on {name}")
    return failures
