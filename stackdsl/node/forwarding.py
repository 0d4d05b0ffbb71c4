"""Forwards: listening addresses of a machine that pass connections and datagrams on to targets.

Laws: a forward listens on exactly the address asked for; its targets may change while connections
live; those that live go on until their ends close them.
"""

import asyncio
import errno
import os
from collections.abc import Sequence
from typing import Protocol

from stackdsl.model import errors, specs
from stackdsl.node import datagrams, streams


class _Forwarder(Protocol):
    """What stands behind one listening address."""

    wanted: specs.Forward

    async def open(self) -> None:
        """Listen."""

    def retarget(self, wanted: specs.Forward) -> None:
        """Pass what comes from now on to other targets."""

    async def close(self) -> None:
        """Listen no longer and end what lives."""


class Forwards:
    """The forwards of one machine, as one value that is set."""

    def __init__(self) -> None:
        self._standing: dict[str, _Forwarder] = {}
        self._turn = asyncio.Lock()

    @property
    def standing(self) -> tuple[specs.Forward, ...]:
        """The forwards that listen now."""
        return tuple(forwarder.wanted for forwarder in self._standing.values())

    async def set(self, wanted: Sequence[specs.Forward]) -> None:
        """Make the forwards exactly these; living connections of those kept go on.

        Raises:
            HostError: a listening address is taken; all the others stand.
        """
        async with self._turn:
            by_id = {forward.id: forward for forward in wanted}
            for gone in [key for key in self._standing if key not in by_id]:
                await self._standing.pop(gone).close()
            failed: list[errors.StackError] = []
            for key, forward in by_id.items():
                standing = self._standing.get(key)
                if standing is not None:
                    standing.retarget(forward)
                    continue
                made = (
                    datagrams.Datagrams(forward)
                    if forward.protocol == "udp"
                    else streams.Streams(forward)
                )
                try:
                    await made.open()
                except OSError as error:
                    failed.append(_explain(forward, error))
                else:
                    self._standing[key] = made
            errors.raise_all(failed)

    async def close(self) -> None:
        """Listen nowhere."""
        await self.set(())


def _explain(forward: specs.Forward, error: OSError) -> errors.HostError:
    """Say in the user's words why an address cannot be listened on."""
    address = f"{forward.listen_host}:{forward.listen_port}"
    what = f'cannot listen on "{address}" for "{forward.subject}"'
    cause = f"the forward is needed: {forward.cause}" if forward.cause else ""
    if error.errno == errno.EADDRINUSE:
        # It scans /proc: only when somebody must be named.
        from stackdsl.node import holders

        holder = holders.find_holder(forward.listen_host, forward.listen_port, forward.protocol)
        return errors.HostError(
            "host.port-taken",
            f"{what}: the address is taken",
            why="\n".join(
                row for row in (f"it is held by {holder}" if holder else "", cause) if row
            ),
            do=f"end what listens there (`ss -lntup 'sport = :{forward.listen_port}'` shows it), "
            "or declare another port",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return errors.HostError(
            "host.address-missing",
            f'{what}: this machine has no address "{forward.listen_host}"',
            why=cause,
            do="plan again: the machine's addresses have changed",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return errors.HostError(
            "host.port-denied",
            f"{what}: this user may not listen on port {forward.listen_port}",
            why=cause,
            do="declare a port of 1024 or more, or run as a user who may",
        )
    return errors.HostError(
        "host.listen", f"{what}: {os.strerror(error.errno or 0)}", why=cause, do="see the cause"
    )
