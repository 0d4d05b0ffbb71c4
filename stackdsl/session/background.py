"""A run that is left behind: a controller process of its own, told by its parent over a socket."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from stackdsl.model import errors, stacks
from stackdsl.registry import client as clients
from stackdsl.registry import serving
from stackdsl.registry import store as stores
from stackdsl.session import answering, controlling, first, nodes


@asynccontextmanager
async def spawn_controller(
    file: str, options: controlling.Options, *, only: Sequence[str] = ()
) -> AsyncIterator[clients.Client]:
    """Start a controller process for ``file`` and yield a client of it; ``only``: for these
    services and what they need.

    The process goes on after this one ends. Its own messages go to ``controller.log`` in the
    run's folder.
    """
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    argv = [sys.executable, "-m", "stackdsl", "_controller", file]
    if options.copy is not None:
        argv += ["--copy", options.copy]
    argv += only
    env = {**os.environ, first.FD_VARIABLE: str(theirs.fileno())}
    os.set_inheritable(theirs.fileno(), True)
    null = os.open(os.devnull, os.O_RDWR)
    try:
        os.posix_spawn(
            sys.executable,
            argv,
            env,
            file_actions=[(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)],
            setsid=True,
        )
    finally:
        os.close(null)
        theirs.close()
    client = clients.Client(file)
    await client.take(mine)
    try:
        yield client
    finally:
        client.close()


async def serve_controller(
    load: Callable[[], stacks.StackModel],
    *,
    options: controlling.Options,
    reload: Callable[[str], stacks.StackModel],
    spawned: nodes.NodeProcess | None = None,
) -> None:
    """Be the controller process: own the run until it is stopped. ``spawned`` is its node, if one
    was started already.

    Errors before anything is started are told to the parent; then the process ends.
    """
    fd = int(os.environ.pop(first.FD_VARIABLE))
    parent = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    loop = asyncio.get_running_loop()
    controller = controlling.Controller(options, reload=reload, spawned=spawned)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, controller.ask_to_stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    try:
        async with controller:
            try:
                plan = await controller.open(load())
            except errors.StackError as error:
                await serving.refuse(parent, error)
                return
            except Exception as error:  # noqa: BLE001 - nobody sees our stderr
                await serving.refuse(parent, _bug(error))
                return
            _redirect_output(controller.folder)
            server = await controller.serve(answering.Answers(controller))
            controller.group.create_task(controller.start_all(plan), name="start")
            await server.take(parent)
            await controller.ended.wait()
            # answers to whoever asked for the stop must get out first
            await asyncio.sleep(0)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _bug(error: Exception) -> errors.InternalError:
    import traceback  # only for bugs

    return errors.InternalError(
        "internal.controller",
        f"cannot start the controller: {type(error).__name__}: {error}",
        do="this is a bug of stackdsl: please report it with the frames below",
        frames="".join(traceback.format_tb(error.__traceback__)),
    )


def _redirect_output(folder: str) -> None:
    path = os.path.join(folder, "controller.log")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


@asynccontextmanager
async def connect(record: stores.Record) -> AsyncIterator[clients.Client]:
    """Yield a client of a living run.

    Raises:
        UsageError: it has no controller.
    """
    client = clients.Client(record.run)
    await client.open(record.folder)
    try:
        yield client
    finally:
        client.close()
