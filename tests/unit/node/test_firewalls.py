"""Which rule is blamed for packets that do not pass."""

import pytest

from stackdsl.node import firewalls

INVALID = "-A INPUT -m conntrack --ctstate INVALID -j DROP"


@pytest.mark.parametrize(
    ("rows", "blamed"),
    [
        (["-P INPUT ACCEPT"], ""),
        (["-P INPUT DROP"], "the policy of INPUT is DROP"),
        (["-P INPUT DROP", INVALID], "the policy of INPUT is DROP"),
        (["-P INPUT ACCEPT", INVALID], f"rule: {INVALID}"),
        (["-P INPUT DROP", "-A INPUT -i sd-+ -j REJECT"], "rule: -A INPUT -i sd-+ -j REJECT"),
        (["-P INPUT DROP", "-A INPUT -i eth0 -j DROP"], "the policy of INPUT is DROP"),
        (["-P INPUT ACCEPT", INVALID, "-A INPUT -j DROP"], "rule: -A INPUT -j DROP"),
        (["-P FORWARD DROP"], ""),
    ],
)
def test_what_drops_everything_is_blamed_before_what_drops_something(
    rows: list[str], blamed: str
) -> None:
    assert firewalls.blame(rows, "INPUT", "sd-0123456789a") == blamed
