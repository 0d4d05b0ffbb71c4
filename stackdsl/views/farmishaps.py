"""What the error codes mean of what befalls a run on its way to other machines."""

TABLE: dict[str, tuple[str, str]] = {
    "host.auth": (
        "a host answers, but its sshd accepts none of your keys for that user",
        (
            "let ssh work there without a password: ssh-copy-id, ssh-add for a key with a"
            " passphrase, or ssh(…, user=…, key=…)"
        ),
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
    "host.no-session": (
        "sshd lets the account log in but run nothing",
        "let the account run commands there: its shell, ForceCommand, MaxSessions",
    ),
    "host.ssh-config": (
        "~/.ssh/config, or a keyword of ssh(…), cannot be used",
        "correct what the error names; `ssh -G HOST` shows what holds",
    ),
    "host.unreached": (
        "a host does not answer to SSH: off, another address, a firewall, or a name nobody knows",
        "let `ssh HOST true` work from this machine first",
    ),
}
