"""What the machine's firewall drops, as far as it may be read."""

import os
from collections.abc import Sequence

from stackdsl.model import errors
from stackdsl.node import executing, launches, processes

_TIMEOUT_S = 2.0
_DROPS = ("DROP", "REJECT")


async def find_drop(spawner: processes.Spawner, chain: str, bridge: str) -> str:
    """Return what in a chain drops packets from a bridge, in a few words; "" if nothing is seen.

    Rules of nftables itself are not read: iptables shows those that ufw, Docker and people make.
    """
    return blame(await _list_rules(spawner, chain), chain, bridge)


def blame(rows: Sequence[str], chain: str, bridge: str) -> str:
    """Return which row of ``iptables -S`` drops what comes from a bridge: a rule that drops all of
    it, else the policy, else the first rule that drops anything: it may be meant for others."""
    policy = other = ""
    for row in rows:
        words = row.split()
        if words[:2] == ["-P", chain] and words[-1] in _DROPS:
            policy = f"the policy of {chain} is {words[-1]}"
        elif "-j" in words and words[words.index("-j") + 1] in _DROPS:
            rule = f"rule: {row}"
            if _takes_all(words[2 : words.index("-j")], bridge):
                return rule
            other = other or rule
    return policy or other


def _takes_all(match: Sequence[str], bridge: str) -> bool:
    """Tell whether a rule asks for nothing but the interface, and for this one: a name, or how it
    begins with a "+"."""
    if not match:
        return True
    if len(match) != 2 or match[0] != "-i":
        return False
    name = match[1]
    return bridge.startswith(name[:-1]) if name.endswith("+") else bridge == name


async def _list_rules(spawner: processes.Spawner, chain: str) -> list[str]:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    launch = launches.Launch(
        name="", argv=("iptables", "-w", "-S", chain), env={**os.environ, "PATH": path}, cwd="/"
    )
    try:
        listed = await executing.run(spawner, launch, _TIMEOUT_S)
    except errors.ServiceError:
        return []
    return listed.stdout.decode(errors="replace").splitlines()
