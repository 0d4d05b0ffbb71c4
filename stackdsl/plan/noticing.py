"""Warnings about finished plans: what is not wrong but may not be as its author thinks."""

from collections.abc import Sequence

from stackdsl.model import plans, stacks


def find_notices(
    stack: stacks.StackModel, replicas: Sequence[plans.PlannedService]
) -> list[plans.Notice]:
    """Return a warning for each service whose command line shows a secret to the whole machine."""
    notices: dict[str, plans.Notice] = {}
    for replica in replicas if stack.secrets else ():
        argv = replica.command or ()
        if any(secret and secret in word for secret in stack.secrets for word in argv):
            notices.setdefault(
                replica.service,
                plans.Notice(
                    code="plan.secret-in-command",
                    what=f'the command of "{replica.service}" holds a secret',
                    where=replica.where,
                    why="every user of the machine can read the command lines of its processes",
                    do="hand it over in env={…} or in a file, and let the program read it there",
                ),
            )
    return [notices[name] for name in sorted(notices)]
