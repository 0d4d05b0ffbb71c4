"""An ordinary user has a lab too: of user namespaces, and told what is missing where they are not
enough."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackdsl.lab import Lab, loading, needing
from stackdsl.model import errors

PYTHON = "/usr/bin/python3"  # one that everybody may use; ours may live in root's home
TOP = Path(__file__).parents[2]
BUILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
from stackdsl.lab import Lab, opening
from stackdsl.model import errors
lab = Lab()
home = lab.site("home", nat="preserving", delay="10ms")
away = lab.site("away", nat="symmetric")
home.host("db", docker=sys.argv[3:] == ["docker"])
away.host("worker", user="deploy")
lab.site("cloud").host("poor", user="deploy", sudo=False, python=False, disk="4MiB")
try:
    with opening.open_lab(lab, root=sys.argv[2]) as net:
        def ssh(host, words):
            return net.exec("controller", ["ssh", host, words]).stdout
        print(json.dumps({
            "names": [ssh(name, "hostname; id -un") for name in ("db", "worker", "poor")],
            "sudo": [ssh(name, "sudo -n id -u") for name in ("worker", "poor")],
            "python": [ssh(name, "command -v python3") for name in ("worker", "poor")],
            "full": ssh("poor", "dd if=/dev/zero of=/var/tmp/x bs=1M count=8 2>&1"),
            "ping": net.exec("worker", ["ping", "-c3", "-i0.2", "db"]).exit_code,
        }))
except errors.StackError as error:
    print(json.dumps({"code": error.code, "do": error.do}))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an ordinary user may write to."""
    made = Path(tempfile.mkdtemp(prefix="sd-lab-"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


def build(folder: Path, user: list[str], *more: str) -> dict[str, object]:
    if os.geteuid() != 0:
        pytest.fail("this test becomes other users: run it as root")
    words = ["setpriv", *user, "env", "-i", f"PATH={os.environ['PATH']}", f"HOME={folder}"]
    done = subprocess.run(
        [*words, PYTHON, "-c", BUILD, str(TOP), str(folder / "labs"), *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


@pytest.fixture
def somebody() -> Iterator[list[str]]:
    """A user with a range of users to give away; gone again afterwards."""
    subprocess.run(["useradd", "--no-create-home", "stackdsl-somebody"], check=True)
    yield ["--reuid", "stackdsl-somebody", "--regid", "stackdsl-somebody", "--init-groups"]
    subprocess.run(["userdel", "stackdsl-somebody"], check=True)


NOBODY = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]


def test_a_user_with_a_range_of_users_has_a_whole_lab(folder: Path, somebody: list[str]) -> None:
    told = build(folder, somebody)

    assert told["names"] == ["db\nroot\n", "worker\ndeploy\n", "poor\ndeploy\n"]
    assert told["sudo"] == ["0\n", ""]
    assert told["python"] == ["/usr/bin/python3\n", ""]
    assert "No space left" in str(told["full"])


def test_a_user_without_such_a_range_is_told_how_to_get_one(folder: Path) -> None:
    told = build(folder, NOBODY)

    assert told["code"] == "host.lab-users"
    assert "uidmap" in str(told["do"])
    assert "/etc/subuid" in str(told["do"])


def test_engines_need_root(folder: Path) -> None:
    assert build(folder, NOBODY, "docker")["code"] == "host.lab-needs-root"


def test_missing_programs_are_named_with_their_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = {"unshare", "nsenter", "setpriv", "ip", "tc", "ssh", "ssh-keygen"}
    monkeypatch.setattr(needing, "find_program", lambda name: name if name in there else None)
    lab = Lab()
    lab.site("a", nat="preserving").host("db", docker=True, user="deploy")

    with pytest.raises(errors.HostError) as caught:
        needing.check(loading.load(lab))

    assert caught.value.code == "host.lab-programs"
    assert caught.value.what.startswith(
        'cannot build the lab: "dockerd", "iptables", "nft", "sshd"'
    )
    for package in ("docker.io", "nftables", "openssh-server", "sudo"):
        assert package in caught.value.do


def test_a_machine_without_namespaces_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lab = Lab()
    lab.site("a")

    with pytest.raises(errors.HostError) as caught:
        needing.check(loading.load(lab))

    assert caught.value.code == "host.lab-namespaces"
    assert "Operation not permitted" in caught.value.why
