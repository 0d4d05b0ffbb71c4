"""What went wrong, as data: one base class, families by phase, one printed form.

A new class is made only where a caller acts on it; everything else is told apart by ``code``.
"""

from collections.abc import Sequence


class StackError(Exception):
    """One thing that is wrong, with its place in the author's file and the next thing to do.

    ``what`` is one line that reads "cannot VERB THING: FACT"; ``where`` is "file:line @kind name"
    or empty; ``why`` is evidence; ``do`` is never empty; ``code`` is "family.slug".
    ``lines`` are the last lines of the output of the command that failed.
    """

    exit_code = 1

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: str = "",
        why: str = "",
        do: str,
        lines: Sequence[str] = (),
        frames: str = "",
    ) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.why = why
        self.do = do
        self.lines = tuple(lines)
        self.frames = frames

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the printed form: the fact, then labelled lines."""
        rows = [self.what]
        for label, value in (("where", self.where), ("why", self.why), ("do", self.do)):
            if value:
                first, *rest = value.splitlines()
                rows.append(f"  {label:<6} {first}")
                rows.extend(f"         {line}" for line in rest)
        rows.append(f"  code   {self.code}")
        if self.frames:
            rows.extend(f"  | {line}" for line in self.frames.rstrip().splitlines())
        if self.lines:
            rows.append("  last lines")
            rows.extend(f"  | {line}" for line in self.lines)
        return "\n".join(rows)

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows of it: what is said, not the way through our code.

        Source: IPython's InteractiveShell.showtraceback, which asks exceptions for this.
        """
        return self.text().splitlines()

    def fields(self) -> dict[str, object]:
        """Return the error as JSON-able fields."""
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "do": self.do,
            "lines": list(self.lines),
        }


class DefinitionError(StackError):
    """The stack's file is wrong."""

    exit_code = 2


class UsageError(StackError):
    """The call is wrong: an unknown stack, run, service or option."""

    exit_code = 2


class PlanError(StackError):
    """The stack is right but cannot be laid out on what was observed."""

    exit_code = 2


class HostError(StackError):
    """A host lacks something or is not reached."""

    exit_code = 3


class ServiceError(StackError):
    """A service or step failed while the run was under way."""


class TeardownError(StackError):
    """Something could not be given back."""


class InternalError(StackError):
    """A bug of ours."""


class StackErrors(StackError):  # noqa: N818 - it is several errors
    """Several errors at once, in the order of the author's file."""

    def __init__(self, errors: Sequence[StackError]) -> None:
        first = errors[0]
        super().__init__(
            first.code,
            first.what,
            where=first.where,
            why=first.why,
            do=first.do,
            lines=first.lines,
            frames=first.frames,
        )
        self.errors = tuple(errors)
        self.exit_code = max(error.exit_code for error in errors)

    def text(self) -> str:
        """Return every error's printed form, a blank line between."""
        return "\n\n".join(error.text() for error in self.errors)


def flatten(error: StackError) -> tuple[StackError, ...]:
    """Return the single errors that ``error`` stands for."""
    return error.errors if isinstance(error, StackErrors) else (error,)


def raise_all(errors: Sequence[StackError]) -> None:
    """Raise nothing, the only error, or all of them as one.

    Raises:
        StackError: there was at least one error.
    """
    flat = [one for error in errors for one in flatten(error)]
    if len(flat) == 1:
        raise flat[0]
    if flat:
        raise StackErrors(flat)
