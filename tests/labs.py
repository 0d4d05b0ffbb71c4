"""Labs for tests: built for a whole file of them, and programs on their hosts to talk to."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from stackdsl.lab import Lab, entering, opening

# Says where each datagram came from; "quiet" only tells us.
OBSERVER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, sender = s.recvfrom(2000)
    print(f"{sender[0]}:{sender[1]} {data.decode()}", flush=True)
    if sys.argv[2:] != ["quiet"]:
        s.sendto(f"{sender[0]}:{sender[1]}".encode(), sender)
"""
# Sends from one port to several observers; prints what each saw.
ASKER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[1])))
s.settimeout(1.5)
for each in sys.argv[2:]:
    host, port = each.rsplit(":", 1)
    s.sendto(b"hello", (host, int(port)))
    try:
        print(s.recvfrom(2000)[0].decode())
    except TimeoutError:
        print("silence")
"""
# Tries every port at once; prints those that answer within a moment.
SCANNER = """
import asyncio, sys
async def attempt(port):
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(sys.argv[1], port)
        writer.close()
        print(port)
    except OSError:
        pass
async def main():
    await asyncio.gather(*[attempt(int(port)) for port in sys.argv[2:]])
asyncio.run(main())
"""


@contextlib.contextmanager
def built(lab: Lab, folder: Path) -> Iterator[opening.LivingLab]:
    """Build a lab whose folder is below ``folder``."""
    with opening.open_lab(lab, root=str(folder / "labs")) as net:
        yield net


@contextlib.contextmanager
def running(net: opening.LivingLab, host: str, code: str, *arguments: str) -> Iterator[list[str]]:
    """Run a Python program on a host from its line "ready" on; yields its lines, complete after the
    block."""
    command = entering.command(net.record, host, ["python3", "-uc", code, *arguments])
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield lines
        finally:
            ended = net.exec(host, ["pkill", "-f", f"^python3 -uc .*{arguments[0]}"], user="root")
            assert ended.exit_code == 0, ended
            lines += process.stdout.read().splitlines()


def ask(net: opening.LivingLab, host: str, code: str, *arguments: str) -> list[str]:
    """Run a Python program on a host; return its lines."""
    done = net.exec(host, ["python3", "-c", code, *arguments])
    assert done.exit_code == 0, done
    return done.stdout.splitlines()


def reaches(net: opening.LivingLab, host: str, target: str) -> bool:
    """Whether a host gets an echo from another."""
    return net.exec(host, ["ping", "-c1", "-W1", target]).exit_code == 0


def logs_in(net: opening.LivingLab, target: str) -> bool:
    """Whether the controller gets into a host by SSH."""
    words = ["ssh", "-o", "ConnectTimeout=2", target, "true"]
    return net.exec("controller", words).exit_code == 0
