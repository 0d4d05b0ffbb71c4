"""Works: the steps under way, what failed last, and engines that are away, for who asks why."""

from collections.abc import Callable

from stackdsl.model import errors, events, reports


class Works:
    """What is known of steps. ``begun``: since when, and how far they are; ``failures``: when and
    how; ``engines_away``: hosts whose engine of containers is away, since when and what was seen.
    Times are nanoseconds since the epoch."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        self.begun: dict[str, tuple[int, str]] = {}
        self.failures: dict[str, tuple[int, errors.StackError]] = {}
        self.engines_away: dict[str, tuple[int, str]] = {}
        self._hide = hide

    def begin(self, event: events.Event) -> None:
        """Take note that a step has begun; an earlier failure of it is over."""
        self.begun[event.subject] = (event.time_ns, "")
        self.failures.pop(event.subject, None)

    def move(self, step_id: str, text: str) -> None:
        """Take note how far a step is."""
        if step_id in self.begun:
            self.begun[step_id] = (self.begun[step_id][0], self._hide(text))

    def finish(self, step_id: str) -> None:
        """Take note that a step is done."""
        self.begun.pop(step_id, None)

    def fail(self, event: events.Event, error: errors.StackError | None) -> None:
        """Take note that a step has failed, and with what if that has not been told before."""
        self.begun.pop(event.subject, None)
        if error is not None:
            self.failures[event.subject] = (event.time_ns, error)

    def note_host(self, report: reports.HostReport, host: str) -> None:
        """Take note whether a machine's engine is away: its containers are unready meanwhile."""
        if report.what == "engine-away":
            self.engines_away[host] = (report.time_ns, self._hide(report.detail))
        elif report.what == "engine-back":
            self.engines_away.pop(host, None)
