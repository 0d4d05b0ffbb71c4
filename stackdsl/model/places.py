"""Places: where a service runs. Launchers nest (`docker("img", on=ssh("h"))`)."""

from typing import ClassVar

from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """A native process on the controller's machine."""

    kind: ClassVar[str] = "local"

    def __str__(self) -> str:
        return "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssh:
    """A machine reached over SSH; options left None come from ~/.ssh/config."""

    host: str
    user: str | None = None
    port: int | None = None
    key: str | None = None
    via: "Ssh | None" = None
    network: str | None = None
    python: str | None = None
    sudo: bool = False
    kind: ClassVar[str] = "ssh"

    def __str__(self) -> str:
        return f"ssh {self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How an image is built; paths are absolute by now."""

    context: str
    dockerfile: str | None = None
    args: tuple[tuple[str, str], ...] = ()
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A container on the engine of ``on``."""

    image: str | None = None
    build: Build | None = None
    on: "Local | Ssh" = Local()
    pull: str = "missing"
    init: bool = True
    options: tuple[tuple[str, object], ...] = ()
    kind: ClassVar[str] = "docker"

    def __str__(self) -> str:
        text = f"docker {self.image or (self.build and self.build.context) or ''}"
        return text if isinstance(self.on, Local) else f"{text} on {self.on}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Systemd:
    """A systemd unit that is started and stopped for the run."""

    unit: str
    on: "Local | Ssh" = Local()
    kind: ClassVar[str] = "systemd"

    def __str__(self) -> str:
        return f"systemd {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Something that others started: watched, never started, signalled or stopped by us."""

    container: str | None = None
    pid: int | None = None
    process: str | None = None
    systemd: str | None = None
    on: "Local | Ssh" = Local()
    kind: ClassVar[str] = "attach"

    def __str__(self) -> str:
        for label, value in (
            ("container", self.container),
            ("pid", self.pid),
            ("process", self.process),
            ("systemd", self.systemd),
        ):
            if value is not None:
                return f"attach {label} {value}"
        return "attach"


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """An address outside the stack that callers are told as declared."""

    host: str
    port: int
    kind: ClassVar[str] = "external"

    def __str__(self) -> str:
        return f"external {self.host}:{self.port}"


Place = Local | Ssh | Docker | Systemd | Attach | External
