"""stacks/lan.py in its lab: real Redis on one machine, its caller on another."""

from pathlib import Path
from typing import Any

STACKS = Path(__file__).parents[2] / "stacks"
ASK = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode().strip())
"""


def test_a_service_here_counts_in_redis_on_another_machine(lab: Any) -> None:
    with lab(STACKS / "lan_lab.py") as net:
        run = net.up(STACKS / "lan.py")

        said = net.exec("controller", ["python3", "-c", ASK, run["api"].url]).stdout
        status = run.status()

        assert said == "hello, visitor 1\n"
        assert {one.name: one.host for one in status.services} == {"api": "local", "redis": "box"}
        assert [(link.source, link.target, link.kind) for link in status.links] == [
            ("api", "redis", "lan")
        ]
