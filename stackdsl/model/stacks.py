"""A stack: its services and the settings that hold for all of them."""

from typing import Literal

from stackdsl.model.data import dataclass
from stackdsl.model.services import Service  # the module's name is a field's name below


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What holds for links between machines; ``subnet`` None: a free one is chosen."""

    encrypt: Literal["auto", "always"] = "auto"
    subnet: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """What becomes of services when their controller dies; ``mode`` None: the command's default
    (adopt for `start`, reap for `run` and tests)."""

    mode: Literal["reap", "adopt", "grace"] | None = None
    grace_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StackModel:
    """A checked stack. ``file`` is absolute or None; ``folder`` is where relative paths start;
    ``log_limit_bytes`` bounds each log stream of each replica on disk; ``secrets`` are values that
    are masked wherever we print or store."""

    name: str
    file: str | None
    folder: str
    services: tuple[Service, ...] = ()
    network: Network = Network()
    crash: Crash = Crash()
    log_limit_bytes: int = 64 * 1024 * 1024
    secrets: tuple[str, ...] = ()

    def service(self, name: str) -> Service | None:
        """Return the service of that name; ``order-api`` finds ``order_api``."""
        for service in self.services:
            if service.name == name:
                return service
        for service in self.services:
            if service.name.replace("_", "-") == name:
                return service
        return None
