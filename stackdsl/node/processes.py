"""Starting programs and learning of their end: Popen, a pidfd each, no thread, no SIGCHLD watcher.

Laws: a process that we started is reaped by its pid alone, so that no exit status is ever stolen.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from stackdsl.node import accounts, diagnosing, launches, proctable, wrapping

OnExit = Callable[[], None]

# What Python itself ignores. Source: subprocess.Popen, restore_signals.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)


class Process:
    """A process whose end is watched. ``exit_code`` is 128+N for signals; None while it lives, and
    for ever where it cannot be known (it was not our child)."""

    __slots__ = (
        "_loop",
        "_on_exit",
        "_pidfd",
        "exit_code",
        "has_ended",
        "is_child",
        "pid",
        "start_ticks",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pid: int,
        on_exit: OnExit,
        *,
        is_child: bool,
        start_ticks: int,
    ) -> None:
        self.pid = pid
        self.is_child = is_child
        self.start_ticks = start_ticks
        self.exit_code: int | None = None
        self.has_ended = False
        self._loop = loop
        self._on_exit = on_exit
        self._pidfd = os.pidfd_open(pid)
        loop.add_reader(self._pidfd, self._end)

    def _end(self) -> None:
        if self.is_child:
            self.exit_code = wait_for(self.pid)
        self.has_ended = True
        self.release()
        self._on_exit()

    def release(self) -> None:
        """Watch it no longer."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def signal(self, number: int) -> None:
        """Send a signal to it alone; nothing happens when it has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to its process group where it leads one, else to it alone."""
        if self._pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # Not yet reaped, so neither the pid nor the group can be another's.
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                self.signal(number)


def wait_for(pid: int) -> int | None:
    """Reap an ended child; return its exit code, None when it was reaped before."""
    try:
        status = os.waitid(os.P_PID, pid, os.WEXITED)
    except ChildProcessError:
        return None
    if status is None:
        return None
    return status.si_status if status.si_code == os.CLD_EXITED else 128 + status.si_status


class Spawner:
    """Starts processes, and knows which children are its own and which fell to it as orphans."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._known: dict[int, Process] = {}
        self._orphans: tuple[int, ...] | None = None
        self._programs: dict[tuple[str, str | None], str] = {}
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._home = os.open(".", os.O_PATH | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of everything; nothing is signalled."""
        for process in self._known.values():
            process.release()
        self._known.clear()
        os.close(self._null)
        os.close(self._home)

    def spawn(self, launch: launches.Launch, on_exit: OnExit) -> Process:
        """Start a program; ``on_exit`` is called once when it has ended.

        Raises:
            ServiceError: it cannot be started; the reason stands in ``what``.
        """
        try:
            argv = wrapping.wrap(
                launch.argv, launch.limits, launch.tty, has_cgroup=launch.is_bounded
            )
            if argv is not launch.argv:
                diagnosing.check_program(launch)
            pid = self._spawn_plainly(launch, argv)
            if pid is not None:
                return self._watch(pid, on_exit, is_child=True)
            start = partial(
                subprocess.Popen[bytes],
                argv,
                stdin=self._null if launch.stdin is None else launch.stdin,
                stdout=self._null if launch.stdout is None else launch.stdout,
                stderr=self._null if launch.stderr is None else launch.stderr,
                cwd=launch.cwd or None,
                env=launch.env,
                umask=-1 if launch.umask is None else launch.umask,
                start_new_session=True,
                # Every descriptor of a node is closed on exec: no child has to look for them.
                close_fds=False,
                **_identity(launch),
            )
            child = start() if launch.place is None else launch.place.run(start)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise diagnosing.explain(launch, error) from error
        # Popen must never wait by itself: its end is learned from the pidfd.
        child.returncode = 0
        return self._watch(child.pid, on_exit, is_child=True)

    def _spawn_plainly(self, launch: launches.Launch, argv: tuple[str, ...]) -> int | None:
        """Start a program the short way, which costs us a third of Popen's time; return its pid.

        None where that is not to be had, or fails: Popen then does it, or says why not.
        """
        if launch.place is not None or launch.user is not None or launch.umask is not None:
            return None
        try:
            program = self._find_program(argv[0], launch)
            if program is None:
                return None
            stdio = (launch.stdin, launch.stdout, launch.stderr)
            if launch.cwd:
                os.chdir(launch.cwd)  # posix_spawn(3) takes no folder: the child has ours
            return os.posix_spawn(
                program,
                argv,
                launch.env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, self._null if fd is None else fd, number)
                    for number, fd in enumerate(stdio)
                ],
                setsid=True,
                setsigdef=_RESTORED,
            )
        except (OSError, ValueError):
            return None
        finally:
            os.fchdir(self._home)

    def _find_program(self, name: str, launch: launches.Launch) -> str | None:
        """Return where a program is that is looked for on an absolute PATH.

        Looked up once in a turn of the loop: many services may start in one.
        """
        if "/" in name:
            return name
        path = launch.env.get("PATH")
        key = (name, path)
        found = self._programs.get(key)
        if found is None:
            folders = (os.defpath if path is None else path).split(os.pathsep)
            if not all(map(os.path.isabs, folders)):
                return None
            found = diagnosing.find_program(name, path, "/")
            if found is not None:
                if not self._programs:
                    self._loop.call_soon(self._programs.clear)
                self._programs[key] = found
        return found

    def adopt(self, pid: int, on_exit: OnExit) -> Process:
        """Watch a process that someone else started.

        Raises:
            ProcessLookupError: there is none.
        """
        return self._watch(pid, on_exit, is_child=False)

    def _watch(self, pid: int, on_exit: OnExit, *, is_child: bool) -> Process:
        def ended() -> None:
            if is_child:
                self._known.pop(pid, None)
            on_exit()

        process = Process(
            self._loop,
            pid,
            ended,
            is_child=is_child,
            start_ticks=getattr(proctable.read_stat(pid), "start_ticks", 0),
        )
        if is_child:
            self._known[pid] = process
        return process

    def orphans(self) -> tuple[int, ...]:
        """Return children that we did not start: what services left behind falls to us, since we
        are a subreaper. Those that have ended are reaped.

        Looked up once in a turn of the loop: many services may end in one.
        """
        if self._orphans is None:
            self._orphans = tuple(self._find_orphans())
            self._loop.call_soon(self._forget_orphans)
        return self._orphans

    def _forget_orphans(self) -> None:
        self._orphans = None

    def _find_orphans(self) -> Iterator[int]:
        for pid in proctable.children(os.getpid()):
            if pid in self._known:
                continue
            try:
                ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                continue
            if ended is None:
                yield pid


def _identity(launch: launches.Launch) -> dict[str, Any]:
    """Return Popen's keywords that make the child someone else."""
    if launch.user is None:
        return {}
    account = accounts.find(launch.user)
    if account is None:
        raise diagnosing.unknown_user(launch)
    if account.is_us:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": account.groups()}
