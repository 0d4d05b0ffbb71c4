"""What is put in front of a program: a shell that sets limits or takes a terminal, then becomes it.

The shell is replaced by the program (exec), so the pid is the program's own.
"""

import shlex

from stackdsl.model import services


def wrap(
    argv: tuple[str, ...], limits: services.Limits, tty: str | None, *, has_cgroup: bool = False
) -> tuple[str, ...]:
    """Return the argv to start; the same object where nothing is wanted.

    ``has_cgroup``: memory is bounded by a cgroup already, so no address space limit is set.
    """
    steps = []
    if limits.files is not None:
        steps.append(f"ulimit -n {limits.files}")
    if limits.memory_bytes is not None and not has_cgroup:
        # Address space is all that can be bounded without a cgroup. Source: setrlimit(2).
        steps.append(f"ulimit -v {max(1, limits.memory_bytes // 1024)}")
    if tty is not None:
        # The leader of a session that has no terminal gets the first one that it opens.
        steps.append(f"exec 0<>{shlex.quote(tty)} 1>&0 2>&0")
    if not steps:
        return argv
    return ("/bin/sh", "-c", "; ".join(["set -e", *steps, 'exec "$@"']), "sh", *argv)
