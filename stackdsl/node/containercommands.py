"""Commands in a container that runs: checks, hooks, commands of people."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from stackdsl.model import errors
from stackdsl.node import containers, dialing, engines, executing


async def run(
    engine: engines.Engine,
    container: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    bounds: tuple[float | None, int],
) -> executing.Outcome:
    """Run a command in a container, wait for its end. ``bounds``: seconds after which it is killed,
    if this user may, and bytes kept of each stream.

    Raises:
        ServiceError: the container does not run, or the engine is not reached.
    """
    timeout_s, limit_bytes = bounds
    kept = Kept(limit_bytes)
    ended = asyncio.Event()
    with containers.service_errors():
        made = await engine.call(
            engine.api.exec_create, container, list(argv), environment=dict(env)
        )
        number = str(made["Id"])
        body = {"Detach": False, "Tty": False}
        splitter = dialing.Splitter(kept.take)
        line = await dialing.dial(
            engine, f"POST /exec/{number}/start", splitter.take, ended.set, body
        )
        try:
            async with asyncio.timeout(timeout_s):
                await ended.wait()
        except TimeoutError:
            await kill(engine, number)
            return kept.outcome(None)
        except asyncio.CancelledError:
            await asyncio.shield(kill(engine, number))
            raise
        finally:
            line.close()
        seen = await engine.call(engine.api.exec_inspect, number)
    code = seen.get("ExitCode")
    if code in (126, 127) and b"OCI runtime exec failed" in kept.parts[1]:
        raise errors.ServiceError(
            "start.no-program",
            f'program "{argv[0]}" was not found in its container',
            why=kept.parts[1].decode(errors="replace").strip()[:300],
            do="name a program that the image has, with its full path if need be",
        )
    return kept.outcome(None if code is None else int(code))


class Kept:
    """The first bytes of both streams."""

    def __init__(self, limit_bytes: int) -> None:
        self.parts = {1: bytearray(), 2: bytearray()}
        self._limit = limit_bytes
        self._is_cut = False

    def take(self, stream: int, data: bytes) -> None:
        """Keep a part."""
        kept = self.parts[2 if stream == 2 else 1]
        room = self._limit - len(kept)
        kept += data[:room]
        self._is_cut = self._is_cut or len(data) > room

    def outcome(self, code: int | None) -> executing.Outcome:
        """Return what became of the command."""
        return executing.Outcome(
            exit_code=code,
            stdout=bytes(self.parts[1]),
            stderr=bytes(self.parts[2]),
            is_cut=self._is_cut,
        )


async def kill(engine: engines.Engine, number: str) -> None:
    """Kill a command: the engine cannot, but its process is one of this machine's; one that this
    user may not signal goes on."""
    with contextlib.suppress(errors.HostError):
        seen = await engine.call(engine.api.exec_inspect, number)
        pid = int(seen.get("Pid") or 0)
        if seen.get("Running") and pid and _stands_in(pid, str(seen.get("ContainerID", ""))):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _stands_in(pid: int, container: str) -> bool:
    """Whether a process of this machine is one of the container's."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
            return container in file.read()
    except OSError:
        return False
