"""What the error codes mean of what befalls a run on its way to other machines."""

TABLE: dict[str, tuple[str, str]] = {
    "host.auth": (
        "a host answers, but its sshd accepts none of your keys for that user",
        (
            "let ssh work there without a password: ssh-copy-id, ssh-add for a key with a"
            " passphrase, or ssh(…, user=…, key=…)"
        ),
    ),
    "host.file-refused": (
        "a file that was sent to a host cannot be kept there",
        "see the reason: room on its disk, or permissions of the account's own folders",
    ),
    "host.key-changed": (
        "a host shows another key than the one in known_hosts",
        (
            "if it was set up anew, remove the old entry (ssh-keygen -R) and connect once with ssh;"
            " if not, do not connect: someone may stand between"
        ),
    ),
    "host.key-unknown": (
        "known_hosts has no key for a host, so that nobody can tell whether it is the right one",
        "connect once with ssh and compare the fingerprint, or add what ssh-keyscan shows",
    ),
    "host.no-forwarding": (
        "a node was started, but its sshd does not let us through to its socket",
        "allow it in sshd_config: AllowStreamLocalForwarding yes, which is the default",
    ),
    "host.no-python": (
        "a host has no Python, or not the one that was named",
        'install Python 3.11 or newer there, or name it: ssh(…, python="…")',
    ),
    "host.no-session": (
        "sshd lets the account log in but run nothing",
        "let the account run commands there: its shell, ForceCommand, MaxSessions",
    ),
    "host.no-space": (
        "what a node needs cannot be kept on a host: its disk, or the account's quota, is full",
        "make room there; some 8 MB are needed",
    ),
    "host.no-sudo": (
        "ssh(…, sudo=True) needs sudo without a password, which the account may not use",
        "allow it (NOPASSWD in sudoers), or leave sudo=True out",
    ),
    "host.node-refused": (
        "a host is reached, but no node could be started on it",
        "see the reason and the last lines in the error",
    ),
    "host.python-old": (
        "every Python that was found on a host is older than 3.11",
        'install a newer one beside it, or name one: ssh(…, python="python3.12")',
    ),
    "host.ssh-config": (
        "~/.ssh/config, or a keyword of ssh(…), cannot be used",
        "correct what the error names; `ssh -G HOST` shows what holds",
    ),
    "teardown.host-lost": (
        "a host was not reached when a run ended, so that nobody saw what runs there end",
        "its node ends everything by itself half a minute after it has heard of us last",
    ),
    "usage.far-surroundings": (
        "a terminal was asked for in a service that runs on another machine",
        "run commands there with `stackdsl exec`, or log in with ssh",
    ),
    "host.unreached": (
        "a host does not answer to SSH: off, another address, a firewall, or a name nobody knows",
        "let `ssh HOST true` work from this machine first",
    ),
}
