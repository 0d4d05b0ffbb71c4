"""Hosts of a lab are machines of their own: namespaces, files, accounts, sshd, engine, what they
lack; and they can be broken while they live."""

import time
from collections.abc import Iterator

import pytest

from stackdsl.lab import Lab, opening
from stackdsl.model import errors
from tests import engines, labs
from tests.waiting import eventually


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[opening.LivingLab]:
    lab = Lab()
    office = lab.site("office", nat="preserving")
    cloud = lab.site("cloud")
    office.host("db", docker=True)
    cloud.host("worker", user="deploy", sudo=False)
    cloud.host("admin", user="deploy")
    cloud.host("poor", tun=False, python=False, disk="4MiB")
    cloud.host("off", powered=False)
    with labs.built(lab, tmp_path_factory.mktemp("lab")) as built:
        yield built


@pytest.fixture
def worker(net: opening.LivingLab) -> Iterator[opening.LivingHost]:
    """A host to break; it is whole again afterwards."""
    host = net["worker"]
    yield host
    host.power_on()
    host.heal()
    assert labs.logs_in(net, "worker")


def said(net: opening.LivingLab, host: str, *argv: str) -> str:
    done = net.exec(host, argv)
    assert done.exit_code == 0, done
    return done.stdout.strip()


def over_ssh(net: opening.LivingLab, host: str, *argv: str) -> str:
    return said(net, "controller", "ssh", host, *argv)


def test_the_ssh_client_of_the_controller_gets_in_by_name(net: opening.LivingLab) -> None:
    assert over_ssh(net, "worker", "hostname; id -un") == "worker\ndeploy"


def test_the_controllers_home_is_where_ssh_looks(net: opening.LivingLab) -> None:
    assert "Host db" in said(net, "controller", "sh", "-c", "cat ~/.ssh/config")


def test_every_host_has_a_key_of_its_own(net: opening.LivingLab) -> None:
    words = ("sh", "-c", "cut -d' ' -f3 ~/.ssh/known_hosts")
    keys = said(net, "controller", *words).split()

    assert len(set(keys)) == len(keys) == 6


@pytest.mark.parametrize("kind", ["net", "mnt", "pid", "uts", "ipc"])
def test_every_host_has_namespaces_of_its_own(net: opening.LivingLab, kind: str) -> None:
    names = [said(net, host, "readlink", f"/proc/self/ns/{kind}") for host in ("db", "worker")]

    assert names[0] != names[1]


def test_a_host_sees_its_own_processes_only(net: opening.LivingLab) -> None:
    rows = said(net, "worker", "ps", "-e", "-o", "comm=").splitlines()

    assert "sshd" in rows
    assert len(rows) < 6


def test_what_a_host_writes_nobody_else_sees(net: opening.LivingLab) -> None:
    for path in ("/tmp/mine", "/run/mine", "/etc/mine", "/srv/mine", "/root/mine"):
        said(net, "db", "touch", path)

        assert net.exec("admin", ["test", "-e", path], user="root").exit_code == 1


def test_all_names_of_the_lab_resolve_on_every_host(net: opening.LivingLab) -> None:
    for host in ("controller", "db", "worker", "poor"):
        said(net, host, "getent", "hosts", *net)


def test_an_account_without_sudo_becomes_nobody_else(net: opening.LivingLab) -> None:
    done = net.exec("controller", ["ssh", "worker", "sudo -n id -u"])

    assert done.exit_code != 0


def test_an_account_with_sudo_becomes_root(net: opening.LivingLab) -> None:
    assert over_ssh(net, "admin", "sudo -n id -u") == "0"


def test_a_host_without_tun_has_no_such_device(net: opening.LivingLab) -> None:
    assert said(net, "db", "ls", "/dev/net") == "tun"
    assert said(net, "poor", "ls", "/dev/net") == ""


def test_a_host_without_python_has_none_on_its_path(net: opening.LivingLab) -> None:
    done = net.exec("controller", ["ssh", "poor", "command -v python3"])

    assert done.exit_code != 0
    assert over_ssh(net, "worker", "command -v python3")


def test_a_disk_can_be_full(net: opening.LivingLab) -> None:
    filled = net.exec("poor", ["dd", "if=/dev/zero", "of=/var/tmp/big", "bs=1M", "count=8"])
    home = net.exec("poor", ["sh", "-c", "echo more > ~/more && cat ~/more"])

    assert "No space left on device" in filled.stderr
    assert home.exit_code != 0
    said(net, "poor", "rm", "/var/tmp/big")


def test_an_engine_starts_when_it_is_asked_for_and_its_containers_reach_the_lab(
    net: opening.LivingLab,
) -> None:
    assert "dockerd" not in said(net, "db", "ps", "-e", "-o", "comm=")

    engine = engines.Engine(net["db"].engine)
    archive = engines._pack(engines._add_busybox)
    engine.api.import_image_from_data(archive, "busybox", "local", changes=['CMD ["sh"]'])
    engine.close()

    assert "dockerd" in said(net, "db", "ps", "-e", "-o", "comm=")
    asked = f"docker run --rm busybox:local nc -w2 {net['admin'].address} 22 </dev/null"
    assert over_ssh(net, "db", asked).startswith("SSH-2.0-OpenSSH")


def test_a_host_that_is_off_is_told_as_such(net: opening.LivingLab) -> None:
    assert not net["off"].is_powered
    with pytest.raises(errors.HostError, match="powered off"):
        net.exec("off", ["true"])


def test_an_unknown_host_names_the_near_one(net: opening.LivingLab) -> None:
    with pytest.raises(errors.UsageError) as caught:
        net["wroker"]

    assert 'did you mean "worker"?' in caught.value.do


def test_power_off_ends_everything_and_keeps_the_disk(
    net: opening.LivingLab, worker: opening.LivingHost
) -> None:
    said(net, "worker", "sh", "-c", "echo kept > ~/kept; echo lost > /tmp/lost")
    before = worker.pid

    worker.power_off()

    assert not labs.logs_in(net, "worker")
    eventually(lambda: not _lives(before))
    worker.power_on()
    assert over_ssh(net, "worker", "cat kept; test -e /tmp/lost || echo gone") == "kept\ngone"


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status") as file:
            return "State:\tZ" not in file.read()
    except OSError:
        return False


def test_a_host_that_is_cut_off_is_not_reached_until_it_is_healed(
    net: opening.LivingLab, worker: opening.LivingHost
) -> None:
    worker.cut()
    assert not labs.reaches(net, "controller", "worker")

    worker.heal()
    assert labs.reaches(net, "controller", "worker")


def test_a_blocked_port_is_silent_and_the_rest_is_not(
    net: opening.LivingLab, worker: opening.LivingHost
) -> None:
    worker.block(22)
    assert not labs.logs_in(net, "worker")
    assert labs.reaches(net, "controller", "worker")

    worker.heal()
    assert labs.logs_in(net, "worker")


def test_what_was_broken_stays_broken_over_a_power_cycle(
    net: opening.LivingLab, worker: opening.LivingHost
) -> None:
    worker.block(22)
    worker.power_off()
    worker.power_on()

    assert not labs.logs_in(net, "worker")


def test_a_host_that_moved_is_found_under_its_name(
    net: opening.LivingLab, worker: opening.LivingHost
) -> None:
    before = worker.address

    worker.move(before.rpartition(".")[0] + ".99")

    assert not labs.reaches(net, "controller", before)
    assert labs.logs_in(net, "worker")
    worker.move(before)


@pytest.mark.parametrize("address", ["192.168.1.5", "nonsense", "taken", "44.128.2.255"])
def test_a_host_moves_to_free_addresses_of_its_site_only(
    net: opening.LivingLab, address: str
) -> None:
    given = net["admin"].address if address == "taken" else address

    with pytest.raises(errors.UsageError):
        net["worker"].move(given)


def test_a_site_whose_uplink_is_cut_is_an_island(net: opening.LivingLab) -> None:
    net.site("cloud").cut()
    assert not labs.reaches(net, "controller", "admin")
    assert labs.reaches(net, "worker", "admin")

    net.site("cloud").heal()
    assert labs.reaches(net, "controller", "admin")


def test_a_site_whose_uplink_moved_is_seen_under_another_address(net: opening.LivingLab) -> None:
    before = net.site("office").public_address

    net.site("office").move()

    assert net.site("office").public_address != before
    assert labs.reaches(net, "db", "worker")
    assert net.site("office").public_address in said(net, "worker", "getent", "hosts", "db")


def test_orphans_on_a_host_are_taken_in(net: opening.LivingLab) -> None:
    said(net, "worker", "sh", "-c", "(sleep 0.1 &) &")

    def zombies() -> list[str]:
        rows = said(net, "worker", "ps", "-e", "-o", "stat=,comm=").splitlines()
        return [row for row in rows if row.startswith("Z") or "sleep" in row]

    eventually(lambda: not zombies())


def test_a_command_that_goes_on_too_long_is_told(net: opening.LivingLab) -> None:
    began_s = time.monotonic()

    with pytest.raises(errors.ServiceError, match="still going"):
        net.exec("worker", ["sleep", "5"], timeout=0.2)

    assert time.monotonic() - began_s < 4
