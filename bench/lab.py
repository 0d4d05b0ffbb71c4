"""The lab: how soon it is up, with engines too, and whether its uplinks are as declared under load.

Sixteen hosts over five sites; 20 ms declared means 40 ms there and back.
"""

import concurrent.futures
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from bench.figures import Figure
from stackdsl.lab import Lab, entering, opening

ENGINES = 4
SINK = """
import socket
server = socket.create_server(("0.0.0.0", 9000))
while True:
    stream, _ = server.accept()
    while stream.recv(1 << 20):
        pass
"""
SOURCE = """
import socket, sys, time
stream = socket.create_connection((sys.argv[1], 9000))
until = time.monotonic() + 4
while time.monotonic() < until:
    stream.sendall(b"x" * 65536)
"""
FLOOD = """
import socket, sys, time
stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
until = time.monotonic() + 4
while time.monotonic() < until:
    stream.sendto(b"x" * 1400, (sys.argv[1], 9001))
"""


def topology() -> Lab:
    lab = Lab()
    sites = [
        lab.site("office", nat="preserving", subnet="192.168.1.0/24"),
        lab.site("home", nat="symmetric", subnet="192.168.1.0/24"),
        lab.site("cloud", delay="20ms"),
        lab.site("edge", delay="50ms", loss="1%", rate="20Mbit"),
        lab.site("core"),
    ]
    for number in range(15):  # and the controller
        sites[number % 5].host(f"host-{number}", docker=number < ENGINES)
    return lab


def main() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.perf_counter()
        net = opening.open_lab(topology(), root=folder)
        up_s = time.perf_counter() - began_s
        try:
            engines_s = _start_engines(net)
            means = dict(_measure_delays(net))
        finally:
            began_s = time.perf_counter()
            net.close()
        down_s = time.perf_counter() - began_s
    figures = [
        Figure(name="16 hosts over 5 sites are up", ratio=up_s, bound=5, unit="s"),
        Figure(name="4 of them have engines after", ratio=engines_s, bound=10, unit="s"),
        Figure(name="nothing is left of it after", ratio=down_s, unit="s"),
    ]
    for load, mean_ms in means.items():
        off = abs(mean_ms / 40 - 1) * 100
        detail = f"round trip {mean_ms:.1f} ms, 40 ms declared"
        figures.append(
            Figure(name=f"a delay is off, {load}", ratio=off, bound=10, unit="%", detail=detail)
        )
    return figures


def _start_engines(net: opening.LivingLab) -> float:
    began_s = time.perf_counter()
    hosts = [f"host-{number}" for number in range(ENGINES)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda host: net.exec(host, ["docker", "info"]), hosts))
    assert all(each.exit_code == 0 for each in done), done
    return time.perf_counter() - began_s


def _measure_delays(net: opening.LivingLab) -> Iterator[tuple[str, float]]:
    near, far = "host-4", "host-2"
    yield "idle", _ping(net, near, far)
    with _running([[sys.executable, "-c", "while True: pass"]] * 4):
        yield "both cores busy", _ping(net, near, far)
    with _running([entering.command(net.record, far, ["python3", "-c", SINK])]):
        time.sleep(0.5)  # it prints nothing; the source would only fail
        with _running([entering.command(net.record, near, ["python3", "-c", SOURCE, far])]):
            yield "a TCP stream at full speed", _ping(net, near, far)
    with _running([entering.command(net.record, near, ["python3", "-c", FLOOD, far])]):
        yield "a flood of UDP", _ping(net, near, far)


def _ping(net: opening.LivingLab, near: str, far: str) -> float:
    said = net.exec(near, ["ping", "-q", "-i0.02", "-c100", far]).stdout
    found = re.search(r"= [\d.]+/([\d.]+)/", said)
    assert found is not None, said
    return float(found[1])


@contextlib.contextmanager
def _running(commands: list[list[str]]) -> Iterator[None]:
    """Run programs meanwhile; those inside of the lab end with it at the latest."""
    processes = [subprocess.Popen(each, stderr=subprocess.DEVNULL) for each in commands]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
