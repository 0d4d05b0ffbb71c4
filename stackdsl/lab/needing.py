"""What a lab needs of the machine: programs, namespaces; what is missing is named with its package.

Found out by doing, not by reading settings: some kernels allow a user namespace and then take its
powers away.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable

from stackdsl.lab import booting, topologies
from stackdsl.model import errors

_SPACES = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
_ALWAYS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
_DOCKER = {"dockerd": "docker.io", "iptables": "iptables"}


def check(topology: topologies.Topology) -> tuple[list[str], bool]:
    """Return the command that the lab's keeper is started with, and whether it is without root.

    Raises:
        HostError: what the machine lacks, with what to install.
    """
    _check_programs(topology)
    if os.geteuid() == 0:
        command = ["unshare", "--cgroup", *_SPACES]
        if (said := _try(command)) is None:
            return command, False
        raise _no_namespaces(
            said,
            "root here has not the powers of root: run it on the machine"
            " itself, or in a container that is --privileged",
        )
    if any(host.docker for host in topology.hosts):
        raise errors.HostError(
            "host.lab-needs-root",
            "cannot build the lab: an ordinary user cannot start the Docker engines of its hosts",
            why=f"docker=True: {', '.join(one.name for one in topology.hosts if one.docker)}",
            do="run it as root, or take docker=True out of the topology",
        )
    everyone = ["unshare", "--user", "--map-root-user", "--map-auto", *_SPACES]
    if (said := _try(everyone)) is None:
        return everyone, True
    alone = ["unshare", "--user", "--map-root-user", *_SPACES]
    reason = _try(alone)
    if reason is not None:
        raise _no_namespaces(
            reason,
            "run it as root, or let users make namespaces: sysctl"
            " kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000, and on Ubuntu"
            " kernel.apparmor_restrict_unprivileged_userns=0",
        )
    raise errors.HostError(
        "host.lab-users",
        "cannot build the lab: this user has no other users to give to its hosts' accounts and"
        " sshds",
        why=said,
        do="run it as root, or install the package uidmap and give this user a range in"
        " /etc/subuid and /etc/subgid: usermod --add-subuids 100000-165535"
        " --add-subgids 100000-165535 $USER",
    )


def _check_programs(topology: topologies.Topology) -> None:
    wanted = dict(_ALWAYS)
    if any(host.docker for host in topology.hosts):
        wanted |= _DOCKER
    if any(host.sudo and host.user != "root" for host in topology.hosts):
        wanted["sudo"] = "sudo"
    missing = sorted(name for name in wanted if not find_program(name))
    if missing:
        raise errors.HostError(
            "host.lab-programs",
            f"cannot build the lab: {_join(missing)} not found",
            do="install them; on Debian or Ubuntu: apt-get install "
            + " ".join(sorted({wanted[name] for name in missing})),
        )


def _join(names: Iterable[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return f"{', '.join(quoted)} {'is' if len(quoted) == 1 else 'are'}"


def find_program(name: str) -> str | None:
    """Return a program's path; the folders of administrators are looked into as well."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{booting.PATH}")


def _try(command: list[str]) -> str | None:
    """Return None if namespaces can be made so and a network be set up in them, else why not."""
    try:
        done = subprocess.run(
            [*command, "sh", "-c", "mount -t tmpfs run /run && ip link set lo up"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{booting.PATH}"},
        )
    except subprocess.TimeoutExpired:
        return "it took too long"
    return None if done.returncode == 0 else done.stderr.strip()


def _no_namespaces(why: str, do: str) -> errors.HostError:
    return errors.HostError(
        "host.lab-namespaces",
        "cannot build the lab: this machine does not let us make namespaces",
        why=why,
        do=do,
    )
