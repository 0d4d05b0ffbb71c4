"""Proving links: a packet from where the caller will be, and the cause if it does not get through.

Laws: sockets are opened in a namespace on the run's bridge, so that they meet the same rules as the
caller; whoever forwards in between accepts before it knows, so the callee's own socket is tried
too; nothing is sent over TCP, one empty datagram over UDP.
"""

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from stackdsl.model import errors, specs
from stackdsl.model.requests import Inspection
from stackdsl.node import bridges, firewalls, namespaces, netlinks, processes

_FIRST_S = 0.5
_RETRY_S = 0.05
_UDP_RETRY_S = 1.0  # the kernel tells of few refused datagrams a second: icmp(7), icmp_ratelimit
_UDP_WAIT_S = 0.1
_HOST_TRY_S = 1.0
_TIMED_OUT = errno.ETIMEDOUT
# the callee may be about to listen; what a firewall rejects does not change, but looks the same
_PASSING = (errno.ECONNREFUSED, errno.ECONNRESET)

Look = Callable[[str], Awaitable[Inspection]]


class Prover:
    """Tries links. ``look`` tells what a replica listens on; ``tell`` takes what should be known of
    how links were tried; ``spawner`` starts what reads the firewall."""

    def __init__(self, look: Look, tell: Callable[[str], None], spawner: processes.Spawner) -> None:
        self._spawner = spawner
        self._look = look
        self._tell = tell
        self._places: dict[str, namespaces.Place | None] = {}
        self._plugs: list[specs.Namespace] = []
        self._turn = asyncio.Lock()

    async def prove(self, edges: Sequence[specs.Edge], timeout_s: float) -> tuple[str, ...]:
        """Try all edges side by side; return "" or the cause found, for each. A second line of a
        cause says what to do."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._prove(edge, timeout_s), name=f"prove {edge.target}")
                for edge in edges
            ]
        return tuple(task.result() for task in tasks)

    async def _prove(self, edge: specs.Edge, timeout_s: float) -> str:
        place = await self._find_place(edge)
        told = (edge.host, edge.number)
        first_s = min(_FIRST_S, timeout_s)
        failed = await _try(place, told, edge.protocol, first_s)
        if failed and (found := _name_private(edge, await self._see(edge))):
            return found  # it will not listen elsewhere later
        if failed:
            failed = await _try(place, told, edge.protocol, max(timeout_s - first_s, _FIRST_S))
        if failed:
            return await self._explain(edge, place, told, failed)
        if edge.reached[0] and edge.reached != told:
            failed = await _try(None, edge.reached, edge.protocol, timeout_s)
            return await self._explain(edge, None, edge.reached, failed) if failed else ""
        return ""

    async def _find_place(self, edge: specs.Edge) -> namespaces.Place | None:
        """Return where the caller will be: a namespace on the bridge, None for the machine."""
        network = edge.network
        if edge.vantage == "native" or network is None:
            return None
        async with self._turn:
            if network.bridge not in self._places:
                self._places[network.bridge] = await self._make_place(network)
            return self._places[network.bridge]

    async def _make_place(self, network: specs.Network) -> namespaces.Place | None:
        wanted = specs.Namespace(
            bridge=network.bridge,
            address=bridges.prober_address(network),
            prefix=ipaddress.IPv4Network(network.subnet).prefixlen,
            gateway=network.gateway,
        )
        try:
            place = await namespaces.make(wanted, "")
        except errors.HostError as error:
            self._tell(f"links are tried from this machine, not from the bridge: {error.why}")
            return None
        self._plugs.append(wanted)
        return place

    async def close(self) -> None:
        """Give the namespaces back."""
        plugs, self._plugs = self._plugs, []
        for plug in plugs:
            try:
                await netlinks.run_aside(partial(netlinks.delete, namespaces.name_outside(plug)))
            except errors.HostError as error:  # it goes with its namespace, a little later
                self._tell(f"the cable of a proof is not removed: {error.what}")
        for place in self._places.values():
            if place is not None:
                place.close()
        self._places.clear()

    async def _explain(
        self,
        edge: specs.Edge,
        place: namespaces.Place | None,
        target: tuple[str, int],
        failed: int,
    ) -> str:
        """Find out why it does not get through from a place to a socket."""
        seen = await self._see(edge)
        found = _name_private(edge, seen) or _name_absent(edge, seen)
        if found:
            return found
        if place is not None and not await _try(None, target, edge.protocol, _HOST_TRY_S):
            return await self._blame_firewall(edge)
        address = f"{target[0]}:{target[1]}"
        if failed in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return f"there is no route to {address}: {os.strerror(failed)}"
        if failed == _TIMED_OUT:
            return (
                f"{address} does not answer: a firewall drops packets to it, or it hangs\n"
                "look at `iptables-save` and `nft list ruleset` on this machine"
            )
        return f"{address} refuses: {os.strerror(failed)}"

    async def _blame_firewall(self, edge: specs.Edge) -> str:
        """Say which rule drops what this machine itself gets through."""
        assert edge.network is not None
        bridge = edge.network.bridge
        own = {edge.network.gateway, *edge.network.addresses}
        chain = "INPUT" if edge.host in own else "FORWARD"
        rule = await firewalls.find_drop(self._spawner, chain, bridge)
        allow = (
            f"iptables -I INPUT -i {bridge} -j ACCEPT (with ufw: ufw allow in on {bridge})"
            if chain == "INPUT"
            else f"iptables -I DOCKER-USER -i {bridge} -o {bridge} -j ACCEPT"
        )
        seen = f" ({rule})" if rule else ""
        return (
            f"a firewall on this machine drops packets from the bridge {bridge} to {edge.host}:"
            f"{edge.number}{seen}\nlet them through: {allow}"
        )

    async def _see(self, edge: specs.Edge) -> Inspection:
        """Return what can be seen of the callee."""
        try:
            return await self._look(edge.target)
        except errors.StackError:
            return Inspection()


def _list_bound(edge: specs.Edge, seen: Inspection) -> list[str]:
    """Return the addresses at which the callee's program listens on the port in question."""
    port = _port_of(edge)
    mine = [each for each in seen.listeners if each.protocol == edge.protocol]
    return sorted({each.address for each in mine if each.port == port})


def _port_of(edge: specs.Edge) -> int:
    return edge.bound[1] or edge.reached[1] or edge.number


def _name_private(edge: specs.Edge, seen: Inspection) -> str:
    """Return what to say of a program that listens on loopback alone, though nobody forwards."""
    there = _list_bound(edge, seen)
    if not there or edge.bound[0].startswith("127."):
        return ""
    if not all(each.startswith("127.") or each == "::1" for each in there):
        return ""
    name, port = edge.target, _port_of(edge)
    keeps = "" if _is_boxed(edge) else f', or declare Port({port}, listens="{there[0]}:{port}")'
    return (
        f'"{name}" listens on {there[0]} only, which is not reached from "{edge.source}"\n'
        f'let "{name}" listen on 0.0.0.0 (me.bind){keeps}'
    )


def _name_absent(edge: specs.Edge, seen: Inspection) -> str:
    """Return what to say of a program that does not listen on the port at all."""
    if _list_bound(edge, seen) or not (seen.pids or seen.listeners):
        return ""  # it does, or cannot be seen from here
    mine = [each for each in seen.listeners if each.protocol == edge.protocol]
    others = ", ".join(f"{each.address}:{each.port}" for each in mine) or "nothing"
    name = edge.target
    return (
        f'nobody listens at {edge.host}:{edge.number}: "{name}" listens on {others}\n'
        f'let "{name}" listen on port {_port_of(edge)} (me.port), or declare the port that it takes'
    )


def _is_boxed(edge: specs.Edge) -> bool:
    """Tell whether the callee has a network of its own."""
    return edge.bound[0] in ("", "0.0.0.0")  # noqa: S104 - it is compared, not bound


async def _try(
    place: namespaces.Place | None, target: tuple[str, int], protocol: str, timeout_s: float
) -> int:
    """Send a packet until it gets through or time is up; return 0, or why not as an errno."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    opens = partial(_open, kind)
    attempt = _try_udp if protocol == "udp" else _try_tcp
    failed = _TIMED_OUT
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                with opens() if place is None else place.run(opens) as stream:
                    try:
                        await attempt(stream, target)
                    except OSError as error:
                        failed = error.errno or errno.EIO
                    else:
                        return 0
                if failed not in _PASSING:
                    return failed
                await asyncio.sleep(_UDP_RETRY_S if protocol == "udp" else _RETRY_S)
    except TimeoutError:
        return failed


def _open(kind: int) -> socket.socket:
    return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)


async def _try_tcp(stream: socket.socket, target: tuple[str, int]) -> None:
    await asyncio.get_running_loop().sock_connect(stream, target)


async def _try_udp(stream: socket.socket, target: tuple[str, int]) -> None:
    """Send an empty datagram, and another in case it was lost; a refusal comes back by ICMP at
    once, silence is no refusal."""
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stream, target)
    for _ in range(2):
        stream.send(b"")
        try:
            async with asyncio.timeout(_UDP_WAIT_S):
                await loop.sock_recv(stream, 1)
        except TimeoutError:
            continue
        return
