"""What the machine's firewall drops, as far as it may be read."""

import os

from stackdsl.model import errors
from stackdsl.node import executing, launches, processes

_TIMEOUT_S = 2.0
_DROPS = ("DROP", "REJECT")


async def find_drop(spawner: processes.Spawner, chain: str) -> str:
    """Return what in a chain drops packets, in a few words; "" if nothing is seen.

    Rules of nftables itself are not read: iptables shows those that ufw, Docker and people make.
    """
    policy = ""
    for row in await _list_rules(spawner, chain):
        words = row.split()
        if words[:2] == ["-P", chain] and words[-1] in _DROPS:
            policy = f"the policy of {chain} is {words[-1]}"
        elif "-j" in words and words[words.index("-j") + 1] in _DROPS:
            return f"rule: {row}"
    return policy


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
