"""The lab's keeper: process 1 of the lab; makes the networks, powers hosts on, changes them.

Everything of a lab lives in the namespaces that this process was started in, and ends with it. It
is one thread, so that it may fork and enter namespaces; it answers one request at a time.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from stackdsl.lab import (
    accounts,
    booting,
    layouts,
    linking,
    namespaces,
    piping,
    rooting,
    shapes,
    topologies,
)

FILE = "lab.json"
SOCKET = "keeper.sock"
_BASE = "/run/lab"
_ID_KEY = "id_ed25519"


class Trouble(Exception):  # noqa: N818 - it is told, as a field of an answer
    """What could not be done, in one line."""


class Keeper:
    """The state of a living lab."""

    def __init__(self, folder_fd: int, told: dict[str, Any]) -> None:
        self.folder_fd = folder_fd
        self.topology = topologies.from_json(told["topology"])
        self.layout = layouts.lay_out(self.topology)
        self.is_rootless: bool = told["is_rootless"]
        self.readable = tuple(told["readable"])
        self.writable = tuple(told["writable"])
        self.cgroups = tuple((str(a), str(b), str(c)) for a, b, c in told["cgroups"])
        self.pids: dict[str, int] = {}
        self.cut: set[str] = set()
        self.blocked: dict[str, set[int]] = {}
        self.moved: dict[str, str] = {}
        self.uplinks: dict[str, int] = {}
        self.shaper = "none"
        self.public_keys: dict[str, str] = {}
        self.authorized = ""

    def build(self) -> None:
        """Make everything; returns when every host that is powered is up.

        Raises:
            Trouble: something could not be made.
        """
        making = self._begin_keys()
        self._make_networks()
        self._shape_uplinks()
        if self.is_rootless:
            rooting.copy_system()
        self._finish_keys(making)
        for host in self.topology.hosts:
            folder = f"{_BASE}/hosts/{host.name}"
            os.makedirs(folder)
            if host.disk_bytes is not None:
                namespaces.mount("disk", folder, "tmpfs", 0, f"size={host.disk_bytes},mode=755")
        self._power_on([host.name for host in self.topology.hosts if host.powered])

    def _begin_keys(self) -> list[subprocess.Popen[bytes]]:
        os.makedirs(f"{_BASE}/keys", mode=0o700)
        names = [_ID_KEY, *(host.name for host in self.topology.hosts)]
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", ""]
        return [
            subprocess.Popen([*words, "-C", name, "-f", f"{_BASE}/keys/{name}"]) for name in names
        ]

    def _finish_keys(self, making: Iterable[subprocess.Popen[bytes]]) -> None:
        for process in making:
            if process.wait():
                raise Trouble(f"ssh-keygen ended with {process.returncode}")
        for host in self.topology.hosts:
            self.public_keys[host.name] = _read_public(host.name)
        self.authorized = _read_public(_ID_KEY) + "\n"

    def _make_networks(self) -> None:
        powered = [net for net in self.layout.hosts if net.host.powered]
        batch = linking.namespaces_batch(self.layout) + linking.plug_batch(self.layout, powered)
        _feed(["ip", "-batch", "-"], batch)
        scripts = [
            (linking.INTERNET, linking.internet_script(self.layout)),
            (linking.WIRES, linking.wires_script(self.layout)),
        ]
        for site in self.layout.sites:
            mine = [net for net in powered if net.host.site == site.site.name]
            joined = f"ip -batch - <<'END'\n{linking.switch_batch(mine)}END\n"
            scripts.append((site.namespace, linking.router_script(self.layout, site) + joined))
        _run_scripts(scripts)

    def _shape_uplinks(self) -> None:
        shaped = [site for site in self.layout.sites if site.site.is_shaped]
        if not shaped:
            return
        self.shaper = "netem" if _has_netem() else "pipe"
        for site in shaped:
            shape = shapes.of_site(site.site)
            if self.shaper == "netem":
                _shape_by_netem(site, shape)
                continue
            inner, outer = shapes.wire_ends(site.number)
            _fork_pipe(inner, outer, shape, seed=site.number * 2)
            _fork_pipe(outer, inner, shape, seed=site.number * 2 + 1)

    def _power_on(self, names: Iterable[str]) -> None:
        waiting = []
        for name in names:
            pid, report = booting.power_on(self._machine(name))
            self.pids[name] = pid
            waiting.append((name, report))
        for name, report in waiting:
            with os.fdopen(report, "rb") as file:
                said = json.loads(file.read() or b'{"error": "it ended at once"}')
            if "error" in said:
                raise Trouble(f'host "{name}" does not come up: {said["error"]}')

    def _machine(self, name: str) -> booting.Machine:
        net = self.layout.host(name)
        is_controller = name == topologies.CONTROLLER
        return booting.Machine(
            layout=self.layout,
            net=net,
            disk=rooting.Disk(folder=f"{_BASE}/hosts/{name}", is_rootless=self.is_rootless),
            keys=(f"{_BASE}/keys", self.authorized),
            known_hosts=accounts.known_hosts(self.layout, self.public_keys),
            readable=self.readable,
            writable=self.writable if is_controller else (),
            cgroups=self.cgroups,
            door=f"/proc/self/fd/{self.folder_fd}/{name}.sock",
        )

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked for and return the answer."""
        verb = request.pop("verb", "")
        deeds: dict[str, Callable[..., Any]] = {
            "status": self.status,
            "power_off": self.power_off,
            "power_on": self.power_on,
            "cut": self.cut_off,
            "heal": self.heal,
            "block": self.block,
            "move": self.move,
            "move_uplink": self.move_uplink,
        }
        try:
            return {"answer": deeds[verb](**request)}
        except (Trouble, OSError, KeyError, ValueError) as error:
            return {"error": str(error)}

    def status(self) -> dict[str, Any]:
        """Return what changes while the lab lives."""
        self._reap()
        return {
            "powered": sorted(self.pids),
            "cut": sorted(self.cut),
            "blocked": {name: sorted(ports) for name, ports in self.blocked.items() if ports},
            "moved": self.moved,
            "uplinks": self.uplinks,
            "shaper": self.shaper,
        }

    def power_off(self, host: str) -> None:
        """Take a host's power: nothing on it ends in order; its disk stays."""
        net = self.layout.host(host)
        pid = self.pids.pop(host, None)
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        router = self.layout.site(net.host.site).namespace
        _feed(["ip", "-n", router, "-batch", "-"], linking.unplug_batch(self.layout, net))
        _feed(["ip", "-batch", "-"], f"netns del {net.namespace}\n")

    def power_on(self, host: str) -> None:
        """Give a host its power again; returns when its sshd listens."""
        if host in self.pids:
            return
        net = self.layout.host(host)
        router = self.layout.site(net.host.site).namespace
        _feed(["ip", "-batch", "-"], linking.plug_batch(self.layout, [net]))
        _feed(["ip", "-n", router, "-batch", "-"], linking.switch_batch([net]))
        self._power_on([host])
        self._set_link(host)
        self._set_blocked(host)

    def cut_off(self, name: str) -> None:
        """Pull a host's cable, or a site's uplink ("site:NAME")."""
        self.cut.add(name)
        self._set_link(name)

    def heal(self, name: str) -> None:
        """Plug it in again, and let everything through to a host's ports."""
        self.cut.discard(name)
        self._set_link(name)
        if self.blocked.pop(name, None):
            self._set_blocked(name)

    def _set_link(self, name: str) -> None:
        state = "down" if name in self.cut else "up"
        if name.startswith("site:"):
            site = self.layout.site(name.removeprefix("site:"))
            _feed(["ip", "-n", linking.INTERNET, "-batch", "-"], f"link set {site.port} {state}\n")
            if state == "up":  # routes go with a link that is down
                _run_scripts([(linking.INTERNET, linking.internet_script(self.layout))])
            return
        net = self.layout.host(name)
        if name not in self.pids:
            return
        router = self.layout.site(net.host.site).namespace
        _feed(["ip", "-n", router, "-batch", "-"], f"link set {net.port} {state}\n")

    def block(self, host: str, port: int) -> None:
        """Drop what comes to a port of a host, TCP and UDP, from everywhere."""
        self.layout.host(host)
        self.blocked.setdefault(host, set()).add(port)
        self._set_blocked(host)

    def _set_blocked(self, host: str) -> None:
        if host in self.pids and not host.startswith("site:"):
            script = linking.block_script(self.blocked.get(host, ()))
            _run_scripts([(self.layout.host(host).namespace, script)])

    def move(self, host: str, address: str) -> None:
        """Give a host another address of its site; names and the controller's files follow."""
        self.moved[host] = address
        self._lay_out_anew()
        net = self.layout.host(host)
        if host in self.pids:
            _run_scripts([(net.namespace, linking.host_script(self.layout, net))])

    def move_uplink(self, site: str) -> None:
        """Give a site's uplink other addresses, as a provider does over night."""
        before = self.layout.site(site)
        self.uplinks[site] = self.uplinks.get(site, 0) + 1
        self._lay_out_anew()
        _run_scripts(linking.move_uplink_scripts(before, self.layout.site(site)))

    def _lay_out_anew(self) -> None:
        self.layout = layouts.lay_out(
            self.topology, layouts.Moves(hosts=self.moved, uplinks=self.uplinks)
        )
        firewalls = [
            (site.namespace, linking.firewall_script(self.layout, site))
            for site in self.layout.sites
        ]
        _run_scripts([each for each in firewalls if each[1]])
        for name, pid in self.pids.items():
            root = f"/proc/{pid}/root"
            with open(f"{root}/etc/hosts", "w", encoding="utf-8") as file:
                file.write(layouts.hosts_file(self.layout, name))
        pid = self.pids.get(topologies.CONTROLLER, 0)
        if pid:
            known = accounts.known_hosts(self.layout, self.public_keys)
            booting.write_ssh_files(f"/proc/{pid}/root", self.layout, known)

    def serve(self, listener: socket.socket) -> NoReturn:
        """Answer requests, a line each, for good."""
        woken, waking = socket.socketpair()
        for each in (woken, waking):
            each.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking.fileno())
        watching = selectors.DefaultSelector()
        watching.register(listener, selectors.EVENT_READ)
        watching.register(woken, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in watching.select()]
            if woken in ready:
                woken.recv(4096)
                self._reap()
            if listener in ready:
                self._talk(listener.accept()[0])

    def _reap(self) -> None:
        """Take in what has ended; a host whose first process ended is off."""
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitpid(-1, os.WNOHANG)[0]:
                for name, pid in list(self.pids.items()):
                    if pid == ended:
                        self._clear_crashed(name)

    def _clear_crashed(self, name: str) -> None:
        del self.pids[name]
        net = self.layout.host(name)
        router = self.layout.site(net.host.site).namespace
        with contextlib.suppress(Trouble):  # its ends went with its namespace
            _feed(["ip", "-n", router, "-batch", "-"], linking.unplug_batch(self.layout, net))
        _feed(["ip", "-batch", "-"], f"netns del {net.namespace}\n")

    def _talk(self, stream: socket.socket) -> None:
        stream.settimeout(5.0)  # a caller that hangs must not stop the lab
        with contextlib.suppress(OSError, ValueError), stream, stream.makefile("rwb") as file:
            line = file.readline()
            if line:
                stream.settimeout(None)
                file.write(json.dumps(self.answer(json.loads(line))).encode() + b"\n")
                file.flush()


def _settle(groups: Iterable[str]) -> None:
    """Go into the control groups of the lab's processes, where we are not there yet."""
    for group in groups:
        with contextlib.suppress(OSError), open(f"{group}/cgroup.procs", "w") as file:
            file.write("0")


def _read_public(name: str) -> str:
    with open(f"{_BASE}/keys/{name}.pub", encoding="utf-8") as file:
        return " ".join(file.read().split()[:2])


def _has_netem() -> bool:
    """Whether this kernel shapes by itself; found by trying."""
    words = ["ip", "netns", "exec", linking.WIRES, "tc", "qdisc", "replace", "dev", "lo", "root"]
    done = subprocess.run([*words, "netem", "delay", "1ms"], capture_output=True, check=False)
    if done.returncode:
        return False
    subprocess.run([*words[:7], "dev", "lo", "root"], capture_output=True, check=False)
    return True


def _shape_by_netem(site: layouts.SiteNet, shape: shapes.Shape) -> None:
    for space, end in ((site.namespace, "wan"), (linking.INTERNET, site.port)):
        words = ["tc", "-n", space, "qdisc", "replace", "dev", end, "root"]
        _feed([*words, *shapes.netem_words(shape)], "")
    inner, outer = shapes.wire_ends(site.number)
    joined = f"wire-{site.number}"
    rows = [f"link add name {joined} type bridge forward_delay 0", f"link set {joined} up"]
    rows += [f"link set {end} master {joined}" for end in (inner, outer)]
    _feed(["ip", "-n", linking.WIRES, "-batch", "-"], "\n".join(rows) + "\n")


def _fork_pipe(source: str, target: str, shape: shapes.Shape, *, seed: int) -> None:
    if os.fork():
        return
    try:
        booting.close_others(set())
        namespaces.enter(f"/run/netns/{linking.WIRES}")
        piping.pipe(source, target, shape, seed)
    finally:
        os._exit(1)


def _run_scripts(scripts: Iterable[tuple[str, str]]) -> None:
    """Run each script in its network namespace, all at once.

    Raises:
        Trouble: one of them failed.
    """
    running = []
    for space, script in scripts:
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{space}", "sh", "-e"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(script)
        process.stdin.close()
        process.stdin = None
        running.append((space, process))
    for space, process in running:
        said = process.communicate()[1]
        if process.returncode:
            raise Trouble(f"the network of {space} cannot be set up: {said.strip()}")


def _feed(argv: list[str], text: str) -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")


def main() -> None:
    """Be the keeper. Arguments: the lab's folder, and a descriptor to tell how it went."""
    folder, told_fd = sys.argv[1], int(sys.argv[2])
    os.set_inheritable(told_fd, False)
    os.environ["PATH"] = booting.PATH
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX)
    try:
        with open(os.path.join(folder, FILE), encoding="utf-8") as file:
            told = json.load(file)
        keeper = Keeper(folder_fd, told)
        listener.bind(f"/proc/self/fd/{folder_fd}/{SOCKET}")
        listener.listen(64)
        _settle(told["groups"])
        os.chdir("/")
        namespaces.mount("run", "/run", "tmpfs", namespaces.NODEV, "mode=755")
        os.makedirs("/run/netns")
        keeper.build()
    except (Trouble, OSError) as error:
        os.write(told_fd, json.dumps({"error": str(error)}).encode() + b"\n")
        sys.exit(1)
    os.write(told_fd, b"{}\n")
    os.close(told_fd)
    keeper.serve(listener)
