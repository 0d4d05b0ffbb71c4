"""What a body is handed: `Ref` for a dependency, `Me` for the service itself. Plain values."""

from collections.abc import Mapping, Sequence

from stackdsl.model import errors
from stackdsl.model.data import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRef:
    """One port of a dependency, as this caller reaches it."""

    name: str
    host: str
    port: int
    scheme: str | None = None
    owner: str = ""

    @property
    def addr(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """``scheme://host:port``.

        Raises:
            DefinitionError: the port has no scheme.
        """
        if self.scheme is None:
            raise errors.DefinitionError(
                "definition.no-scheme",
                f'cannot read .url of "{self.owner}": its port "{self.name}" has no scheme',
                why="a scheme comes from Port(scheme=), from an http probe on the port,"
                " or from a port named http or https",
                do=f'give "{self.owner}" {self._written()}, or use .addr',
            )
        return f"{self.scheme}://{self.addr}"

    def _written(self) -> str:
        """Return how an author gives this port a scheme; its number may not be the told one."""
        if self.name == "default":
            return 'port=Port(…, scheme="…")'
        return f'ports={{"{self.name}": Port(…, scheme="…")}}'


class Ports(dict[str, PortRef]):
    """Ports by name; one that there is not is refused with the names that there are."""

    __slots__ = ()

    def __missing__(self, name: object) -> PortRef:
        import difflib  # only once something is wrong

        near = difflib.get_close_matches(str(name), self, n=1)
        guess = f'did you mean "{near[0]}"? ' if near else ""
        listed = ", ".join(f'"{known}"' for known in self) or "none at all"
        raise errors.DefinitionError(
            "definition.unknown-port",
            f'cannot read .ports["{name}"]: there is no such port',
            do=f"{guess}its ports are {listed}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A dependency, as this caller reaches it.

    ``ports`` by name; ``replicas`` in order (a service with one replica holds itself there);
    ``.host .port .addr .url`` speak of the default port of the first replica.
    """

    name: str
    default: PortRef | None = None
    ports: Mapping[str, PortRef] = field(default_factory=Ports)
    others: tuple["Ref", ...] = ()
    task_output: str | None = None
    is_task: bool = False

    def _default(self, attribute: str) -> PortRef:
        if self.default is None:
            raise errors.DefinitionError(
                "definition.no-port",
                f'cannot read .{attribute} of "{self.name}": it has no port',
                why="an address needs a port",
                do=f'give "{self.name}" port=…; to order only, use needs=[…] instead',
            )
        return self.default

    @property
    def host(self) -> str:
        """The address without the port."""
        return self._default("host").host

    @property
    def port(self) -> int:
        """The port number that this caller uses."""
        return self._default("port").port

    @property
    def addr(self) -> str:
        """``host:port``."""
        return self._default("addr").addr

    @property
    def url(self) -> str:
        """``scheme://host:port``."""
        return self._default("url").url

    @property
    def replicas(self) -> Sequence["Ref"]:
        """All replicas, in order."""
        return self.others or (self,)

    @property
    def output(self) -> str:
        """A completed task's standard output: UTF-8, last newline cut, at most 64 KiB.

        Raises:
            DefinitionError: this is no task.
        """
        if not self.is_task or self.task_output is None:
            raise errors.DefinitionError(
                "definition.no-output",
                f'cannot read .output of "{self.name}": it is not a completed task',
                why="only tasks have an output, and only once they have completed",
                do="read .addr of a service; make it a @task to use its output",
            )
        return self.task_output


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The service itself: what it must bind, what others are told, a folder of its own."""

    name: str
    index: int = 0
    bind: str = "127.0.0.1"
    dir: str = ""
    own: Ref
    bound: Mapping[str, int] = field(default_factory=dict)
    default_port: str | None = None

    @property
    def replicas(self) -> Sequence[Ref]:
        """Refs of all replicas of this service, itself included."""
        return self.own.replicas

    @property
    def host(self) -> str:
        """The address that callers on this machine are told."""
        return self.own.replicas[self.index].host

    @property
    def port(self) -> int:
        """The port number that the service must bind.

        Raises:
            DefinitionError: it has no port.
        """
        if self.default_port is None:
            raise errors.DefinitionError(
                "definition.no-port",
                f'cannot read .port of "me": "{self.name}" has no port',
                do=f'give "{self.name}" port=…',
            )
        return self.bound[self.default_port]

    @property
    def ports(self) -> Mapping[str, PortRef]:
        """The service's own ports by name; ``.port`` is what must be bound."""
        own = self.own.replicas[self.index].ports
        return Ports(
            {
                name: PortRef(
                    name=name,
                    host=ref.host,
                    port=self.bound.get(name, ref.port),
                    scheme=ref.scheme,
                    owner=ref.owner,
                )
                for name, ref in own.items()
            }
        )

    @property
    def addr(self) -> str:
        """``host:port`` as callers on this machine are told."""
        return self.own.replicas[self.index].addr

    @property
    def url(self) -> str:
        """``scheme://host:port`` as callers on this machine are told."""
        return self.own.replicas[self.index].url
