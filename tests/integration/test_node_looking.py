"""What a node sees of the machine: sockets, addresses, programs, processes."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from stackdsl.model.requests import Wanted
from stackdsl.node import listening, observing, proctable
from tests.waiting import eventually


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.7", 0)) as listener:
        yield listener.getsockname()


@pytest.fixture
def bound() -> Iterator[tuple[str, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
        stream.bind(("127.0.0.8", 0))
        yield stream.getsockname()


@pytest.fixture(params=["netlink", "proc"])
def looker(request: pytest.FixtureRequest) -> Iterator[listening.Looker]:
    made = listening.Looker()
    made._has_netlink = request.param == "netlink"
    yield made
    assert made._has_netlink == (request.param == "netlink"), "netlink is here"
    made.close()


def test_listening_sockets_are_seen(looker: listening.Looker, server: tuple[str, int]) -> None:
    assert server in [(each.text, each.port) for each in looker.look("tcp")]


def test_bound_datagram_sockets_are_seen(looker: listening.Looker, bound: tuple[str, int]) -> None:
    assert bound in [(each.text, each.port) for each in looker.look("udp")]


def test_connected_sockets_do_not_listen(looker: listening.Looker, server: tuple[str, int]) -> None:
    with socket.create_connection(server) as stream:
        own = stream.getsockname()
        assert own not in [(each.text, each.port) for each in looker.look("tcp")]


def test_both_ways_of_looking_see_the_same(server: tuple[str, int]) -> None:
    first, second = listening.Looker(), listening.Looker()
    second._has_netlink = False
    assert (server in [(x.text, x.port) for x in first.look()]) == (
        server in [(x.text, x.port) for x in second.look()]
    )
    first.close()


def test_the_sockets_of_a_process_are_found(server: tuple[str, int]) -> None:
    looker = listening.Looker()
    found = listening.listeners_of(looker, [os.getpid()])
    looker.close()
    assert server in [(each.address, each.port) for each in found]


def test_facts_tell_what_is_missing() -> None:
    wanted = Wanted(
        programs=(("sh", None, "/"), ("no-such-program", None, "/"), ("sh", "/nonexistent", "/")),
        users=("root", "no-such-user"),
    )
    seen = observing.observe(wanted)
    assert seen.programs_missing == ("no-such-program", "sh")
    assert seen.users_missing == ("no-such-user",)


def test_facts_tell_addresses_without_loopback() -> None:
    addresses = observing.observe(Wanted()).addresses
    assert all(socket.inet_aton(address) for address in addresses)
    assert not any(address.startswith("127.") for address in addresses)


def test_a_process_is_told_from_a_later_one_by_its_start() -> None:
    stat = proctable.read_stat(os.getpid())
    assert stat is not None
    assert (stat.ppid, stat.is_alive) == (os.getppid(), True)
    assert proctable.start_ticks(os.getpid()) == stat.start_ticks > 0


def test_a_process_that_is_not_there_is_none() -> None:
    assert proctable.read_stat(2**22 + 1) is None
    assert proctable.children(2**22 + 1) == []


def test_children_are_seen_with_their_descent() -> None:
    pid = os.posix_spawnp("sh", ["sh", "-c", "sleep 1000 & wait"], os.environ)
    try:
        assert pid in proctable.children(os.getpid())
        (below,) = eventually(lambda: proctable.descendants([pid]))
        assert eventually(lambda: proctable.read_command(below) == ["sleep", "1000"])
        os.kill(below, 9)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_children_are_all_found_while_threads_come_and_go() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    is_over = threading.Event()

    def churn() -> None:
        while not is_over.is_set():
            threading.Thread(target=lambda: None).start()

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        assert all(child.pid in proctable.children(os.getpid()) for _ in range(300))
    finally:
        is_over.set()
        churning.join()
        child.kill()
        child.wait()
