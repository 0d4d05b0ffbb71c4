"""Throughput of links: what a stack tells its callers, against the same programs without stackdsl.

A container sends to a process of the machine and a process to a process: over the addresses of a
stack, and over the engine's own bridge and 127.0.0.1.
"""

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import fleets
from bench.figures import Figure
from tests import engines

PORT = 7300
ROUNDS = 7
BYTES = 2 * 1024**3
SINK = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
with socket.create_server((host, port)) as server:
    buffer = bytearray(1024 * 1024)
    while True:
        stream, _ = server.accept()
        with stream:
            while stream.recv_into(buffer):
                pass
"""
SEND = f"""
import socket, sys, time
piece = b"x" * 262144
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as stream:
    begin = time.monotonic()
    for _ in range({BYTES} // len(piece)):
        stream.sendall(piece)
    stream.shutdown(socket.SHUT_WR)
    stream.recv(1)
    print({BYTES} * 8 / (time.monotonic() - begin) / 1e9)
"""
STACK = f"""
import sys
from stackdsl import Me, Port, Ref, docker, service

def sink(me):
    return [sys.executable, "sink.py", me.bind, str(me.port)]

@service(port={PORT})
def near(me: Me):
    return sink(me)

@service(port={PORT})
def far(me: Me):
    return sink(me)

@service(port=Port({PORT}, listens="127.0.0.1:{PORT + 1}"))
def passed(me: Me):
    return [sys.executable, "sink.py", "127.0.0.1", "{PORT + 1}"]

@service(runs_on=docker("{engines.PYTHON}"))
def caller(far: Ref, passed: Ref):
    return ["sleep", "1000"]

@service()
def here(near: Ref):
    return ["sleep", "1000"]
"""


def main() -> list[Figure]:
    """Measure pairs of each kind."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    (folder / "sink.py").write_text(SINK)
    (folder / "stack.py").write_text(STACK)
    try:
        with engines.running() as engine:
            return measure(engine, folder)
    finally:
        shutil.rmtree(folder)


def measure(engine: engines.Engine, folder: Path) -> list[Figure]:
    """Measure with an engine that runs."""
    environment = fleets.environment(folder) | {"DOCKER_HOST": engine.url}
    with started(folder, environment), plain_sinks(engine, folder) as (box, gateway):
        told = read_told(folder, environment)
        bridge = pairs(
            lambda: send_stack(folder, environment, "caller", told["caller", "far"]),
            lambda: send_plain(engine, box, gateway),
        )
        forward = pairs(
            lambda: send_stack(folder, environment, "caller", told["caller", "passed"]),
            lambda: send_plain(engine, box, gateway),
        )
        loopback = pairs(
            lambda: send_stack(folder, environment, "here", told["here", "near"]),
            lambda: send_here("127.0.0.1"),
        )
    return [
        figure("throughput container to native over the bridge, to plain", bridge, 0.98),
        figure("throughput native to native, to 127.0.0.1", loopback, 0.98),
        figure("throughput container to native, forwarded, to plain", forward, 0.5),
    ]


def pairs(ours: Callable[[], float], plain: Callable[[], float]) -> list[tuple[float, float]]:
    """Measure in turn; the first round warms up."""
    return [(ours(), plain()) for _ in range(ROUNDS + 1)][1:]


def figure(name: str, found: list[tuple[float, float]], bound: float) -> Figure:
    """Return the medians' ratio."""
    ours, plain = (statistics.median(column) for column in zip(*found, strict=True))
    return Figure(
        name=name,
        ratio=ours / plain,
        bound=bound,
        is_at_least=True,
        detail=f"{ours:.1f} to {plain:.1f} Gbit/s",
    )


@contextlib.contextmanager
def started(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run the stack."""
    stackdsl(folder, environment, "start", "stack.py")
    try:
        yield
    finally:
        stackdsl(folder, environment, "stop", "stack")


@contextlib.contextmanager
def plain_sinks(engine: engines.Engine, folder: Path) -> Iterator[tuple[str, str]]:
    """Run a sink on 127.0.0.1 and on the address of a network, and a container in that."""
    api = engine.api
    network = api.create_network("plain", "bridge")["Id"]
    gateway = api.inspect_network(network)["IPAM"]["Config"][0]["Gateway"]
    config = api.create_host_config(network_mode="plain", init=True)
    box = api.create_container(engines.PYTHON, ["sleep", "1000"], host_config=config)["Id"]
    api.start(box)
    sinks = [
        subprocess.Popen([sys.executable, "sink.py", host, str(PORT)], cwd=folder)
        for host in ("127.0.0.1", gateway)
    ]
    try:
        yield box, gateway
    finally:
        for sink in sinks:
            sink.terminate()
            sink.wait()
        api.remove_container(box, force=True)
        api.remove_network(network)


def send_plain(engine: engines.Engine, box: str, gateway: str) -> float:
    """Send from the container without stackdsl."""
    command = ["python3", "-c", SEND, gateway, str(PORT)]
    made = engine.api.exec_create(box, command)
    return float(engine.api.exec_start(made["Id"]))


def send_here(host: str) -> float:
    """Send from a process without stackdsl."""
    argv = [sys.executable, "-c", SEND, host, str(PORT)]
    return float(subprocess.run(argv, check=True, capture_output=True).stdout)


def send_stack(folder: Path, environment: dict[str, str], caller: str, address: str) -> float:
    """Send from where a service of the stack stands to what it is told."""
    host, _, port = address.rpartition(":")
    return float(
        stackdsl(folder, environment, "exec", caller, "--", "python3", "-c", SEND, host, port)
    )


def read_told(folder: Path, environment: dict[str, str]) -> dict[tuple[str, str], str]:
    """Return the address of each link."""
    status = json.loads(stackdsl(folder, environment, "status", "stack", "--json"))
    return {(link["from"], link["to"]): link["address"] for link in status["links"]}


def stackdsl(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """Run a command of the program; return what it printed."""
    done = subprocess.run(
        [fleets.STACKDSL, *arguments], cwd=folder, env=environment, check=False,
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"stackdsl {arguments[0]}: {done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    from bench import figures as table

    for row in main():
        table.print_row(row)
