"""A change to a watched service: how soon it serves the new code, against its own start."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import fleets
from bench.figures import Figure, interleave, medians

ROUNDS = 9
DEADLINE_S = 30.0
PAUSE_S = 0.7
PROGRAM = """
import http.server, os, socketserver
VERSION = "{version}"
class Request(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(VERSION.encode())
    def log_message(self, *_): pass
socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer((os.environ["HOST"], int(os.environ["PORT"])), Request).serve_forever()
"""
STACK = """
import sys
from stackdsl import http, service

@service(port=7200, ready=http("/"), watch=["program.py"])
def web():
    return [sys.executable, "program.py"]
"""


def main() -> list[Figure]:
    """Measure the program's own start and a change, in turn."""
    folder = Path(tempfile.mkdtemp(prefix="watching-"))
    (folder / "stack.py").write_text(STACK)
    write(folder, "0")
    try:
        with serving(folder) as (host, port):
            found = medians(
                interleave(
                    {"start": lambda: start(folder), "change": lambda: change(folder, host, port)},
                    ROUNDS,
                )
            )
    finally:
        shutil.rmtree(folder)
    return [
        Figure(
            name="change to serving, to the program's own start",
            ratio=found["change"] / found["start"],
            bound=1.2,
            detail=", ".join(f"{name} {value * 1000:.0f} ms" for name, value in found.items()),
        )
    ]


def write(folder: Path, version: str) -> None:
    """Save the program as editors do: a new file renamed over the old one."""
    fresh = folder / "program.new"
    fresh.write_text(PROGRAM.format(version=version))
    fresh.replace(folder / "program.py")


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """Run the stack and yield the address of its service."""
    environment = fleets.environment(folder)
    run = subprocess.Popen(
        [fleets.STACKDSL, "run", "stack.py"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield wait_for_address(folder, environment)
    finally:
        run.terminate()
        run.wait(30)


def wait_for_address(folder: Path, environment: dict[str, str]) -> tuple[str, int]:
    """Return the service's address once it is ready."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        status = subprocess.run(
            [fleets.STACKDSL, "status", "stack", "--json"],
            cwd=folder, env=environment, check=False, capture_output=True,
        )  # fmt: skip
        services = json.loads(status.stdout)["services"] if status.returncode == 0 else []
        for service in services:
            if service["state"] == "ready":
                (address,) = service["addresses"].values()
                host, _, port = address.rpartition(":")
                return host, int(port)
    raise RuntimeError(f"cannot bench: the stack was not ready in {DEADLINE_S} s")


def start(folder: Path) -> float:
    """Return the seconds from exec to the first answer, with nobody in between."""
    environment = os.environ | {"HOST": "127.88.0.1", "PORT": "7200"}
    time.sleep(PAUSE_S)  # as before a change: what ran just now starts sooner
    begin = time.monotonic()
    with subprocess.Popen([sys.executable, "program.py"], cwd=folder, env=environment) as process:
        wait_for(b"", "127.88.0.1", 7200)
        taken = time.monotonic() - begin
        process.terminate()
    return taken


def change(folder: Path, host: str, port: int) -> float:
    """Return the seconds from saving the file to the first answer of the new code."""
    time.sleep(PAUSE_S)  # one that changes at once counts as a service that writes what it watches
    version = str(time.time_ns())
    begin = time.monotonic()
    write(folder, version)
    wait_for(version.encode(), host, port)
    return time.monotonic() - begin


def wait_for(wanted: bytes, host: str, port: int) -> None:
    """Ask until the answer holds ``wanted``."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        caller = http.client.HTTPConnection(host, port, timeout=1)
        try:
            caller.request("GET", "/")
            if wanted in caller.getresponse().read():
                return
        except (OSError, http.client.HTTPException):
            pass  # not yet there, or just going
        finally:
            caller.close()
        time.sleep(0.002)
    raise RuntimeError(f"cannot bench: {host}:{port} did not answer {wanted!r} in {DEADLINE_S} s")
