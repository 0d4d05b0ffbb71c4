"""Why a program could not be started, in words that say what to do."""

import errno
import os

from stackdsl.model import errors
from stackdsl.node import launches


def find_program(name: str, path: str | None, cwd: str) -> str | None:
    """Return where a program is that is started as ``name`` with this PATH in this folder."""
    if os.path.dirname(name):
        full = os.path.join(cwd or ".", name)
        return full if _is_program(full) else None
    for folder in (os.defpath if path is None else path).split(os.pathsep):
        full = os.path.join(cwd or ".", folder, name)
        if _is_program(full):
            return full
    return None


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def check_program(launch: launches.Launch) -> None:
    """Make sure that a program that a shell is to become can be found.

    Raises:
        FileNotFoundError: it cannot.
    """
    if find_program(launch.argv[0], launch.env.get("PATH"), launch.cwd) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), launch.argv[0])


def explain(launch: launches.Launch, error: Exception) -> errors.ServiceError:
    """Return what kept a program from being started."""
    program = launch.argv[0] if launch.argv else ""
    if not program:
        return _refuse("start.no-command", "its command is empty", "return a command from its body")
    if launch.cwd and not os.path.isdir(launch.cwd):
        return _refuse(
            "start.no-folder",
            f'folder "{launch.cwd}" does not exist',
            "make the folder, or give another cwd=",
        )
    if launch.user and isinstance(error, PermissionError) and os.geteuid() != 0:
        return _refuse(
            "start.not-root",
            f'becoming user "{launch.user}" takes root',
            "run stackdsl as root, or leave user= out",
            why=f"this node runs as uid {os.geteuid()}",
        )
    if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
        return _explain_program(launch, program, error)
    return _explain_number(program, error)


def _explain_number(program: str, error: Exception) -> errors.ServiceError:
    number = getattr(error, "errno", None)
    if number == errno.ENOEXEC:
        return _refuse(
            "start.no-program",
            f'"{program}" is neither a binary of this machine nor a script that says what runs it',
            'put a line such as "#!/bin/sh" first into it',
        )
    if number in (errno.EAGAIN, errno.ENOMEM):
        return _refuse(
            "start.no-room", f"the machine refuses more processes: {error}",
            "end other programs, or raise the limits (ulimit -u, pids.max)",
        )  # fmt: skip
    return _refuse("start.refused", f'"{program}": {error}', "mend the command or its keywords")


def _explain_program(
    launch: launches.Launch, program: str, error: Exception
) -> errors.ServiceError:
    path = launch.env.get("PATH")
    found = find_program(program, path, launch.cwd)
    if found is None and not os.path.dirname(program):
        return _refuse(
            "start.no-program",
            f'program "{program}" was not found on PATH',
            _suggest(program, path),
            why=f"PATH is {os.defpath if path is None else path}",
        )
    full = found or os.path.join(launch.cwd or ".", program)
    if found is None and not os.path.exists(full):
        return _refuse(
            "start.no-program",
            f'program "{program}" does not exist',
            "correct its path; relative ones start at cwd=",
            why=f'looked at "{full}"',
        )
    if found is None:
        return _refuse(
            "start.no-program",
            f'program "{program}" may not be executed',
            f'run: chmod +x "{full}"',
        )
    interpreter = _interpreter(full)
    if interpreter and not os.path.exists(interpreter):
        return _refuse(
            "start.no-program",
            f'"{interpreter}", which is to run "{program}", does not exist',
            f"correct the first line of {full}",
        )
    who = f'user "{launch.user}"' if launch.user else "this user"
    return _refuse(
        "start.refused",
        f'{who} may not run "{program}": {error}',
        "run it as a user who may (user=), or correct the permissions of the file and of cwd",
        why=f'looked at "{full}" in folder "{launch.cwd}"',
    )


def _interpreter(path: str) -> str:
    try:
        with open(path, "rb") as file:
            first = file.readline(256)
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        return ""
    words = first[2:].split()
    return words[0].decode(errors="replace") if words else ""


def _suggest(program: str, path: str | None) -> str:
    import difflib  # only for people, after a failure

    names: set[str] = set()
    for folder in (path or os.defpath).split(os.pathsep):
        try:
            names.update(os.listdir(folder or "."))
        except OSError:
            continue
    near = difflib.get_close_matches(program, sorted(names), n=1, cutoff=0.75)
    advice = "install it, give its full path, or add its folder to env PATH"
    return f'did you mean "{near[0]}"? Else {advice}' if near else advice


def unknown_user(launch: launches.Launch) -> errors.ServiceError:
    """Return that the machine does not know a launch's user."""
    return _refuse(
        "start.no-user",
        f'user "{launch.user}" does not exist on this machine',
        "create the user, or give another user=",
    )


def _refuse(code: str, fact: str, do: str, why: str = "") -> errors.ServiceError:
    return errors.ServiceError(code, fact, why=why, do=do)
