"""Reports: what a node tells its controller without being asked."""

from stackdsl.model import states
from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReport:
    """A replica came into ``state``. ``time_ns`` is the node's wall clock. ``final``: no restart
    will follow. ``lines`` are its last lines of output when it failed. ``output`` is a completed
    task's standard output, where wanted. ``container`` is its id in the engine."""

    name: str
    state: states.State
    time_ns: int
    pid: int | None = None
    exit_code: int | None = None
    reason: str = ""
    restarts: int = 0
    is_final: bool = False
    lines: tuple[str, ...] = ()
    output: str | None = None
    why: str = ""
    do: str = ""
    container: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """How far a long step of ours is (a pull, a build): ``subject`` is an image's reference or a
    replica, ``text`` a few words. Never more than five a second for one subject."""

    subject: str
    text: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """A probe's outcome changed, or is told while waiting (never more than one a second)."""

    name: str
    probe: str
    is_ok: bool
    detail: str
    tries: int
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """Something about the machine: a full disk, lost marks, a lost node."""

    what: str
    detail: str
    time_ns: int


Report = StateReport | ProgressReport | ProbeReport | HostReport
