"""Looking at the machine before anything is planned: a few milliseconds, and nothing changed."""

import os
import sys

from stackdsl.model import facts
from stackdsl.model.requests import Wanted
from stackdsl.node import accounts, cgroups, diagnosing, listening, privileges


def observe(wanted: Wanted) -> facts.HostFacts:
    """Return what this machine is and has; ``wanted`` says which programs and users matter."""
    looker = listening.Looker()
    try:
        listeners = (
            *listening.to_facts(looker.look("tcp"), "tcp"),
            *listening.to_facts(looker.look("udp"), "udp"),
        )
    finally:
        looker.close()
    return facts.HostFacts(
        name="local",
        addresses=tuple(read_addresses()),
        listeners=listeners,
        first_port=privileges.find_first_port(),
        is_root=os.geteuid() == 0,
        has_cgroup=cgroups.find_root() is not None,
        has_memory_limit=cgroups.can_limit("memory"),
        has_cpu_limit=cgroups.can_limit("cpu"),
        programs_missing=tuple(
            name
            for name, path, cwd in wanted.programs
            if diagnosing.find_program(name, os.environ.get("PATH") if path is None else path, cwd)
            is None
        ),
        users_missing=tuple(user for user in wanted.users if accounts.find(user) is None),
        python=".".join(map(str, sys.version_info[:3])),
        kernel=os.uname().release,
    )


def read_addresses() -> list[str]:
    """Return the machine's IPv4 addresses without loopback, in order. Source: /proc/net/fib_trie,
    where a leaf that is "host LOCAL" is an address of ours."""
    found: set[str] = set()
    address = ""
    try:
        with open("/proc/net/fib_trie", encoding="ascii") as file:
            for line in file:
                text = line.strip()
                if text.startswith("|-- "):
                    address = text[4:]
                elif text.startswith("/32 host LOCAL") and not address.startswith("127."):
                    found.add(address)
    except OSError:
        return []
    return sorted(found, key=lambda text: tuple(map(int, text.split("."))))
