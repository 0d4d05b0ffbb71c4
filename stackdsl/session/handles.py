"""One service of a living run, as Python code holds it: for plain code, for any event loop."""

from collections.abc import Awaitable, Callable, Sequence

from stackdsl import ports
from stackdsl.model import causes, errors, specs, states
from stackdsl.session import bridging, outputs, preparing


class Held:
    """A run held from outside its loop: its control, and how it is let go of."""

    def __init__(
        self,
        control: ports.RunControl,
        *,
        run: str,
        folder: str,
        secrets: tuple[str, ...],
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.control = control
        self.run = run
        self.folder = folder
        self.secrets = secrets
        self._close = close

    async def stop(self) -> None:
        """Stop the run; returns when everything is given back, by its owner too if that is us."""
        await self.control.stop_run(at_once=False)
        if self._close is not None:
            await self._close()


def pick(status: states.RunStatus, name: str) -> tuple[states.ServiceStatus, ...]:
    """Return the replicas that the name of a service or replica stands for.

    Raises:
        UsageError: there are none.
    """
    plain = name.replace("-", "_")
    mine = tuple(
        one
        for one in status.services
        if plain in (one.name.replace("-", "_"), one.service.replace("-", "_"))
    )
    if not mine:
        raise preparing.unknown_service(
            name, status.run, sorted({one.service for one in status.services})
        )
    return mine


class _BaseService:
    """What both faces of a service share: values that need no waiting."""

    def __init__(self, held: Held, name: str, index: int | None = None) -> None:
        self._held = held
        self._name = name
        self._index = index

    def __repr__(self) -> str:
        index = "" if self._index is None else f"[{self._index}]"
        try:
            return f"<{type(self).__name__} {self._name}{index} of {self._held.run}: {self.state}>"
        except errors.StackError:  # the run has ended, and nobody is left to ask
            return f"<{type(self).__name__} {self._name}{index} of {self._held.run}, which ended>"

    def _statuses(self) -> tuple[states.ServiceStatus, ...]:
        return pick(bridging.call(self._held.control.status()), self._name)

    @property
    def status(self) -> states.ServiceStatus:
        """The status of this replica (the first one for a service)."""
        mine = self._statuses()
        if self._index is None:
            return mine[0]
        if not -len(mine) <= self._index < len(mine):
            raise IndexError(self._index)
        return mine[self._index]

    @property
    def name(self) -> str:
        """The replica's name; a service's with several replicas."""
        mine = self._statuses()
        return self._name if self._index is None and len(mine) > 1 else self.status.name

    @property
    def state(self) -> states.State:
        """The state now; of a service with several replicas the least ready one's."""
        if self._index is not None:
            return self.status.state
        order = ("failed", "stopped", "stopping", "restarting", "waiting", "starting", "unready")
        found = [one.state for one in self._statuses()]
        for state in order:
            if state in found:
                return state
        return found[0]

    @property
    def pid(self) -> int | None:
        """The main process, if one lives."""
        return self.status.pid

    @property
    def addr(self) -> str:
        """``host:port`` of the default port, for a caller that stands where this code runs.

        Raises:
            UsageError: it has no port.
        """
        addresses = self.status.addresses
        if not addresses:
            raise errors.UsageError(
                "usage.no-port",
                f'cannot tell the address of "{self._name}": it has no port',
                do="give it port=… in the stack",
            )
        return dict(addresses).get("default", addresses[0][1])

    @property
    def host(self) -> str:
        """The address without the port."""
        return self.addr.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port's number."""
        return int(self.addr.rpartition(":")[2])

    @property
    def addresses(self) -> dict[str, str]:
        """``host:port`` by port name."""
        return dict(self.status.addresses)

    @property
    def url(self) -> str:
        """``scheme://host:port`` of the default port.

        Raises:
            UsageError: the port has no scheme.
        """
        plan = bridging.call(self._held.control.plan())
        planned = plan.service(self.status.name)
        addr = self.addr
        for port in planned.ports if planned else ():
            if f"{port.host}:{port.told_port}" == addr and port.scheme:
                return f"{port.scheme}://{addr}"
        raise errors.UsageError(
            "usage.no-scheme",
            f'cannot tell the URL of "{self._name}": its port has no scheme',
            do="give it Port(…, scheme=…) or an http probe in the stack, or use .addr",
        )

    def logs(self, *, tail: int | None = None) -> str:
        """Return the output so far, both streams merged by time, secrets masked."""
        names = [one.name for one in self._statuses()]
        if self._index is not None:
            names = [self.status.name]
        return outputs.read_text(self._held.folder, names, self._held.secrets, tail=tail)

    @property
    def output(self) -> str:
        """A completed task's standard output, last newline cut."""
        return outputs.read_stream(self._held.folder, self.status.name, "out").removesuffix("\n")

    def surroundings(self) -> specs.ServiceSpec:
        """Return the program, environment and folder of the replica."""
        return bridging.call(self._held.control.surroundings(self.status.name))


class Service(_BaseService):
    """One service of a run, for plain code; ``[i]`` is one replica."""

    def __getitem__(self, index: int) -> "Service":
        one = Service(self._held, self._name, index)
        _ = one.status
        return one

    def __len__(self) -> int:
        return len(self._statuses())

    def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = 60,
    ) -> ports.Executed:
        """Run a command in the service's surroundings; ``timeout`` in seconds.

        Raises:
            ServiceError: time was up.
        """
        return bridging.call(self._held.control.execute(self.status.name, argv, timeout))

    def why(self) -> causes.Explanation:
        """Return why it is as it is, down to the root; print it to read it. Of several replicas
        the one that is worst off is explained."""
        return bridging.call(self._held.control.why(self.name))[0]

    def stop(self) -> None:
        """Stop it; returns when everything it started is gone."""
        bridging.call(self._held.control.stop_services([self.name]))

    def start(self) -> None:
        """Start it, and what it needs; returns when ready."""
        bridging.call(self._held.control.start_services([self.name]))

    def restart(self) -> None:
        """Restart it; returns when ready again."""
        bridging.call(self._held.control.restart_services([self.name]))

    def wait(self, *state: str, timeout: float | None = 30) -> states.ServiceStatus:
        """Wait until it is in one of the states (ready); ``timeout`` in seconds.

        Raises:
            ServiceError: time was up, or it failed for good.
        """
        bridging.call(self._held.control.wait_for(self.name, state or ("ready",), timeout))
        return self.status


class AsyncService(_BaseService):
    """One service of a run, for any event loop; ``[i]`` is one replica."""

    def __getitem__(self, index: int) -> "AsyncService":
        one = AsyncService(self._held, self._name, index)
        _ = one.status
        return one

    def __len__(self) -> int:
        return len(self._statuses())

    async def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = 60,  # noqa: ASYNC109  # same words as the plain face
    ) -> ports.Executed:
        """Run a command in the service's surroundings; ``timeout`` in seconds."""
        name = self.status.name
        return await bridging.acall(self._held.control.execute(name, argv, timeout))

    async def why(self) -> causes.Explanation:
        """Return why it is as it is, down to the root; print it to read it. Of several replicas
        the one that is worst off is explained."""
        return (await bridging.acall(self._held.control.why(self.name)))[0]

    async def stop(self) -> None:
        """Stop it; returns when everything it started is gone."""
        await bridging.acall(self._held.control.stop_services([self.name]))

    async def start(self) -> None:
        """Start it, and what it needs; returns when ready."""
        await bridging.acall(self._held.control.start_services([self.name]))

    async def restart(self) -> None:
        """Restart it; returns when ready again."""
        await bridging.acall(self._held.control.restart_services([self.name]))

    async def wait(
        self,
        *state: str,
        timeout: float | None = 30,  # noqa: ASYNC109  # same words as the plain face
    ) -> states.ServiceStatus:
        """Wait until it is in one of the states (ready); ``timeout`` in seconds."""
        wanted = state or ("ready",)
        await bridging.acall(self._held.control.wait_for(self.name, wanted, timeout))
        return self.status
