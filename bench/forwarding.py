"""What a forward costs: bytes through it and connections over it, against the direct way."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

from bench.figures import Figure, interleave, medians
from stackdsl.model import specs
from stackdsl.node import forwarding

HOST = "127.78.0.1"
PIECE = b"x" * 262144
BYTES = 1024 * 1024 * 1024
CONNECTIONS = 1000
ROUNDS = 3
PING_PONGS = 3000


def main() -> list[Figure]:
    """Measure the direct way and the forwarded one in turn."""
    with helping("sink", "0") as sink, helping("forward", str(sink)) as forward:
        ways = {"direct": sink, "forwarded": forward}
        sent = medians(interleave({n: partial(send, p) for n, p in ways.items()}, ROUNDS))
        met = medians(interleave({n: partial(meet, p) for n, p in ways.items()}, ROUNDS))
        asked = medians(interleave({n: partial(ask, p) for n, p in ways.items()}, ROUNDS))
    gigabits = {name: BYTES * 8 / taken / 1e9 for name, taken in sent.items()}
    return [
        Figure(
            name="throughput of a forward, to direct",
            ratio=gigabits["forwarded"] / gigabits["direct"],
            bound=0.4,
            is_at_least=True,
            detail=", ".join(f"{name} {value:.1f} Gbit/s" for name, value in gigabits.items()),
        ),
        Figure(
            name="throughput of a forward, to 1 Gbit/s",
            ratio=gigabits["forwarded"],
            bound=1.0,
            is_at_least=True,
        ),
        Figure(
            name="a connection over a forward, to direct",
            ratio=met["forwarded"] / met["direct"],
            detail=", ".join(f"{n} {t / CONNECTIONS * 1e6:.0f} us" for n, t in met.items()),
        ),
        Figure(
            name="a round trip over a forward, to direct",
            ratio=asked["forwarded"] / asked["direct"],
            detail=", ".join(f"{n} {t / PING_PONGS * 1e6:.0f} us" for n, t in asked.items()),
        ),
    ]


@contextlib.contextmanager
def helping(role: str, argument: str) -> Iterator[int]:
    """Run one of this file's roles in a process of its own; yield the port that it listens on."""
    command = [sys.executable, "-m", "bench.forwarding", role, argument]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as helper:
        assert helper.stdout is not None
        try:
            yield int(helper.stdout.readline())
        finally:
            helper.terminate()


def send(port: int) -> float:
    """Return the seconds until all bytes have arrived at the sink."""
    with socket.create_connection((HOST, port)) as sock:
        begin = time.monotonic()
        for _ in range(BYTES // len(PIECE)):
            sock.sendall(PIECE)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
        return time.monotonic() - begin


def meet(port: int) -> float:
    """Return the seconds for connections one after the other, each answered with a byte."""
    begin = time.monotonic()
    for _ in range(CONNECTIONS):
        with socket.create_connection((HOST, port)) as sock:
            sock.sendall(b"?")
            sock.recv(1)
    return time.monotonic() - begin


def ask(port: int) -> float:
    """Return the seconds for round trips of a byte over one connection."""
    with socket.create_connection((HOST, port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.monotonic()
        for _ in range(PING_PONGS):
            sock.sendall(b"?")
            sock.recv(1)
        return time.monotonic() - begin


def sink() -> None:
    """Take bytes and throw them away; answer one byte with one."""
    with socket.create_server((HOST, 0), backlog=1024) as server:
        print(server.getsockname()[1], flush=True)
        buffer = bytearray(1024 * 1024)
        while True:
            sock, _ = server.accept()
            with sock, contextlib.suppress(ConnectionError):
                while count := sock.recv_into(buffer):
                    if count == 1:
                        sock.sendall(b"!")


async def forward(target: int) -> None:
    """Forward to the sink, as a node does."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    forwards = forwarding.Forwards()
    wanted = specs.Forward(
        subject="bench", listen_host=HOST, listen_port=port, targets=((HOST, target),)
    )
    await forwards.set([wanted])
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["sink"]:
        sink()
    elif sys.argv[1:2] == ["forward"]:
        asyncio.run(forward(int(sys.argv[2])))
    else:
        from bench import figures as table

        for row in main():
            table.print_row(row)
