"""What is to be said of one replica that is the root of something, by its state. Pure."""

from collections.abc import Sequence
from datetime import datetime

from stackdsl.model import requests, specs, states
from stackdsl.run import scenes, tracing

_LAST_LINES = 5
_NAMED_MAX = 5


class Teller:
    """What is to be said of one replica that is a root, by its state: (why, evidence, do)."""

    def __init__(
        self, scene: scenes.Scene, one: states.ServiceStatus, seen: requests.Inspection
    ) -> None:
        self._scene = scene
        self._one = one
        self._seen = seen
        self._note = scene.note(one.name)
        self._planned = scene.planned.get(one.name)
        self._age_s = age_s(one.since, scene.now_ns)

    @property
    def _logs(self) -> str:
        return f"stackdsl logs {self._scene.status.run} {self._one.name}"

    @property
    def _start(self) -> str:
        return f"stackdsl start {self._scene.status.run} {self._one.name}"

    def tell_waiting(self) -> tuple[str, list[str], str]:
        """Return what to say of one that nothing keeps."""
        name = self._one.name
        begun = [
            (step_id, *self._scene.works[step_id])
            for step_id in (f"start:{name}", f"task:{name}", f"probe:{name}")
            if step_id in self._scene.works and step_id in self._scene.open_steps
        ]
        if begun:
            _, began_ns, text = begun[0]
            age = say_s((self._scene.now_ns - began_ns) / 1e9)
            why = f"its start has been under way for {age}" + (f": {text}" if text else "")
            hooks = [name for name, _ in self._spec.hooks] if self._spec is not None else []
            evidence = ["its hook before_start is run first"] if "before_start" in hooks else []
            return why, [*evidence, *self._say_lines()], f"wait for it, or see {self._logs}"
        evidence = [first_line(self._one.reason)] if self._one.reason else []
        return "it has not been started", evidence, f"start it: {self._start}"

    def tell_starting(self) -> tuple[str, list[str], str]:
        """Return what to say of one that is not ready yet."""
        if self._is_external:
            return self._tell_tried()
        age = say_s(self._age_s)
        why = self._seen.reason or (f"{self._note.probe} so far" if self._note.probe else "")
        why = why or f"it was started {age} ago, and its probes have told nothing yet"
        evidence = []
        if self._spec is not None and not self._spec.is_debugged:
            limit_s = self._spec.start_timeout_s
            evidence.append(f"{age} of its start_timeout of {limit_s:g} s have passed")
        evidence += self._say_restarts() + self._say_peers() + self._say_lines()
        do = self._seen.do or "find out what it waits for, or give it more start_timeout"
        return why, evidence + self._say_processes(), do

    def _tell_tried(self) -> tuple[str, list[str], str]:
        checks = self._planned.checks if self._planned is not None else ()
        limit_s = self._planned.start_timeout_s if self._planned is not None else 0.0
        tried = ", ".join(check.label for check in checks) or self._one.target
        why = f"{tried} has not answered for {say_s(self._age_s)}"
        evidence = [f"it is given {limit_s:g} s", *split(self._seen.reason)]
        return why, evidence, "start it, or correct external(…)"

    def tell_running(self) -> tuple[str, list[str], str]:
        """Return what to say of a task that has not ended."""
        why = f"it still runs, for {say_s(self._age_s)}"
        evidence = []
        if self._spec is not None and self._spec.timeout_s is not None:
            evidence.append(f"its timeout is {self._spec.timeout_s:g} s")
        evidence += self._say_processes() + self._say_restarts() + self._say_lines()
        return why, evidence, f"wait for it, or see what it does: stackdsl logs -f {self._where}"

    def tell_restarting(self) -> tuple[str, list[str], str]:
        """Return what to say of one that is started again and again."""
        why = first_line(self._one.reason) or "it ended, and is started again"
        evidence = self._say_restarts() + self._say_exit() + self._say_lines()
        do = self._note.do or f"mend what makes it end: {self._logs}"
        return why, evidence, do

    def tell_unready(self) -> tuple[str, list[str], str]:
        """Return what to say of one whose probes fail."""
        why = first_line(self._one.reason) or "its probes fail"
        evidence = self._say_processes() + self._say_sockets() + self._say_restarts()
        do = self._note.do or f"see what it says: {self._logs}; restart it: stackdsl restart "
        do = do if self._note.do else do + self._where
        return why, [*evidence, *self._say_lines()], do

    def tell_failed(self) -> tuple[str, list[str], str]:
        """Return what to say of one that is not started again."""
        why = first_line(self._one.reason) or "it failed"
        evidence = [*split(self._note.why), *self._say_exit(), *self._say_restarts(is_brief=True)]
        if not self._note.why and self._note.probe and self._note.probe not in why:
            evidence.append(f"last probe: {self._note.probe}")
        do = self._note.do or f"read its output: {self._logs}; then mend the command or its needs"
        return why, [*evidence, *self._say_lines()], do

    def tell_stopped(self) -> tuple[str, list[str], str]:
        """Return what to say of one that somebody stopped."""
        ago = say_s(self._age_s)
        why = f"somebody stopped it {ago} ago, and nobody has started it since"
        why += f": {self._one.reason}" if self._one.reason else ""
        return why, self._say_exit() + self._say_lines(), f"start it: {self._start}"

    def tell_stopping(self) -> tuple[str, list[str], str]:
        """Return what to say of one that is being stopped."""
        limit = f", with {self._spec.stop_timeout_s:g} s to do so" if self._spec is not None else ""
        why = f"it has been asked to stop {say_s(self._age_s)} ago{limit}"
        return why, self._say_processes() + self._say_lines(), "wait until it is gone"

    def tell_completed(self) -> tuple[str, list[str], str]:
        """Return what to say of one that ended by itself."""
        one = self._one
        ago = say_s(self._age_s)
        if one.kind == "task":
            why = f"it completed {ago} ago" + (f": {one.reason}" if one.reason else "")
            return why, self._say_served(), ""
        do = f"keep it in the foreground, or give restart=; start it again: {self._start}"
        return f"it ended by itself {ago} ago, with exit code 0", self._say_lines(), do

    def tell_ready(self) -> tuple[str, list[str], str]:
        """Return what to say of one that is well."""
        evidence = self._say_served()
        evidence += self._say_restarts() + self._say_peers()
        return f"it has been ready for {say_s(self._age_s)}", evidence, ""

    # --- evidence -------------------------------------------------------------------------------

    @property
    def _spec(self) -> specs.ServiceSpec | None:
        return self._planned.spec if self._planned is not None else None

    @property
    def _where(self) -> str:
        return f"{self._scene.status.run} {self._one.name}"

    @property
    def _is_external(self) -> bool:
        return tracing.kind_of(self._one) == "external"

    def _say_lines(self) -> list[str]:
        return say_lines(self._note.lines or self._seen.lines)

    def _say_processes(self) -> list[str]:
        told = [
            f"{pid} {' '.join(command.split())[:60]}"
            for pid, command in self._seen.pids[:_NAMED_MAX]
        ]
        return [f"its processes: {list_some(told)}"] if told else []

    def _say_sockets(self) -> list[str]:
        if self._spec is None or not self._spec.ports or not self._seen.pids:
            return []
        told = [f"{one.address}:{one.port}" for one in self._seen.listeners]
        return [f"it listens on {list_some(told) or 'nothing'}"]

    def _say_restarts(self, *, is_brief: bool = False) -> list[str]:
        count = self._one.restarts
        if not count:
            return []
        times_ = "once" if count == 1 else f"{count} times"
        last = self._note.last_end
        has_last = last and not is_brief and self._one.state != "restarting"
        return [f"it was restarted {times_}" + (f"; the last time: {last}" if has_last else "")]

    def _say_exit(self) -> list[str]:
        code = self._one.exit_code
        told = self._one.reason
        return [] if code is None or str(code) in told else [f"its exit code was {code}"]

    def _say_peers(self) -> list[str]:
        """Say who of those that it calls is not well, though it does not wait for them."""
        told = []
        for need in self._planned.needs if self._planned is not None else ():
            for name in self._scene.by_service.get(need.name, ()):
                callee = self._scene.replicas[name]
                if name != self._one.name and callee.state not in ("ready", "completed"):
                    told.append(
                        f"it is told the address of {name}, which {tracing.say_is(callee.state)}"
                    )
        return told[:_NAMED_MAX]

    def _say_served(self) -> list[str]:
        """Say who calls it, or waits for it."""
        one = self._one
        calls = [
            f"{link.source} at {link.address}"
            for link in self._scene.plan.links
            if link.target in (one.name, one.service)
        ]
        if calls:
            return [f"it serves {list_some(list(dict.fromkeys(calls)))}"]
        waits = [
            planned.name
            for planned in self._scene.plan.services
            if any(need.name == one.service for need in planned.needs)
        ]
        if waits:
            return [f"it is needed by {list_some(waits)}"]
        where = ", ".join(address for _, address in one.addresses)
        at = f"; it is at {where}" if where else ""
        return [f"nobody in the stack calls it{at}"]


TELLERS = {
    "waiting": Teller.tell_waiting,
    "starting": Teller.tell_starting,
    "running": Teller.tell_running,
    "restarting": Teller.tell_restarting,
    "unready": Teller.tell_unready,
    "failed": Teller.tell_failed,
    "stopped": Teller.tell_stopped,
    "stopping": Teller.tell_stopping,
    "completed": Teller.tell_completed,
    "ready": Teller.tell_ready,
}


def say_lines(lines: Sequence[str]) -> list[str]:
    """Return the last lines of some output as evidence."""
    told = [line for line in lines if line.strip()]
    if len(told) == 1:
        return [f"last line: {told[0]}"]
    return ["\n".join(["last lines:", *told[-_LAST_LINES:]])] if told else []


def first_line(text: str) -> str:
    """Return the first line of a text."""
    return text.partition("\n")[0]


def split(text: str) -> tuple[str, ...]:
    """Return the lines of a text."""
    return tuple(line for line in text.splitlines() if line.strip())


def list_some(told: Sequence[str]) -> str:
    """Return some things in words; how many more there are is said."""
    more = f" and {len(told) - _NAMED_MAX} more" if len(told) > _NAMED_MAX else ""
    return ", ".join(told[:_NAMED_MAX]) + more


def say_s(seconds: float) -> str:
    """Return a duration in words: "0.3 s", "12 s", "4 min", "3 h"."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def age_s(since: str, now_ns: int) -> float:
    """Return how long ago a time (RFC 3339) was, in seconds; 0 for none."""
    return now_ns / 1e9 - datetime.fromisoformat(since).timestamp() if since else 0.0
