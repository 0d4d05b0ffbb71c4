"""A real Docker engine for tests: a dockerd of their own, images made here, a registry beside it.

$STACKDSL_TEST_ENGINE (a value for DOCKER_HOST) names an engine to use instead: it is neither
started nor stopped, and gets the images. Else the machine is put back as it was at the end.
"""

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from tests.waiting import eventually

BUSYBOX = "busybox:local"
PYTHON = "python:local"
IMAGES = (BUSYBOX, PYTHON)
START_WITHIN_S = 60.0
_GIVEN = "STACKDSL_TEST_ENGINE"
_LABEL = "stackdsl.run"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSWD = """\
root:x:0:0::/root:/bin/sh
app:x:1000:1000::/tmp:/bin/sh
nobody:x:65534:65534::/:/bin/false
"""
_APPLETS = (
    "sh", "cat", "echo", "sleep", "true", "false", "env", "nc", "httpd", "ls", "kill", "id", "pwd",
    "touch", "rm", "mkdir", "test", "hostname", "ip", "grep", "seq", "date", "stat", "ps", "head",
    "printf", "tail", "sync", "wget", "yes", "tee", "trap", "mount", "tty", "stty", "nslookup",
)  # fmt: skip
_NO_LIBRARY = ("site-packages", "dist-packages", "test", "tests", "idlelib", "ensurepip", "lib2to3",
               "tkinter", "turtledemo", "__pycache__", "distutils", "pydoc_data")  # fmt: skip


@dataclass
class Engine:
    """A dockerd that a test may stop, kill and start again. ``folder`` is empty for an engine that
    was given."""

    url: str
    folder: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    clients: list[docker.APIClient] = field(default_factory=list)
    was_killed: bool = False
    # of the session: one that a test starts again is not the test's own
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def api(self) -> Any:
        """A low-level client, closed with the engine (Any: the stubs are narrower than the SDK)."""
        if not self.clients:
            self.clients.append(docker.APIClient(base_url=self.url, version="auto"))
        return self.clients[0]

    def start(self) -> None:
        """Start the daemon; returns when it answers."""
        assert self.folder is not None, "an engine that was given is not ours to start"
        with (self.folder / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("dockerd", "--host", self.url),
                    *("--data-root", self.folder / "data", "--exec-root", self.folder / "exec"),
                    *("--pidfile", self.folder / "pid", "--storage-driver", "overlay2"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**self.environment, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            )
        eventually(self._answers, within_s=START_WITHIN_S)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.folder is not None
        if self.process.poll() is not None:
            log = (self.folder / "dockerd.log").read_text()
            pytest.fail(f"dockerd ended with {self.process.returncode}:\n{log[-3000:]}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as stream:
            stream.connect(self.url.removeprefix("unix://"))
            stream.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in stream.recv(64)
        return False

    def stop(self) -> None:
        """End the daemon in order: its containers end too."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL the daemon, its containerd with it; containers live on."""
        assert self.folder is not None, "an engine that was given is not ours to kill"
        self._end(signal.SIGKILL)
        # The next one would wait for a containerd that is dead and not reaped yet.
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(START_WITHIN_S)
            self.process = None

    def left(self) -> list[str]:
        """Return the containers and networks of stacks that stand."""
        label = {"label": _LABEL}
        containers = self.api.containers(all=True, filters=label)
        return [
            *(f"container {each['Names'][0][1:]} ({each['State']})" for each in containers),
            *(f"network {each['Name']}" for each in self.api.networks(filters=label)),
        ]

    def remove_left(self) -> None:
        """Remove every container, network and volume of stacks."""
        label = {"label": _LABEL}
        for each in self.api.containers(all=True, filters=label):
            with contextlib.suppress(docker.errors.NotFound):
                self.api.remove_container(each["Id"], force=True)
        for each in self.api.networks(filters=label):
            with contextlib.suppress(docker.errors.NotFound):
                self.api.remove_network(each["Id"])
        for each in self.api.volumes(filters={"label": "stackdsl.volume"})["Volumes"] or []:
            with contextlib.suppress(docker.errors.NotFound):
                self.api.remove_volume(each["Name"], force=True)

    def close(self) -> None:
        """Close the clients."""
        for client in self.clients:
            client.close()
        self.clients.clear()


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """Start a dockerd with the images; at the end it is gone, and its rules and bridge with it."""
    given = os.environ.get(_GIVEN)
    if given:
        engine = Engine(given)
        make_images(engine)
        yield engine
        engine.close()
        return
    folder = Path(tempfile.mkdtemp(prefix="sd-engine-"))
    engine = Engine(f"unix://{folder}/docker.sock", folder)
    with _machine_as_it_was():
        try:
            engine.start()
            make_images(engine)
            yield engine
        finally:
            _finish(engine)
            shutil.rmtree(folder)


def _finish(engine: Engine) -> None:
    """Stop an engine, whatever a test has done to it; what it mounted is unmounted."""
    if engine.process is None:
        engine.start()  # what it left running can only be ended by one that knows it
    engine.remove_left()
    engine.close()
    engine.stop()
    for row in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        target = row.split()[1]
        if target.startswith(str(engine.folder)):
            subprocess.run(["umount", "-l", target], check=True)


@contextlib.contextmanager
def _machine_as_it_was() -> Iterator[None]:
    """Put back the firewall's rules, forwarding and the interfaces: a dockerd leaves its own."""
    rules = subprocess.run(["iptables-save"], capture_output=True, check=True, env=_admin()).stdout
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    forwarding = switch.read_text()
    bridges = _bridges()
    try:
        yield
    finally:
        for name in _bridges() - bridges:
            subprocess.run(["ip", "link", "delete", name], check=True, env=_admin())
        tables = b"".join(
            b"*%s\nCOMMIT\n" % name for name in (b"nat", b"filter", b"mangle", b"raw")
        )
        for each in (tables, rules):
            subprocess.run(["iptables-restore"], input=each, check=True, env=_admin())
        switch.write_text(forwarding)


def _admin() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def _bridges() -> set[str]:
    listed = subprocess.run(
        ["ip", "-o", "link", "show", "type", "bridge"],
        capture_output=True, text=True, check=True, env=_admin(),
    )  # fmt: skip
    return {row.split(": ")[1] for row in listed.stdout.splitlines()}


def make_images(engine: Engine) -> None:
    """Import the images that tests start containers from, where they are missing."""
    _import(engine, BUSYBOX, _add_busybox)
    _import(engine, PYTHON, _add_python)


def make_program_image(engine: Engine, reference: str, program: str, *folders: str) -> None:
    """Import an image of a program of this machine with its libraries, and empty folders."""

    def fill(archive: tarfile.TarFile) -> None:
        _add_busybox(archive)
        for path in sorted({program, *_libraries([program])}):
            archive.add(os.path.realpath(path), path.lstrip("/"))
        for name in folders:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)

    _import(engine, reference, fill)


def _import(engine: Engine, reference: str, fill: Callable[[tarfile.TarFile], None]) -> None:
    if engine.api.images(reference):
        return
    repository, tag = reference.split(":")
    changes = [f"ENV PATH={_PATH}", 'CMD ["sh"]']
    engine.api.import_image_from_data(_pack(fill), repository, tag, changes=changes)


def _pack(fill: Callable[[tarfile.TarFile], None]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        fill(archive)
    return stream.getvalue()


def _add_busybox(archive: tarfile.TarFile) -> None:
    """Add a whole small system: Debian's busybox-static, its names, the folders expected."""
    archive.add("/bin/busybox", "bin/busybox")
    for name in _APPLETS:
        _add_link(archive, f"bin/{name}", "busybox")
    for name, mode in (("tmp", 0o1777), ("etc", 0o755), ("root", 0o700), ("var/run", 0o755)):
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, mode
        archive.addfile(folder)
    for name, text in (
        ("etc/passwd", _PASSWD),
        ("etc/group", "root:x:0:\napp:x:1000:\nnogroup:x:65534:\n"),
    ):
        file = tarfile.TarInfo(name)
        file.size = len(text)
        archive.addfile(file, io.BytesIO(text.encode()))


def _add_python(archive: tarfile.TarFile) -> None:
    """Add the Python that runs the tests: its program, its libraries, its standard library."""
    _add_busybox(archive)
    program = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    library = sysconfig.get_path("stdlib", vars={"base": sys.base_prefix})
    modules = [str(path) for path in Path(library, "lib-dynload").glob("*.so")]
    for path in sorted({program, *_libraries([program, *modules])}):
        archive.add(os.path.realpath(path), path.lstrip("/"))
    archive.add(library, library.lstrip("/"), filter=_is_wanted)
    for name in ("python", "python3"):
        _add_link(archive, f"usr/local/bin/{name}", program)


def _is_wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = os.path.basename(member.name)
    is_cut = name in _NO_LIBRARY or name.startswith("config-") or name.endswith((".a", ".exe"))
    return None if is_cut else member


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, target
    archive.addfile(link)


def _libraries(programs: Iterable[str]) -> set[str]:
    """Return what the loader needs for them. Source: ldd(1), "NAME => PATH (ADDRESS)"."""
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    words = [word for row in listed.splitlines() for word in row.split()]
    return {word for word in words if word.startswith("/") and not word.endswith(":")}


@dataclass
class Registry:
    """A registry on loopback: what was pushed to it can be pulled."""

    address: str
    engine: Engine

    def push(self, source: str, name: str, **login: str) -> str:
        """Push an image of the engine under a name; return its reference, no longer in the engine.

        ``login``: username and password.
        """
        reference = f"{self.address}/{name}"
        repository, _, tag = reference.rpartition(":")
        self.engine.api.tag(source, repository, tag)
        said = self.engine.api.push(repository, tag, auth_config=login or None)
        assert '"error"' not in said, said
        self.engine.api.remove_image(reference)
        return reference


@contextlib.contextmanager
def serving(engine: Engine, users: str = "") -> Iterator[Registry]:
    """Serve a registry on a loopback port; ``users`` are rows of an htpasswd file, if it asks."""
    folder = Path(tempfile.mkdtemp(prefix="sd-registry-"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    rows = ["version: 0.1", f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}"]
    rows += [f"http: {{addr: '{address}'}}", "log: {level: error}"]
    if users:
        (folder / "users").write_text(users)
        rows += [f"auth: {{htpasswd: {{realm: tests, path: {folder}/users}}}}"]
    (folder / "config.yml").write_text("\n".join(rows))
    process = subprocess.Popen(
        ["docker-registry", "serve", folder / "config.yml"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        host, port = address.split(":")
        eventually(lambda: _listens(host, int(port)), within_s=START_WITHIN_S)
        yield Registry(address, engine)
    finally:
        process.terminate()
        process.wait(START_WITHIN_S)
        shutil.rmtree(folder)


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port)):
        return True
    return False


@pytest.fixture(scope="session")
def session_engine() -> Iterator[Engine]:
    """The engine of all tests of the session; it must be left as it was found."""
    with running() as engine:
        yield engine


@pytest.fixture
def engine(session_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The tests' engine as the one that $DOCKER_HOST names. A test that leaves containers, networks
    or rules behind fails."""
    monkeypatch.setenv("DOCKER_HOST", session_engine.url)
    rules = _rules()
    session_engine.was_killed = False
    yield session_engine
    if session_engine.process is None and session_engine.folder is not None:
        session_engine.start()
    try:
        eventually(lambda: not session_engine.left() and _rules() <= rules)
    except AssertionError:
        left = [*session_engine.left(), *sorted(_rules() - rules)]
        session_engine.remove_left()
        pytest.fail("left behind in the engine:\n" + "\n".join(left), pytrace=False)
    finally:
        if session_engine.was_killed:
            _remove_loose_cables()


def _remove_loose_cables() -> None:
    """Remove the cables of containers that ended while no daemon was there: it forgets them."""
    for path in Path("/sys/class/net").glob("veth*"):
        if not (path / "master").exists():
            subprocess.run(["ip", "link", "delete", path.name], check=False, env=_admin())


@pytest.fixture(scope="session")
def session_registry(session_engine: Engine) -> Iterator[Registry]:
    """The registry of all tests of the session."""
    with serving(session_engine) as registry:
        yield registry


@pytest.fixture
def registry(session_registry: Registry, engine: Engine) -> Registry:
    """A registry beside the engine; asks for no login."""
    return session_registry


def _rules() -> set[str]:
    """Return the firewall's rules; those of Docker's own chains come and go with its containers."""
    saved = subprocess.run(
        ["iptables-save"], capture_output=True, text=True, check=False, env=_admin()
    )
    return {row for row in saved.stdout.splitlines() if row.startswith(("-A", "-N"))}
