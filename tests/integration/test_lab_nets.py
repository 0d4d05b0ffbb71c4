"""The lab's networks are real: routers translate as declared, uplinks take their time, and the same
private net stands at several sites."""

import re
from collections.abc import Iterator

import pytest

from stackdsl.lab import Lab, opening
from tests import labs

SITES = ("home", "flat", "mute")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[opening.LivingLab]:
    lab = Lab()
    lab.site("home", nat="preserving", subnet="192.168.1.0/24").host("home-1")
    lab.site("flat", nat="symmetric", subnet="192.168.1.0/24").host("flat-1")
    lab.site("mute", nat="preserving", subnet="192.168.1.0/24", block_udp=True).host("mute-1")
    cloud = lab.site("cloud")
    cloud.host("w1")
    cloud.host("w2")
    lab.site("far", delay="20ms").host("far-1")
    lab.site("bad", delay="5ms", jitter="2ms", loss="10%").host("bad-1")
    lab.site("slow", rate="10Mbit").host("slow-1")
    with labs.built(lab, tmp_path_factory.mktemp("lab")) as built:
        yield built


def observed(net: opening.LivingLab, host: str) -> list[str]:
    """Return how two public hosts see one socket of a host."""
    with (
        labs.running(net, "w1", labs.OBSERVER, "7001"),
        labs.running(net, "w2", labs.OBSERVER, "7002"),
    ):
        return labs.ask(net, host, labs.ASKER, "5000", "w1:7001", "w2:7002")


def test_a_preserving_router_keeps_the_port_for_every_destination(net: opening.LivingLab) -> None:
    wan = net.layout.site("home").wan

    assert observed(net, "home-1") == [f"{wan}:5000", f"{wan}:5000"]


def test_a_symmetric_router_has_a_port_for_each_destination(net: opening.LivingLab) -> None:
    first, second = observed(net, "flat-1")

    wan = net.layout.site("flat").wan
    assert first.startswith(f"{wan}:")
    assert second.startswith(f"{wan}:")
    assert len({first, second, f"{wan}:5000"}) == 3


def test_public_hosts_are_seen_as_they_are(net: opening.LivingLab) -> None:
    address = net["far-1"].address

    assert observed(net, "far-1") == [f"{address}:5000", f"{address}:5000"]


def test_a_router_that_blocks_udp_lets_none_through(net: opening.LivingLab) -> None:
    assert observed(net, "mute-1") == ["silence", "silence"]
    assert labs.reaches(net, "mute-1", "w1")


@pytest.mark.parametrize("site", ["home", "flat"])
def test_a_mapping_lets_nobody_in_but_who_was_spoken_to(net: opening.LivingLab, site: str) -> None:
    asker = f"{labs.ASKER}\nprint('kept', flush=True)\nimport time\n"
    asker += "s.settimeout(2)\n"
    asker += "try:\n    print('GOT', s.recvfrom(2000))\nexcept TimeoutError:\n    print('nobody')\n"
    intruder = (
        "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for _ in range(20):\n    for port in (5000, int(sys.argv[2])):\n"
        "        s.sendto(b'hi', (sys.argv[1], port))\n"
    )
    with labs.running(net, "w1", labs.OBSERVER, "7001"):
        opened = (
            f"print('ready', flush=True)\nimport sys\nsys.argv[1:] = ['5000', 'w1:7001']\n{asker}"
        )
        with labs.running(net, f"{site}-1", f"# waits\n{opened}", "waits") as lines:
            labs.ask(net, "w2", intruder, net.layout.site(site).wan, "5000")
            labs.ask(net, "w1", intruder, net.layout.site(site).wan, "5000")
            labs.ask(net, f"{site}-1", "import time; time.sleep(0.2)")

    assert not any("GOT" in line for line in lines), lines


@pytest.mark.parametrize("site", SITES)
def test_a_router_lets_no_connection_in(net: opening.LivingLab, site: str) -> None:
    ports = [*map(str, range(1, 1025)), *map(str, range(22000, 22010))]

    assert labs.ask(net, "w1", labs.SCANNER, net.layout.site(site).wan, *ports) == []


@pytest.mark.parametrize("site", SITES)
def test_a_private_address_leads_nowhere_from_outside(net: opening.LivingLab, site: str) -> None:
    assert not labs.reaches(net, "w1", net[f"{site}-1"].address)


@pytest.mark.parametrize("site", SITES)
def test_hosts_behind_routers_reach_public_ones(net: opening.LivingLab, site: str) -> None:
    assert labs.reaches(net, f"{site}-1", "w1")


def test_the_same_private_net_at_three_sites_leads_to_three_hosts(net: opening.LivingLab) -> None:
    assert {net[f"{site}-1"].address for site in SITES} == {"192.168.1.10"}

    told = [net.exec("controller", ["ssh", f"{site}-1", "hostname"]).stdout for site in SITES]

    assert told == [f"{site}-1\n" for site in SITES]


def ping(net: opening.LivingLab, target: str, count: int) -> tuple[int, float]:
    """Return how many percent were lost, and the mean round trip in ms."""
    said = net.exec("w1", ["ping", "-q", "-i0.005", f"-c{count}", target]).stdout
    lost = re.search(r"([\d.]+)% packet loss", said)
    mean = re.search(r"= [\d.]+/([\d.]+)/", said)
    assert lost is not None
    assert mean is not None
    return int(float(lost[1])), float(mean[1])


def test_an_uplink_takes_its_delay_each_way(net: opening.LivingLab) -> None:
    lost, mean_ms = ping(net, "far-1", 100)

    assert lost == 0
    assert mean_ms == pytest.approx(40, rel=0.1)


def test_an_uplink_loses_its_share_each_way(net: opening.LivingLab) -> None:
    lost, _ = ping(net, "bad-1", 2000)

    # 1 - 0.9 * 0.9, within five standard deviations of so many
    assert lost == pytest.approx(19, abs=5)


def test_an_uplink_carries_its_rate(net: opening.LivingLab) -> None:
    sink = (
        "import socket, sys, time\nserver = socket.create_server(('0.0.0.0', int(sys.argv[1])))\n"
        "print('ready', flush=True)\nstream, _ = server.accept()\nstream.recv(1)\n"
        "began, count = time.monotonic(), 0\n"
        "while part := stream.recv(1 << 16):\n    count += len(part)\n"
        "stream.sendall(str(count * 8 / (time.monotonic() - began)).encode())\n"
        "time.sleep(60)\n"
    )
    source = (
        "import socket, sys\nstream = socket.create_connection((sys.argv[1], 7100))\n"
        "stream.sendall(b'x' * 2_500_000)\nstream.shutdown(socket.SHUT_WR)\n"
        "print(stream.recv(100).decode())\n"
    )
    with labs.running(net, "slow-1", sink, "7100"):
        (rate_bps,) = labs.ask(net, "w1", source, "slow-1")

    assert 8.5e6 < float(rate_bps) < 10.5e6
