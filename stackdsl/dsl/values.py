"""Values: what authors hand to keywords, written down as given and read later."""

import os
from collections.abc import Mapping, Sequence
from typing import Literal, Never

from stackdsl.dsl import written

Duration = float | str
Size = int | str
Argument = str | int | float | os.PathLike[str]
Argv = Sequence[Argument]
Path = str | os.PathLike[str]


class Port(written.Written):
    """A port: the canonical ``number`` and what else is to be known of it.

    ``scheme`` makes `.url`; ``publish`` (a port, or "address:port") adds an address for people;
    ``listens`` ("address:port") is where the program insists on listening; ``bind`` overrides
    what `me.bind` says.
    """

    __slots__ = ()

    def __init__(
        self,
        number: int,
        *,
        scheme: str | None = None,
        protocol: Literal["tcp", "udp"] = "tcp",
        publish: int | str | None = None,
        listens: str | None = None,
        bind: str | None = None,
        **unknown: Never,
    ) -> None:
        values = {
            "number": number,
            "scheme": scheme,
            "protocol": protocol,
            "publish": publish,
            "listens": listens,
            "bind": bind,
        }
        super().__init__("Port", values, unknown)


class Restart(written.Written):
    """When an ended service is started again: at most ``max`` times in a row, after ``backoff``
    that doubles up to ``cap``; having run for ``reset_after`` starts the count anew."""

    __slots__ = ()

    def __init__(
        self,
        on: Literal["no", "on-failure", "always"],
        *,
        max: int = 5,  # noqa: A002 - the language's public keyword
        backoff: Duration = "1s",
        cap: Duration = "30s",
        reset_after: Duration = "60s",
        **unknown: Never,
    ) -> None:
        values = {"on": on, "max": max, "backoff": backoff, "cap": cap, "reset_after": reset_after}
        super().__init__("Restart", values, unknown)


class Limits(written.Written):
    """What a service may use at most: cores, bytes, open files."""

    __slots__ = ()

    def __init__(
        self,
        *,
        cpu: float | None = None,
        memory: Size | None = None,
        files: int | None = None,
        **unknown: Never,
    ) -> None:
        super().__init__("Limits", {"cpu": cpu, "memory": memory, "files": files}, unknown)


class Scale(written.Written):
    """How many replicas there may be, and the load in cores per replica that adds one."""

    __slots__ = ()

    def __init__(
        self,
        min: int,  # noqa: A002 - as above
        max: int,  # noqa: A002 - as above
        *,
        cpu: float | None = None,
        **unknown: Never,
    ) -> None:
        super().__init__("Scale", {"min": min, "max": max, "cpu": cpu}, unknown)


class Network(written.Written):
    """What holds for links between machines of a stack."""

    __slots__ = ()

    def __init__(
        self,
        *,
        encrypt: Literal["auto", "always"] = "auto",
        subnet: str | None = None,
        **unknown: Never,
    ) -> None:
        super().__init__("Network", {"encrypt": encrypt, "subnet": subnet}, unknown)


class Command(written.Written):
    """What a body may return: the program (a list, or a string split as a shell splits words),
    additions to the environment (None removes), the folder to start in."""

    __slots__ = ()

    def __init__(
        self,
        argv: Argv,
        *,
        env: Mapping[str, str | int | float | None] | None = None,
        cwd: Path | None = None,
        **unknown: Never,
    ) -> None:
        super().__init__("Command", {"argv": argv, "env": env, "cwd": cwd}, unknown)


class Source(written.Written):
    """Where a file of ``files=`` comes from: ``template(…)`` or ``copy(…)``."""

    __slots__ = ()


class Tmpfs(written.Written):
    """A mount in memory."""

    __slots__ = ()


class Condition(written.Written):
    """A dependency with the condition that it must meet: ``started(db)`` and its like."""

    __slots__ = ()


def template(path: Path) -> Source:
    """Return a file whose ``${db.addr}`` are replaced; ``path`` starts at the stack's folder."""
    return Source("template", {"path": path}, {})


def copy(path: Path) -> Source:
    """Return a file or folder copied as it is; ``path`` starts at the stack's folder."""
    return Source("copy", {"path": path}, {})


def tmpfs(path: str) -> Tmpfs:
    """Return a mount in memory at ``path``."""
    return Tmpfs("tmpfs", {"path": path}, {})


Dependency = str | written.Declaration


def started(dependency: Dependency) -> Condition:
    """Return the need that ``dependency`` has been started."""
    return Condition("started", {"dependency": dependency}, {})


def ready(dependency: Dependency) -> Condition:
    """Return the need that service ``dependency`` is ready."""
    return Condition("ready", {"dependency": dependency}, {})


def completed(dependency: Dependency) -> Condition:
    """Return the need that ``dependency`` has ended with exit code 0."""
    return Condition("completed", {"dependency": dependency}, {})


def planned(dependency: Dependency) -> Condition:
    """Return the need for ``dependency``'s address without any order; allowed in cycles."""
    return Condition("planned", {"dependency": dependency}, {})
