"""What holds for every test: a state folder of its own, and nothing left behind on the machine."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import leaks
from tests.waiting import eventually

pytest_plugins = ["pytester", "tests.engines"]

LEAKY = ("integration", "e2e", "contract", "docs")
LEAK_GRACE_S = 3.0  # what was killed may take a moment to be gone
MACHINE = pytest.StashKey[frozenset[str]]()


@pytest.fixture(autouse=True)
def state_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep the test away from the user's runs: a short folder (Unix sockets) that all may enter
    (services with user= do)."""
    home = Path(tempfile.mkdtemp(prefix="sd-"))
    home.chmod(0o711)
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("NO_COLOR", "1")
    for name in [name for name in os.environ if name.startswith("STACKDSL_")]:
        monkeypatch.delenv(name)
    yield home
    shutil.rmtree(home)


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest, state_home: Path) -> Iterator[None]:
    """Fail a test that leaves processes, sockets, interfaces, control groups or files behind."""
    parts = request.path.relative_to(request.config.rootpath).parts
    if len(parts) < 2 or parts[1] not in LEAKY:
        yield
        return
    own, machine = leaks.look_at_self(), leaks.look_at_machine()
    yield
    found = _wait_until_clean(request, str(state_home), own, machine)
    if found:
        pytest.fail("left behind:\n" + "\n".join(found), pytrace=False)


def _wait_until_clean(
    request: pytest.FixtureRequest, home: str, own: leaks.Mine, machine: frozenset[str]
) -> list[str]:
    is_alone = not hasattr(request.config, "workerinput")  # else others' tests come and go

    def look() -> list[str]:
        now = leaks.look_at_self()
        living = leaks.find_processes(home) | leaks.name_children(now.children - own.children)
        rows = [f"process {pid}: {command}" for pid, command in sorted(living.items())]
        rows += [f"listening socket {inode}" for inode in sorted(now.listeners - own.listeners)]
        if is_alone:
            rows += sorted(leaks.look_at_machine() - machine)
        return rows

    try:
        eventually(lambda: not look(), within_s=LEAK_GRACE_S)
    except AssertionError:
        rows = look()
        for pid in leaks.find_processes(home):  # the next test must not meet them
            os.kill(pid, signal.SIGKILL)
        return rows
    return []


def pytest_configure(config: pytest.Config) -> None:
    """Remember how the machine was."""
    config.stash[MACHINE] = leaks.look_at_machine()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session when the machine is not as it was; xdist leaves it to the main process."""
    if hasattr(session.config, "workerinput"):
        return
    before = session.config.stash[MACHINE]
    try:
        eventually(lambda: leaks.look_at_machine() <= before, within_s=LEAK_GRACE_S)
    except AssertionError:
        left = sorted(leaks.look_at_machine() - before)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:  # `-p no:terminal`
            reporter.write_line("\nthe tests left behind: " + ", ".join(left), red=True)


@pytest.fixture
def needs_programs(request: pytest.FixtureRequest) -> None:
    """Skip a test marked ``programs("postgres", …)`` where they are missing; in CI none may be."""
    marker = request.node.get_closest_marker("programs")
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", *map(str, _postgres_folders())])
    missing = [name for name in marker.args if not shutil.which(name, path=path)]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must install {', '.join(missing)} (.ci/system)")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: run ./just system")


def _postgres_folders() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))
