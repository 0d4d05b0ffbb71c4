"""Connections to hosts, over real sshds."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stackdsl.model import errors, places
from stackdsl.reach import connecting
from tests.waiting import eventually
from tests.worlds import sshds


@pytest.fixture
def net(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sshds.Net]:
    monkeypatch.setenv("HOME", str(state_home / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (state_home / "home").mkdir()
    with sshds.opened(state_home / "home") as net:
        yield net


@pytest.fixture
async def connector() -> AsyncIterator[connecting.Connector]:
    async with connecting.Connector() as connector:
        yield connector


@pytest.fixture
def agent(net: sshds.Net, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = net.folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    eventually(path.exists)
    yield path
    process.terminate()
    process.wait()


def ssh(host: str, **fields: object) -> places.Ssh:
    return places.Ssh(host=host, **fields)  # type: ignore[arg-type]  # a test's own fields


async def refusal(connector: connecting.Connector, place: places.Ssh) -> errors.HostError:
    with pytest.raises(errors.HostError) as caught:
        await connector.connect(place)
    assert caught.value.do
    return caught.value


async def test_a_host_of_the_ssh_config_is_reached(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    net.start("edge")
    ran = await (await connector.connect(ssh("edge"))).run("echo $XDG_STATE_HOME")
    assert ran.exit_code == 0
    assert ran.stdout.decode().strip() == str(net.machines["edge"].home / "state")


async def test_user_port_and_key_can_be_given_in_the_stack(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    edge = net.start("edge")
    (net.ssh / "config").unlink()
    place = ssh(edge.address, user="root", port=edge.port, key=str(net.folder / "key"))
    assert (await (await connector.connect(place)).run("id -un")).stdout == b"root\n"


async def test_keys_of_the_agent_are_used(
    net: sshds.Net, connector: connecting.Connector, agent: Path
) -> None:
    edge = net.start("edge")
    (net.ssh / "config").unlink()
    subprocess.run(["ssh-add", "-q", str(net.folder / "key")], check=True)
    opened = await connector.connect(ssh(edge.address, user="root", port=edge.port))
    assert (await opened.run("true")).exit_code == 0


async def test_all_that_is_done_on_a_host_shares_one_connection(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    net.start("edge")
    async with asyncio.TaskGroup() as group:
        opened = [group.create_task(connector.connect(ssh("edge"))) for _ in range(5)]
    assert len({id(one.result()) for one in opened}) == 1
    assert await connector.connect(ssh("edge", sudo=True)) is opened[0].result()


async def test_jump_hosts_of_the_config_are_gone_through(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    net.start("bastion")
    net.start("middle")
    inner = net.start("inner")
    with (net.ssh / "config").open("a") as config:
        config.write("Host inner\n  ProxyJump bastion,middle\n")
    ran = await (await connector.connect(ssh("inner"))).run("echo $SSH_CONNECTION")
    assert ran.stdout.decode().split()[2:] == [inner.address, str(inner.port)]
    assert "Accepted publickey" in (net.machines["middle"].home / "sshd.log").read_text()


async def test_via_names_the_hop_and_shares_its_connection(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    bastion = net.start("bastion")
    for name in ("one", "two"):
        net.start(name)
        await connector.connect(ssh(name, via=ssh("bastion")))
    assert (bastion.home / "sshd.log").read_text().count("Accepted publickey") == 1


async def test_a_host_that_is_off_behind_a_jump_host_is_told_apart(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    net.start("bastion")
    net.start("inner").stop()
    error = await refusal(connector, ssh("inner", via=ssh("bastion")))
    assert error.code == "host.unreached"
    assert '"inner"' in error.what
    assert '"bastion" does not get there' in error.why


async def test_an_unknown_key_is_refused_and_the_error_says_how_to_accept_it(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    edge = net.start("edge", is_known=False)
    error = await refusal(connector, ssh("edge"))
    assert error.code == "host.key-unknown"
    assert f"ssh-keyscan -p {edge.port} {edge.address} >> ~/.ssh/known_hosts" in error.do
    scan = ["ssh-keyscan", "-p", str(edge.port), edge.address]
    found = subprocess.run(scan, capture_output=True, check=True).stdout
    net.known_hosts.write_bytes(found)
    assert (await (await connector.connect(ssh("edge"))).run("true")).exit_code == 0


async def test_a_changed_key_is_refused_in_other_words(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    edge = net.start("edge")
    sshds.make_key(net.folder / "other")
    kind, key, *_ = (net.folder / "other.pub").read_text().split()
    net.known_hosts.write_text(f"[{edge.address}]:{edge.port} {kind} {key}\n")
    error = await refusal(connector, ssh("edge"))
    assert error.code == "host.key-changed"
    assert f"ssh-keygen -R '[{edge.address}]:{edge.port}'" in error.do


async def test_a_refused_login_names_the_user(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    net.start("edge")
    sshds.make_key(net.folder / "stranger")
    error = await refusal(connector, ssh("edge", key=str(net.folder / "stranger")))
    assert error.code == "host.auth"
    assert '"root"' in error.what


async def test_a_key_file_that_is_missing_is_told(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    net.start("edge")
    error = await refusal(connector, ssh("edge", key=str(net.folder / "missing")))
    assert error.code == "host.ssh-config"
    assert "missing" in error.why


async def test_a_config_that_is_wrong_is_told_with_its_line(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    (net.ssh / "config").write_text("Host edge\n  Port many\n")
    error = await refusal(connector, ssh("edge"))
    assert error.code == "host.ssh-config"
    assert "line 2" in error.why


async def test_a_host_without_sshd_fails_by_itself_and_at_once(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    net.start("down").stop()
    net.start("up")
    async with asyncio.TaskGroup() as group:
        down = group.create_task(refusal(connector, ssh("down")))
        up = group.create_task(connector.connect(ssh("up")))
    assert down.result().code == "host.unreached"
    assert "refused" in down.result().why
    assert not up.result().lost.is_set()


async def test_an_unknown_name_is_told(net: sshds.Net, connector: connecting.Connector) -> None:
    error = await refusal(connector, ssh("no-such-host.invalid"))
    assert error.code == "host.unreached"
    assert "not known" in error.why


async def test_a_host_that_never_answers_is_given_up_when_its_time_is_up(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        (net.ssh / "config").write_text("Host deaf\n  HostName 127.0.0.1\n  ConnectTimeout 1\n")
        connector.login_timeout_s = 0.5
        error = await refusal(connector, ssh("deaf", port=deaf.getsockname()[1]))
    assert error.code == "host.unreached"


async def test_fifty_hosts_are_reached_at_once_though_sshd_turns_some_away(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    edge = net.start("edge", "MaxStartups=5:50:20")
    with (net.ssh / "config").open("a") as config:
        for number in range(50):
            config.write(
                f"Host h{number}\n  HostName {edge.address}\n  Port {edge.port}\n"
                f"  User root\n  IdentityFile {net.folder}/key\n"
            )
    async with asyncio.TaskGroup() as group:
        opened = [group.create_task(connector.connect(ssh(f"h{n}"))) for n in range(50)]
    assert not any(one.result().lost.is_set() for one in opened)


async def test_the_end_of_a_connection_is_noticed_and_the_next_one_is_another(
    net: sshds.Net, connector: connecting.Connector
) -> None:
    edge = net.start("edge")
    first = await connector.connect(ssh("edge"))
    edge.stop()
    async with asyncio.timeout(10):
        await first.lost.wait()
    with pytest.raises(errors.HostError) as caught:
        await first.run("true")
    assert caught.value.code == "host.connection-lost"
    net.restart("edge")
    assert (await (await connector.connect(ssh("edge"))).run("true")).exit_code == 0
