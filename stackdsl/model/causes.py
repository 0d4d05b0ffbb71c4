"""Causes: why something of a run is as it is, from what was asked about down to the root."""

from typing import Literal

from stackdsl.model.data import dataclass

CauseKind = Literal["service", "task", "external", "image", "network", "link", "forward", "host"]

_WELL = ("ready", "completed")
# Nothing has failed as long as this is how the root is: it is on its way.
_UNDER_WAY = ("waiting", "starting", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing in the chain. ``subject`` is a replica, or what ``kind`` says: an image's
    reference, a host, of a link its callee. ``since`` is RFC 3339 UTC, "" if it is not known.
    ``why`` is one line; ``evidence`` is what was seen, an entry may have several lines; ``do`` is
    what to do next, "" where the next in the chain says it."""

    subject: str
    kind: CauseKind
    state: str
    since: str = ""
    why: str = ""
    evidence: tuple[str, ...] = ()
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a replica is as it is: ``causes`` lead from it (the first) to the root (the last).
    ``headline`` says both in one line. ``affects`` are other replicas with the same root, told
    where a whole run is explained. ``is_past``: the run has ended, and so it was then."""

    run: str
    name: str
    headline: str
    causes: tuple[Cause, ...]
    affects: tuple[str, ...] = ()
    is_past: bool = False

    @property
    def root(self) -> Cause:
        """What it all comes from."""
        return self.causes[-1]

    @property
    def is_well(self) -> bool:
        """Whether nothing needs to be explained: it is ready, or has completed."""
        return self.causes[0].state in _WELL

    @property
    def exit_code(self) -> int:
        """The exit code of a command that tells it: 0 well, or on the way with nothing failed; 3 a
        host is the cause; else 1."""
        if self.is_well or self.root.state in _UNDER_WAY:
            return 0
        if self.is_past and self.root.state == "stopped":
            return 0  # with the run, in order
        return 3 if self.root.kind == "host" else 1

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the printed form: the headline, then the chain, what was seen, what to do."""
        rows = [self.headline]
        if len(self.causes) > 1:
            width = max(len(one.subject) for one in self.causes)
            for number, one in enumerate(self.causes):
                is_told = one is self.root  # in the headline
                said = one.state if is_told or not one.why else f"{one.state}: {one.why}"
                rows.append(_label("" if number else "chain", f"{one.subject:<{width}}  {said}"))
        first = True
        for entry in self.root.evidence:
            head, *rest = entry.splitlines() or [""]
            rows.append(_label("seen" if first else "", head))
            rows.extend(f"  | {line}" for line in rest)
            first = False
        if self.affects:
            rows.append(_label("also", f"{', '.join(self.affects)}, for the same cause"))
        if self.root.do:
            head, *rest = self.root.do.splitlines()
            rows.append(_label("do", head))
            rows.extend(_label("", line) for line in rest)
        return "\n".join(rows)


def _label(label: str, text: str) -> str:
    return f"  {label:<6} {text}".rstrip()
