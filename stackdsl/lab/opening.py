"""Building a lab and holding it: it lives as long as whoever opened it, and not a moment longer."""

import contextlib
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from stackdsl import ports
from stackdsl.dsl import faults
from stackdsl.lab import (
    entering,
    guarding,
    keeping,
    layouts,
    loading,
    needing,
    registering,
    rooting,
    topologies,
)
from stackdsl.model import errors

_UP_TIMEOUT_S = 60.0
_DOWN_TIMEOUT_S = 30.0
_GUARD = guarding.python("from stackdsl.lab import guarding; guarding.main()")


class LivingLab:
    """A lab that is up, held by this process; ``net["db"]`` is one of its hosts."""

    def __init__(
        self, record: registering.Record, guard: "subprocess.Popen[bytes]", tie: socket.socket
    ) -> None:
        self.record = record
        self._guard = guard
        self._tie = tie
        self.starters: list[subprocess.Popen[bytes]] = []  # what entered it for us, to be reaped

    @property
    def parts(self) -> tuple[registering.Record, "subprocess.Popen[bytes]", socket.socket]:
        """What it is made of, for whoever holds it in another way."""
        return self.record, self._guard, self._tie

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {', '.join(self)}>"

    @property
    def name(self) -> str:
        """The lab's name among the labs that are up."""
        return self.record.name

    @property
    def topology(self) -> topologies.Topology:
        """What it was built of."""
        return self.record.topology

    @property
    def layout(self) -> layouts.Layout:
        """The addresses as they are now."""
        return layout_of(self.record)

    def __iter__(self) -> Iterator[str]:
        return iter([host.name for host in self.topology.hosts])

    def __getitem__(self, name: str) -> "LivingHost":
        _check_name("host", name, list(self))
        return LivingHost(self, name)

    def site(self, name: str) -> "LivingSite":
        """Return a site of the lab.

        Raises:
            UsageError: there is none of that name.
        """
        _check_name("site", name, [site.name for site in self.topology.sites])
        return LivingSite(self, name)

    def status(self) -> dict[str, Any]:
        """Return what changes: which hosts are powered, what is cut and blocked."""
        status: dict[str, Any] = ask(self.record, "status")
        return status

    def exec(
        self,
        host: str,
        argv: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: str | bytes = b"",
        timeout: float | None = 60,
    ) -> ports.Executed:
        """Run a command on a host as its account, as a login there would; return its exit code
        and output.

        Raises:
            UsageError, HostError: there is no such host, or it is off.
            ServiceError: time was up.
        """
        command = entering.command(self.record, host, argv, user=user, env=env, cwd=cwd)
        given = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise errors.ServiceError(
                "host.lab-exec",
                f'cannot finish {" ".join(argv)} on "{host}": it was still going after {timeout} s',
                do="give it longer: exec(…, timeout=…)",
            ) from None
        out, err = (each.decode(errors="replace") for each in (done.stdout, done.stderr))
        return ports.Executed(exit_code=done.returncode, stdout=out, stderr=err)

    def show(self, path: str) -> None:
        """Let the controller see a file or folder of this machine, and write to it."""
        code = f"from stackdsl.lab import rooting; rooting.show({path!r}, {rooting.OUTSIDE!r},"
        argv = guarding.python(f"{code} is_read_only=False)")
        done = self.exec(topologies.CONTROLLER, argv)
        if done.exit_code:
            raise errors.HostError(
                "host.lab-folder",
                f'cannot show "{path}" to the lab: python ended with {done.exit_code}',
                do="look at the lines below",
                lines=done.stderr.splitlines()[-20:],
            )

    def close(self) -> None:
        """End the lab; returns when nothing of it is left."""
        self._tie.close()
        try:
            self._guard.wait(_DOWN_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise errors.TeardownError(
                "teardown.lab",
                f'cannot see the end of lab "{self.name}": its guard still clears up',
                why=f"process {self._guard.pid} after {_DOWN_TIMEOUT_S:g} s",
                do=f"look for what holds {self.record.folder}",
            ) from error
        for starter in self.starters:
            starter.wait(_DOWN_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class LivingHost:
    """A host of a lab that is up."""

    def __init__(self, lab: LivingLab, name: str) -> None:
        self._lab = lab
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of {self._lab.name}>"

    @property
    def address(self) -> str:
        """Its address at its site, as it is now."""
        return self._lab.layout.host(self.name).address

    @property
    def is_powered(self) -> bool:
        """Whether it is on."""
        return self.name in self._lab.status()["powered"]

    @property
    def pid(self) -> int:
        """Its first process, as this machine numbers it."""
        return entering.find_pid(self._lab.record, self.name)

    @property
    def root(self) -> str:
        """A path to its files, for this machine; it holds until the power goes."""
        return f"/proc/{self.pid}/root"

    @property
    def engine(self) -> str:
        """A value for DOCKER_HOST that leads this machine to its Docker engine."""
        return f"unix://{self.root}/run/docker.sock"

    def exec(self, argv: Sequence[str], **given: Any) -> ports.Executed:
        """Run a command on it; see `LivingLab.exec`."""
        return self._lab.exec(self.name, argv, **given)

    def power_off(self) -> None:
        """Take its power: nothing ends in order; its disk stays."""
        ask(self._lab.record, "power_off", host=self.name)

    def power_on(self) -> None:
        """Give it its power; returns when its sshd listens."""
        ask(self._lab.record, "power_on", host=self.name)

    def cut(self) -> None:
        """Pull its network cable."""
        ask(self._lab.record, "cut", name=self.name)

    def heal(self) -> None:
        """Plug the cable in again, and let everything through to its ports."""
        ask(self._lab.record, "heal", name=self.name)

    def block(self, port: int) -> None:
        """Drop what comes to a port of it, TCP and UDP, until it is healed."""
        if isinstance(port, bool) or not 0 < port < 65536:
            raise errors.UsageError(
                "usage.lab-port",
                f'cannot block port "{port}": it is no port',
                do="give a number from 1 to 65535",
            )
        ask(self._lab.record, "block", host=self.name, port=port)

    def move(self, address: str) -> None:
        """Give it another address of its site; the lab's names lead there.

        Raises:
            UsageError: it is not of the site's net, or another's.
        """
        layout = self._lab.layout
        net = layout.site(layout.host(self.name).host.site)
        lan = ipaddress.ip_network(net.lan)
        taken = {one.address for one in layout.of_site(net.site.name)} | {net.gateway}
        try:
            is_fit = ipaddress.ip_address(address) in list(lan.hosts()) and address not in taken
        except ValueError:
            is_fit = False
        if not is_fit:
            raise errors.UsageError(
                "usage.lab-address",
                f'cannot move "{self.name}" to "{address}": it is no free address of its site',
                why=f"{lan} has {', '.join(sorted(taken))} taken",
                do="choose another one of that net",
            )
        ask(self._lab.record, "move", host=self.name, address=address)


class LivingSite:
    """A site of a lab that is up."""

    def __init__(self, lab: LivingLab, name: str) -> None:
        self._lab = lab
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of {self._lab.name}>"

    @property
    def public_address(self) -> str:
        """Its router's address on the internet, as it is now."""
        return self._lab.layout.site(self.name).wan

    def cut(self) -> None:
        """Pull its uplink."""
        ask(self._lab.record, "cut", name=f"site:{self.name}")

    def heal(self) -> None:
        """Plug its uplink in again."""
        ask(self._lab.record, "heal", name=f"site:{self.name}")

    def move(self) -> None:
        """Give its uplink other addresses, as a provider does over night."""
        ask(self._lab.record, "move_uplink", site=self.name)


def _check_name(kind: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise errors.UsageError(
            "usage.no-lab-host",
            f'cannot find {kind} "{name}" in the lab',
            why=f"its {kind}s: {', '.join(known)}",
            do=f"{faults.nearest(name, known)}name one of them",
        )


def layout_of(record: registering.Record) -> layouts.Layout:
    """Return the layout of a living lab as it is now."""
    now = ask(record, "status")
    moves = layouts.Moves(hosts=now["moved"], uplinks=now["uplinks"])
    return layouts.lay_out(record.topology, moves)


def ask(record: registering.Record, verb: str, **words: Any) -> Any:
    """Ask a lab's keeper and return its answer.

    Raises:
        HostError: the lab has ended, or it could not be done.
    """
    try:
        with socket.socket(socket.AF_UNIX) as stream, _opened(record.folder) as folder_fd:
            stream.settimeout(_UP_TIMEOUT_S)
            stream.connect(f"/proc/self/fd/{folder_fd}/{keeping.SOCKET}")
            with stream.makefile("rwb") as file:
                file.write(json.dumps({"verb": verb, **words}).encode() + b"\n")
                file.flush()
                said = json.loads(file.readline() or b'{"error": "it ended meanwhile"}')
    except OSError as error:
        said = {"error": f"nobody answers there ({error.strerror or error})"}
    if "error" in said:
        raise errors.HostError(
            "host.lab-deed",
            f'cannot {verb.replace("_", " ")} in lab "{record.name}": {said["error"]}',
            do="look whether the lab is up: stackdsl lab status",
        )
    return said["answer"]


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def open_lab(target: Any, *, root: str, writable: Sequence[str] = ()) -> LivingLab:
    """Build a lab and return it when every host is up; ``target`` is what `loading.load` takes, or
    a topology. ``root`` is the folder of this user's labs; the controller may write to
    ``writable``, as this machine does.

    Raises:
        StackError: the topology is wrong, or the machine lacks something.
    """
    topology = target if isinstance(target, topologies.Topology) else loading.load(target)
    unshare, is_rootless = needing.check(topology)
    content = {
        "topology": topologies.to_json(topology),
        "is_rootless": is_rootless,
        "unshare": unshare,
        "readable": list(_list_readable()),
        "writable": [os.path.realpath(path) for path in writable],
        "cgroups": [],
        "groups": [],
    }
    folder = registering.make_folder(root, topology.name, content)
    tie, theirs = socket.socketpair()
    try:
        guard = subprocess.Popen(
            [*_GUARD, folder, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is the owner's
        )
    except BaseException:
        tie.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        theirs.close()
    try:
        _wait_until_up(tie, topology)
        return LivingLab(registering.read_record(folder), guard, tie)
    except BaseException:
        tie.close()
        guard.wait(_DOWN_TIMEOUT_S)
        raise


def _wait_until_up(tie: socket.socket, topology: topologies.Topology) -> None:
    tie.settimeout(_UP_TIMEOUT_S)
    try:
        with tie.makefile("rb") as file:
            said = json.loads(file.readline() or b'{"error": "its guard ended at once"}')
    except TimeoutError:
        said = {"error": f"it is not up after {_UP_TIMEOUT_S:g} s"}
    if "error" in said:
        raise errors.HostError(
            "host.lab-failed",
            f'cannot build lab "{topology.name}": {said["error"]}',
            do="look at what the machine refuses; stackdsl lab needs root, or user namespaces",
            lines=said.get("lines", ()),
        )
    tie.settimeout(None)


def _list_readable() -> Iterator[str]:
    """Yield where Python and this package live, for hosts that hide the folder around it."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    yield from dict.fromkeys(map(os.path.realpath, (sys.base_prefix, sys.prefix, top)))
