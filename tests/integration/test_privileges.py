"""What this process may do on the machine, asked of the machine itself."""

import subprocess
import sys

from stackdsl.node import privileges

ASK = "from stackdsl.node import privileges; print(privileges.can_network())"


def ask(*before: str) -> str:
    asked = subprocess.run(
        [*before, sys.executable, "-c", ASK], capture_output=True, text=True, check=True
    )
    return asked.stdout.strip()


def test_root_may_make_networks() -> None:
    assert privileges.can_network()


def test_root_without_capabilities_may_not() -> None:
    assert ask("setpriv", "--bounding-set=-all", "--inh-caps=-all") == "False"


def test_root_of_a_user_namespace_alone_may_not() -> None:
    """It has every capability there, and none over the machine's interfaces."""
    assert ask("unshare", "--user", "--map-root-user") == "False"


def test_asking_leaves_the_own_namespace_as_it_is() -> None:
    before = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    privileges.can_network()
    after = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    assert before == after
