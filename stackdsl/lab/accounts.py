"""Accounts of a host as text: /etc/passwd and what belongs to it.

Laws: no I/O. The machine's system accounts stay, its people do not. Sources: passwd(5), shadow(5),
group(5), sudoers(5), sshd_config(5), ssh_config(5).
"""

from collections.abc import Sequence

from stackdsl.lab import layouts, topologies

_FIRST_PERSON = 1000
_NOBODY = 65534
KEY = "/etc/ssh/lab/host_key"


class Accounts:
    """The accounts of one host, made of the machine's own files."""

    def __init__(self, passwd: str, group: str, host: topologies.Host, shell: str) -> None:
        rows = [row.split(":") for row in passwd.splitlines() if row.count(":") == 6]
        kept = [row for row in rows if _is_system(row[2])]
        self._groups = [
            row.split(":")
            for row in group.splitlines()
            if row.count(":") == 3 and _is_system(row.split(":")[2])
        ]
        root = next((row for row in kept if row[2] == "0"), None)
        if root is None:
            root = ["root", "x", "0", "0", "root", "/root", shell]
            kept.insert(0, root)
        root[5], root[6] = "/root", shell
        person = next((row for row in kept if row[0] == host.user), None)
        if person is None:
            number = str(_FIRST_PERSON)
            person = [host.user, "x", number, number, "", f"/home/{host.user}", shell]
            kept.append(person)
            self._groups.append([host.user, "x", number, ""])
        elif person is not root:
            person[5], person[6] = f"/home/{host.user}", shell
        if host.docker:
            self._join("docker", host.user)
        self._rows = kept
        self.user = host.user
        self.uid, self.gid, self.home = int(person[2]), int(person[3]), person[5]

    def _join(self, group: str, user: str) -> None:
        row = next((one for one in self._groups if one[0] == group), None)
        if row is None:
            row = [group, "x", "998", ""]
            self._groups.append(row)
        row[3] = user if user != "root" else ""

    def gid_of(self, group: str) -> int:
        """Return a group's number; root's if there is none."""
        return next((int(row[2]) for row in self._groups if row[0] == group), 0)

    def passwd(self) -> str:
        """Return /etc/passwd."""
        return _join(self._rows)

    def group(self) -> str:
        """Return /etc/group."""
        return _join(self._groups)

    def shadow(self) -> str:
        """Return /etc/shadow: nobody has a password, and nobody is locked out ("!" would be)."""
        return "".join(f"{row[0]}:*:19000:0:99999:7:::\n" for row in self._rows)

    def as_seen_by_one_user(self) -> str:
        """Return /etc/passwd for a user namespace that knows one user only: whoever a daemon wants
        to become is root."""
        return _join([[row[0], "x", "0", "0", *row[4:]] for row in self._rows])


def _is_system(number: str) -> bool:
    return number.isdigit() and (int(number) < _FIRST_PERSON or int(number) == _NOBODY)


def _join(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"{':'.join(row)}\n" for row in rows)


def sudoers(host: topologies.Host) -> str:
    """Return /etc/sudoers."""
    rows = [
        "Defaults env_reset",
        'Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"',
        "root ALL=(ALL:ALL) ALL",
    ]
    if host.sudo and host.user != "root":
        rows.append(f"{host.user} ALL=(ALL:ALL) NOPASSWD: ALL")
    return "\n".join(rows) + "\n"


def sshd_config() -> str:
    """Return the configuration of a host's sshd: the defaults, but for what would ask or wait."""
    return f"""HostKey {KEY}
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
PidFile none
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
"""


def ssh_config(layout: layouts.Layout) -> str:
    """Return the controller's ~/.ssh/config: every host of the lab under its name."""
    parts = []
    for net in layout.hosts:
        if net.host.name == topologies.CONTROLLER:
            continue
        address, port = net.ssh
        parts.append(
            f"Host {net.host.name}\n"
            f"    HostName {address}\n"
            f"    Port {port}\n"
            f"    User {net.host.user}\n"
            f"    HostKeyAlias {net.host.name}\n"
        )
    parts.append(
        "Host *\n    IdentityFile ~/.ssh/id_ed25519\n    IdentitiesOnly yes\n"
        "    StrictHostKeyChecking yes\n    UserKnownHostsFile ~/.ssh/known_hosts\n"
    )
    return "\n".join(parts)


def known_hosts(layout: layouts.Layout, keys: dict[str, str]) -> str:
    """Return the controller's ~/.ssh/known_hosts: by name, by address, by address and port."""
    rows = []
    for net in layout.hosts:
        if net.host.name in keys:
            address, port = net.ssh
            where = address if port == 22 else f"[{address}]:{port}"
            rows.append(f"{net.host.name},{where} {keys[net.host.name]}")
    return "\n".join(rows) + "\n"
