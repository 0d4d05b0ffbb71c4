"""Which sockets take a connection to an address."""

import socket

import pytest

from stackdsl.model import facts
from stackdsl.node import listening

ADDRESS = socket.inet_aton("127.42.0.3")


@pytest.mark.parametrize(
    ("bound", "does_accept"),
    [
        (socket.inet_aton("127.42.0.3"), True),
        (socket.inet_aton("0.0.0.0"), True),
        (socket.inet_aton("127.0.0.1"), False),
        (socket.inet_pton(socket.AF_INET6, "::"), True),
        (socket.inet_pton(socket.AF_INET6, "::ffff:127.42.0.3"), True),
        (socket.inet_pton(socket.AF_INET6, "::1"), False),
    ],
)
def test_an_address_is_served_by_itself_and_by_everywhere(bound: bytes, does_accept: bool) -> None:
    assert listening.Listening(bound, 80, 1).accepts(ADDRESS) is does_accept


def test_facts_name_each_socket_once_in_order() -> None:
    found = [
        listening.Listening(socket.inet_aton("127.0.0.2"), 80, 1),
        listening.Listening(socket.inet_aton("127.0.0.1"), 80, 2),
        listening.Listening(socket.inet_aton("127.0.0.2"), 80, 3),
    ]
    assert listening.to_facts(found, "tcp") == [
        facts.Listener(address="127.0.0.1", port=80),
        facts.Listener(address="127.0.0.2", port=80),
    ]
