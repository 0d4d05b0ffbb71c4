"""Events as people and programs read them: a line, or an object, for each."""

from collections.abc import Mapping
from typing import Any

from stackdsl.model import events, states
from stackdsl.views import lines, statuses

_FIELDS = ("seq", "time", "kind", "subject", "was", "state", "reason")


def event_json(event: events.Event) -> dict[str, Any]:
    """Return an event as JSON values: its fields, then its details beside them."""
    row: dict[str, Any] = {name: getattr(event, name) for name in _FIELDS}
    row.update((key, _plain(value)) for key, value in event.details if key not in row)
    return row


def _plain(value: object) -> object:
    if isinstance(value, states.RunStatus):
        return statuses.status_json(value)
    if isinstance(value, Mapping):
        if "$" in value:
            from stackdsl.wire import codec  # a snapshot, after a gap only

            return _plain(codec.decode(dict(value)))
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def format_event(event: events.Event, paint: lines.Paint) -> str:
    """Return an event as a line (several for lines of output), without its end."""
    clock = paint(event.time[11:23], "dim")
    number = paint(f"{event.seq:>5}", "dim")
    details = dict(event.details)
    if event.kind == "log":
        written = details.get("lines")
        rows = [str(row) for row in written] if isinstance(written, tuple | list) else []
        return "\n".join(f"{number} {clock} {event.subject} | {lines.tame(row)}" for row in rows)
    what = f"{event.was} → {event.state}" if event.was else event.state or ""
    _, colour = statuses.SYMBOLS.get(event.state or "", ("", ""))
    words = [event.kind, event.subject, paint(what, colour)]
    if event.kind == "probe" and "probe" in details:
        words.insert(2, str(details["probe"]))
    if event.reason:
        words.append(f"({lines.tame_first(event.reason)})")
    return f"{number} {clock} {' '.join(word for word in words if word)}"


def format_change(
    event: events.Event, paint: lines.Paint, *, prefix: str = "", addresses: str = ""
) -> str:
    """Return the line that tells people of a service's new state, without its end."""
    state = event.state or ""
    symbol, colour = statuses.SYMBOLS.get(state, ("·", ""))
    details = dict(event.details)
    words = [paint(f"{symbol} {state}", colour)]
    if state == "ready" and addresses:
        words.append(addresses)
    if event.reason and state not in ("ready", "starting", "completed"):
        words.append(f"({lines.tame_first(event.reason)})")
    elif event.reason and event.reason != "adopted" and state == "starting":
        words.append(paint(f"({lines.tame_first(event.reason)})", "dim"))
    restarts = details.get("restarts")
    if restarts and state in ("starting", "restarting"):
        words.append(paint(f"restart {restarts}", "dim"))
    return prefix + "  ".join(words)
