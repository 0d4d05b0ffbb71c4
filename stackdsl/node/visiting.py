"""A person's command in a container: their terminal, or their pipes, are its own.

Runs in the person's process, not in a node: no node stands between the two ends of a terminal.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from stackdsl.model import errors
from stackdsl.node import containercommands, dialing, endpoints, engines

_READ_BYTES = 65536


async def visit(endpoint: endpoints.Endpoint, container: str, argv: Sequence[str]) -> int:
    """Run a command in a container with our standard streams; return its exit code.

    Raises:
        HostError: the engine is not reached, or refuses: the container does not run.
    """
    engine = engines.Engine(endpoint)
    try:
        await engine.open()
        return await _visit(engine, container, argv)
    finally:
        engine.close()


async def _visit(engine: engines.Engine, container: str, argv: Sequence[str]) -> int:
    is_terminal = os.isatty(0) and os.isatty(1)
    made = await engine.call(
        engine.api.exec_create,
        container,
        list(argv),
        stdin=True,
        tty=is_terminal,
        environment={"TERM": os.environ.get("TERM", "xterm")} if is_terminal else None,
    )
    number = str(made["Id"])
    ended = asyncio.Event()
    take = _show if is_terminal else dialing.Splitter(_write).take
    body = {"Detach": False, "Tty": is_terminal}
    try:
        with _raw() if is_terminal else contextlib.nullcontext():
            line = await dialing.dial(engine, f"POST /exec/{number}/start", take, ended.set, body)
            with contextlib.closing(line):
                if is_terminal:
                    await _follow_size(engine, number)
                _feed(line)
                await ended.wait()
    except asyncio.CancelledError:
        await containercommands.kill(engine, number)
        raise
    seen = await engine.call(engine.api.exec_inspect, number)
    return int(seen.get("ExitCode") or 0)


def _show(data: bytes) -> None:
    _write(1, data)


def _write(stream: int, data: bytes) -> None:
    view = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while view:
            view = view[os.write(2 if stream == 2 else 1, view) :]


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Let every key go through: the terminal of the container makes lines and signals of them."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead stays
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


async def _follow_size(engine: engines.Engine, number: str) -> None:
    """Give the container's terminal the size of ours, now and when it changes."""
    loop = asyncio.get_running_loop()

    def resize() -> None:
        size = os.get_terminal_size(1)
        # Nobody waits for it, and one that comes too late does no harm.
        loop.run_in_executor(None, _resize, engine, number, (size.lines, size.columns))

    loop.add_signal_handler(signal.SIGWINCH, resize)
    resize()


def _resize(engine: engines.Engine, number: str, size: tuple[int, int]) -> None:
    with contextlib.suppress(errors.HostError):
        engines.translate(engine.endpoint, engine.api.exec_resize, number, *size)


def _feed(line: dialing.Line) -> None:
    """Send what comes in, from a thread: an input may be a file, which no loop can wait for."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(RuntimeError, OSError):  # the loop has ended; the input has
            while data := os.read(sys.__stdin__.fileno() if sys.__stdin__ else 0, _READ_BYTES):
                loop.call_soon_threadsafe(line.write, data)
            loop.call_soon_threadsafe(line.write_eof)

    threading.Thread(target=read, name="input", daemon=True).start()
