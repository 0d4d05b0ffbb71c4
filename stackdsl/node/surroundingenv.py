"""The environment of services on a machine that nobody is logged in to: what a login shell has.

Only what says who and where one is: nothing of it comes from the controller.
"""

import asyncio
import os
import pwd

# Everything else that a shell's start files set is for people.
_TAKEN = ("PATH", "LANG", "LC_ALL", "TZ", "DOCKER_HOST", "DOCKER_CONTEXT")
_KEPT = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME")
_TIMEOUT_S = 3.0
_MARK = "stackdsl-environment"


async def read() -> dict[str, str]:
    """Return the environment; a shell that says nothing in time is passed over."""
    user = pwd.getpwuid(os.geteuid())
    base = {
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell or "/bin/sh",
        "PATH": os.environ.get("PATH", os.defpath),
    }
    base |= {name: os.environ[name] for name in (*_TAKEN, *_KEPT) if name in os.environ}
    return base | await _ask_shell(base)


async def _ask_shell(base: dict[str, str]) -> dict[str, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *(base["SHELL"], "-l", "-c", f"echo {_MARK}; env"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=base,
            cwd=base["HOME"] if os.path.isdir(base["HOME"]) else "/",
            start_new_session=True,
        )
    except OSError:
        return {}
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return {}
    _, _, text = said.decode(errors="replace").partition(f"{_MARK}\n")
    rows = (row.partition("=") for row in text.splitlines())
    return {name: value for name, _, value in rows if name in _TAKEN and value}
