"""Machines that are reached over SSH, for tests: real sshds on loopback addresses, with keys,
settings and known hosts of the test's own.

Root's home is not touched: what is kept "there" lies under the test's state folder.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import eventually

PROGRAM = "/usr/sbin/sshd"


@dataclass
class Machine:
    """One sshd. ``home`` is where nodes keep what they keep there."""

    name: str
    address: str
    port: int
    home: Path
    process: subprocess.Popen[bytes]
    options: tuple[str, ...] = ()

    @property
    def cache(self) -> Path:
        """Where bundles lie."""
        return self.home / "cache"

    def stop(self) -> None:
        """End the sshd and the connections that it serves."""
        family = [self.process.pid, *_descendants(self.process.pid)]
        sessions = [pid for pid in family if _name(pid).startswith("sshd")]
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Net:
    """The sshds of a test and the settings by which they are reached."""

    folder: Path
    machines: dict[str, Machine] = field(default_factory=dict)
    holders: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def ssh(self) -> Path:
        """The folder of the settings: ~/.ssh."""
        return self.folder / ".ssh"

    @property
    def known_hosts(self) -> Path:
        """The keys of hosts."""
        return self.ssh / "known_hosts"

    def start(
        self, name: str, *options: str, is_known: bool = True, is_apart: bool = False
    ) -> Machine:
        """Start an sshd and write its settings down; ``options`` are lines for sshd. ``is_apart``:
        in a network of its own, of which only we reach the machine (it takes root)."""
        number = len(self.machines) + 2
        if is_apart:
            self._make_network(name, number)
            machine = self._launch(name, f"10.254.{number}.2", 22, options)
        else:
            machine = self._launch(name, f"127.77.0.{number}", self._free_port(), options)
        self.machines[name] = machine
        with (self.ssh / "config").open("a") as config:
            config.write(
                f"Host {name}\n  HostName {machine.address}\n  Port {machine.port}\n"
                f"  User {_user()}\n  IdentityFile {self.folder}/key\n"
            )
        if is_known:
            self.trust(machine)
        return machine

    def restart(self, name: str) -> Machine:
        """Start a stopped sshd again, at the same address with the same key."""
        old = self.machines[name]
        machine = self._launch(name, old.address, old.port, old.options)
        self.machines[name] = machine
        return machine

    def trust(self, machine: Machine) -> None:
        """Write the machine's key into known_hosts."""
        kind, key, *_ = Path(f"{machine.home}/host_key.pub").read_text().split()
        address = machine.address
        if machine.port != 22:
            address = f"[{address}]:{machine.port}"
        with self.known_hosts.open("a") as file:
            file.write(f"{address} {kind} {key}\n")

    def _make_network(self, name: str, number: int) -> None:
        """Make a namespace that is tied to us by a cable, and to nobody else."""
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.holders[name] = holder
        own = os.readlink("/proc/self/ns/net")
        eventually(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own)
        outside = f"sdt{number}"
        inside = ["nsenter", "--target", str(holder.pid), "--net"]
        peer = ["peer", "name", "eth0", "netns", str(holder.pid)]
        for command in (
            ["ip", "link", "add", outside, "type", "veth", *peer],
            ["ip", "addr", "add", f"10.254.{number}.1/24", "dev", outside],
            ["ip", "link", "set", outside, "up"],
            [*inside, "ip", "link", "set", "lo", "up"],
            [*inside, "ip", "addr", "add", f"10.254.{number}.2/24", "dev", "eth0"],
            [*inside, "ip", "link", "set", "eth0", "up"],
        ):
            subprocess.run(command, check=True)

    def _free_port(self) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def _launch(self, name: str, address: str, port: int, options: tuple[str, ...]) -> Machine:
        home = self.folder / "machines" / name
        home.mkdir(parents=True, exist_ok=True)
        key = home / "host_key"
        if not key.exists():
            make_key(key)
        kept = f'SetEnv=XDG_CACHE_HOME="{home}/cache" XDG_STATE_HOME="{home}/state"'
        lines = [
            *options,
            f"ListenAddress={address}",
            f"Port={port}",
            f"AuthorizedKeysFile={self.folder}/key.pub",
            kept,
            *("UsePAM=no", "UseDNS=no", "PidFile=none", "StrictModes=no", "PrintMotd=no"),
            *("PasswordAuthentication=no", "KbdInteractiveAuthentication=no"),
        ]
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = (home / "sshd.log").open("ab")
        holder = self.holders.get(name)
        inside = [] if holder is None else ["nsenter", "--target", str(holder.pid), "--net"]
        process = subprocess.Popen(
            [*inside, PROGRAM, "-D", "-e", "-f", "/dev/null", "-h", str(key)]
            + [part for line in lines for part in ("-o", line)],
            stdin=subprocess.DEVNULL,
            stderr=log,
            # bash, told that sshd starts it, reads ~/.bashrc unless it is deep down
            env={**os.environ, "SHLVL": "5"},
            start_new_session=True,
        )
        log.close()
        machine = Machine(name, address, port, home, process, options)
        eventually(lambda: _answers(address, port), within_s=10)
        return machine

    def close(self) -> None:
        """End every sshd."""
        for machine in self.machines.values():
            machine.stop()
        for holder in self.holders.values():  # its cable goes with its network
            holder.kill()
            holder.wait()


def make_key(path: Path) -> None:
    """Make a key pair."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True
    )


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Net]:
    """Yield a net with no machines yet; $HOME must be ``folder`` for its settings to hold."""
    net = Net(folder)
    net.ssh.mkdir(mode=0o700, parents=True)
    net.known_hosts.touch()
    make_key(folder / "key")
    try:
        yield net
    finally:
        net.close()


def is_installed() -> bool:
    """Whether there is an sshd to start."""
    return shutil.which(PROGRAM) is not None


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def _answers(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((address, port)) == 0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for text in task.read_text().split():
                found += [int(text), *_descendants(int(text))]
    return found
