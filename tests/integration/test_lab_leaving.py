"""A lab leaves nothing behind, however its owner ends, and lets no packet out while it lives."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stackdsl.lab import registering
from tests.waiting import eventually

OWNER = """
import sys, time
from stackdsl.lab import Lab, opening
lab = Lab()
home = lab.site("home", nat="preserving", delay="5ms")
cloud = lab.site("cloud", rate="50Mbit")
home.host("db", docker=True)
cloud.host("worker", user="deploy")
net = opening.open_lab(lab, root=sys.argv[1])
assert net.exec("db", ["docker", "info"]).exit_code == 0
net.exec("worker", ["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo stray > ~/stray"])
net.exec("controller", ["ssh", "worker", "setsid sleep 2000 >/dev/null 2>&1 &"])
net.exec("controller", ["sh", "-c", "for h in 1.1.1.1 10.0.0.1 169.254.169.254; do"
         " ping -c2 -i0.2 -W1 $h; done"])
print("up", flush=True)
sys.stdin.read()
net.close()
"""
WITHIN_S = 15.0


def look(folder: Path) -> dict[str, object]:
    """Return everything that a lab could leave behind on this machine."""
    groups = {str(path) for path in Path("/sys/fs/cgroup").glob("**/*lab*") if path.is_dir()}
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True)
    return {
        "processes": sorted(
            command
            for pid in os.listdir("/proc")
            if pid.isdigit() and (command := _command(pid)) and _is_labs(pid, command, folder)
        ),
        "namespaces": _list_namespaces(),
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "rules": rules.stdout,
        "mounts": Path("/proc/self/mounts").read_text(),
        "groups": groups,
        "files": sorted(map(str, folder.rglob("*"))),
        "netns": sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else [],
    }


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _is_labs(pid: str, command: str, folder: Path) -> bool:
    """Whether a process is of the lab: it names its folder, or it is not in our PID namespace."""
    try:
        is_inside = os.readlink(f"/proc/{pid}/ns/pid") not in KNOWN
    except OSError:
        is_inside = False
    return str(folder) in command or is_inside


def _list_namespaces() -> set[str]:
    """Return the namespaces that some process of this machine is in, those of others left out."""
    found = set()
    for pid in os.listdir("/proc"):
        for kind in ("net", "pid", "uts", "mnt"):
            try:
                if pid.isdigit() and _is_labs(pid, "", Path("/nowhere")):
                    found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
            except OSError:
                continue
    return found


KNOWN: set[str] = set()


@pytest.fixture
def before(tmp_path: Path) -> dict[str, object]:
    KNOWN.clear()
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit():
                KNOWN.add(os.readlink(f"/proc/{pid}/ns/pid"))
        except OSError:
            continue
    return look(tmp_path)


def start_owner(folder: Path) -> "subprocess.Popen[str]":
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    return owner


def end(owner: "subprocess.Popen[str]") -> None:
    for stream in (owner.stdin, owner.stdout):
        assert stream is not None
        stream.close()
    owner.wait(WITHIN_S)


def find_guard(folder: Path) -> int:
    for pid in os.listdir("/proc"):
        command = _command(pid) if pid.isdigit() else ""
        if f"guarding.main() {folder}" in command:
            return int(pid)
    raise AssertionError("the lab has no guard")


def test_a_lab_that_is_closed_leaves_nothing(before: dict[str, object], tmp_path: Path) -> None:
    end(start_owner(tmp_path))

    assert look(tmp_path) == before


def test_an_owner_that_is_killed_leaves_nothing(before: dict[str, object], tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    assert look(tmp_path)["processes"]

    owner.kill()
    end(owner)

    eventually(lambda: look(tmp_path) == before, WITHIN_S)


def test_an_owner_and_a_guard_that_are_killed_leave_a_folder_for_the_next_lab(
    before: dict[str, object], tmp_path: Path
) -> None:
    owner = start_owner(tmp_path)
    guard = find_guard(tmp_path)

    os.kill(guard, signal.SIGKILL)
    owner.kill()
    end(owner)

    eventually(lambda: look(tmp_path)["processes"] == before["processes"], WITHIN_S)
    registering.sweep(str(tmp_path))
    eventually(lambda: look(tmp_path) == before, WITHIN_S)


def test_no_packet_leaves_a_lab(tmp_path: Path) -> None:
    """An interface that leads to where the lab's hosts call stays as silent as it was."""

    def count() -> str:
        rows = Path("/proc/net/dev").read_text().splitlines()
        return next(row.split()[10] for row in rows if row.split()[0] == "out0:")

    subprocess.run("ip link add out0 type veth peer name out1", shell=True, check=True)
    try:
        for name in ("out0", "out1"):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        subprocess.run("ip addr add 10.0.0.2/24 dev out0", shell=True, check=True)
        subprocess.run("ip route add 1.1.1.1/32 dev out0", shell=True, check=True)
        before = count()

        end(start_owner(tmp_path))

        assert count() == before
        subprocess.run("ping -c1 -W0.1 1.1.1.1", shell=True, check=False, stdout=subprocess.DEVNULL)
        assert count() != before  # it would have been seen
    finally:
        subprocess.run(["ip", "link", "del", "out0"], check=True)
