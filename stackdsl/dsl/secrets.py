"""Secrets: text from the environment, a file or a command, masked wherever we print or store it."""

import os

from stackdsl.dsl import faults, ledgers, values, written
from stackdsl.model import services


class Secret(str):
    """The text of a secret; an ordinary str that remembers its name."""

    __slots__ = ("name",)

    name: str


def secret(
    name: str,
    default: str | None = None,
    *,
    file: values.Path | None = None,
    command: values.Argv | None = None,
) -> Secret:
    """Return a secret: ``$name``, else the content of ``file``, else the output of ``command``
    (a last newline cut), else ``default``.

    Nothing is raised when there is none: loading reports it together with all other faults.
    """
    above = written.frame(1)
    ledger = ledgers.of(above.f_globals)
    folder = written.folder_of(above.f_globals)
    why = ""
    text = os.environ.get(name)
    try:
        if text is None and file is not None:
            text = _read_file(os.path.join(folder, os.path.expanduser(os.fspath(file))))
        if text is None and command is not None:
            text = _read_command(command, folder)
    except (OSError, ValueError, TypeError) as problem:
        why = str(problem)
    text = default if text is None and not why else text
    if text is None:
        where = services.Where(
            file=faults.display(above.f_code.co_filename), line=above.f_lineno, what="secret"
        )
        ledger.faults.add(
            where,
            "definition.secret-unset",
            f'cannot read secret "{name}": it is not set',
            why=why or f"${name} is not in the environment, and there is no default",
            do=f"set {name} in the environment, or give secret(…) default=, file= or command=",
        )
        text = ""
    made = Secret(text)
    made.name = name
    if text:
        ledger.secrets.append(text)
    return made


def _read_file(path: str) -> str:
    with open(path, encoding="utf-8") as opened:
        return opened.read().removesuffix("\n")


def _read_command(command: values.Argv, folder: str) -> str:
    # Only needed for secrets that a program hands out.
    import shlex
    import subprocess

    argv = shlex.split(command) if isinstance(command, str) else [str(one) for one in command]
    try:
        done = subprocess.run(
            argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
        )
    except subprocess.TimeoutExpired as problem:
        raise ValueError(f'"{argv[0]}" did not end within 30 s') from problem
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ValueError(f'"{argv[0]}" exited {done.returncode}: {"".join(last)}')
    return done.stdout.decode("utf-8", "replace").removesuffix("\n")
