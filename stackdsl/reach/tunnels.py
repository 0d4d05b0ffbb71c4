"""Tunnels: connections between machines that do not reach each other, led through the controller.

A caller here is accepted here. A caller on another machine is accepted by the node there, which
passes it on to a Unix socket that sshd leads to us: sshd itself would listen on 127.0.0.1 alone.
Laws: each connection is dialled from the machine of the callee, when it comes.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace

from stackdsl.model import errors, places, specs
from stackdsl.node import streams
from stackdsl.reach import connecting


class _Tunnel(streams.Streams):
    """A forward whose targets are dialled from another machine."""

    def __init__(
        self, wanted: specs.Forward, connector: connecting.Connector, place: places.Ssh | None
    ) -> None:
        super().__init__(wanted)
        self._connector = connector
        self._place = place

    async def _dial(self, protocol: asyncio.Protocol, host: str, port: int) -> None:
        if self._place is None:
            await super()._dial(protocol, host, port)
            return
        try:
            connection = await self._connector.connect(self._place)
        except errors.StackError as error:
            raise ConnectionRefusedError(error.what) from error
        await connection.open_tcp((host, port), protocol)


class Tunnels:
    """The tunnels of a run. ``hosts`` are the places of its far machines, by name; ``folders``
    where sockets may lie there."""

    def __init__(self, connector: connecting.Connector) -> None:
        self.hosts: dict[str, places.Ssh] = {}
        self.folders: dict[str, str] = {}
        self._connector = connector
        self._standing: dict[str, dict[str, _Tunnel]] = {}
        self._paths: dict[tuple[str, str], str] = {}
        self._number = 0

    async def set(self, host: str, wanted: Sequence[specs.Forward]) -> tuple[specs.Forward, ...]:
        """Make the tunnels that begin on a host exactly those among ``wanted`` that have ``via``;
        return the forwards for its node.

        Raises:
            HostError: an address is taken here, or sshd there refuses.
        """
        standing = self._standing.setdefault(host, {})
        tunnelled = {forward.id: forward for forward in wanted if forward.via}
        for gone in [key for key in standing if key not in tunnelled]:
            await standing.pop(gone).close()
        plain = [forward for forward in wanted if not forward.via]
        for key, forward in tunnelled.items():
            known = standing.get(key)
            if known is not None and known.wanted.via == forward.via:
                known.retarget(forward)
            else:
                if known is not None:
                    await standing.pop(key).close()
                made = _Tunnel(forward, self._connector, self.hosts.get(forward.via))
                await self._open(host, made)
                standing[key] = made
            if host in self.hosts:
                path = self._paths[host, key]
                plain.append(replace(forward, via="", targets=((path, 0),)))
        return tuple(plain)

    async def _open(self, host: str, made: _Tunnel) -> None:
        if host in self.hosts:
            await self._listen_there(host, made)
            return
        try:
            await made.open()
        except OSError as error:
            forward = made.wanted
            raise errors.HostError(
                "host.listen",
                f'cannot listen on "{forward.listen_host}:{forward.listen_port}"'
                f' for "{forward.subject}": {error.strerror}',
                why=f"the forward is needed: {forward.cause}",
                do=f"see what listens there: ss -lnt 'sport = :{forward.listen_port}'",
            ) from error

    async def _listen_there(self, host: str, made: _Tunnel) -> None:
        self._number += 1
        path = os.path.join(self.folders[host], f"t{self._number}")
        connection = await self._connector.connect(self.hosts[host])
        await connection.listen_unix(path, made.accept)
        self._paths[host, made.wanted.id] = path

    async def renew(self, host: str) -> tuple[str, ...]:
        """Let a host listen again after its connection was lost; return the ids of forwards of its
        node that are led elsewhere now.

        Raises:
            HostError: it is lost again.
        """
        renewed = []
        for key, made in self._standing.get(host, {}).items():
            if host in self.hosts:
                await self._listen_there(host, made)
                renewed.append(key)
        return tuple(renewed)

    def forwards_of(self, host: str, wanted: Sequence[specs.Forward]) -> tuple[specs.Forward, ...]:
        """Return the forwards for a host's node, as `set` did, with where they are led now."""
        made = []
        for forward in wanted:
            path = self._paths.get((host, forward.id))
            if not forward.via:
                made.append(forward)
            elif path is not None:
                made.append(replace(forward, via="", targets=((path, 0),)))
        return tuple(made)

    async def close(self) -> None:
        """End them all."""
        for standing in self._standing.values():
            for made in standing.values():
                with contextlib.suppress(OSError):
                    await made.close()
        self._standing.clear()
