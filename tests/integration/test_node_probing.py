"""How a real node finds out that services are ready and alive, and how soon."""

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stackdsl.model import probes, reports, services, specs
from tests.waiting import eventually_async
from tests.worlds import native


@pytest.fixture
async def living(state_home: Path) -> AsyncIterator[native.NativeNode]:
    async with native.running(native.identity(state_home)) as node:
        yield node


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def waiting(name: str, *checks: specs.Check, **fields: object) -> specs.ServiceSpec:
    return native.spec(name, "sleep", "1000", ready=checks, **fields)


async def answer(listening: socket.socket, *answers: bytes) -> int:
    """Give each answer to one request, the last one for ever; return how many were asked."""
    loop = asyncio.get_running_loop()
    asked = 0
    while True:
        stream, _ = await loop.sock_accept(listening)
        with stream:
            await loop.sock_recv(stream, 65536)
            await loop.sock_sendall(stream, answers[min(asked, len(answers) - 1)])
        asked += 1


@pytest.fixture
async def http(server: socket.socket) -> AsyncIterator["Http"]:
    async with asyncio.TaskGroup() as group:
        fake = Http(server, group)
        yield fake
        if fake.task is not None:
            fake.task.cancel()


class Http:
    """An HTTP server that answers as it is told."""

    def __init__(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        self.host, self.port = listening.getsockname()
        self.task: asyncio.Task[int] | None = None
        self._listening = listening
        self._group = group

    def answer(self, *answers: bytes) -> None:
        self.task = self._group.create_task(answer(self._listening, *answers))

    def check(self, **fields: object) -> specs.Check:
        return specs.Check(probe=probes.Http(**fields), host=self.host, port=self.port)  # type: ignore[arg-type]


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"


async def test_a_socket_of_someone_else_does_not_make_ready(
    living: native.NativeNode, server: socket.socket
) -> None:
    port = server.getsockname()[1]
    check = specs.Check(probe=probes.Tcp(), host="127.0.0.1", port=port, is_own=True)
    await living.node.start([waiting("late", check, start_timeout_s=0.3)])
    failed = await living.until("late", "failed")
    assert "ready" not in living.states("late")
    assert f"(pid {os.getpid()}), not by it" in failed.reason
    assert f"end what holds 127.0.0.1:{port}" in failed.do


async def test_a_socket_of_what_a_service_daemonized_is_its_own(
    living: native.NativeNode, free_port: int
) -> None:
    code = f"""
import os, socket, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    listening = socket.create_server(("127.0.0.1", {free_port}))
    time.sleep(1000)
time.sleep(1000)
"""
    check = specs.Check(probe=probes.Tcp(), host="127.0.0.1", port=free_port, is_own=True)
    await living.node.start([native.spec("daemon", sys.executable, "-c", code, ready=(check,))])
    await living.until("daemon", "ready")


async def test_http_is_ready_at_the_first_wanted_status(
    living: native.NativeNode, http: Http
) -> None:
    http.answer(BUSY, BUSY, OK)
    await living.node.start([waiting("api", http.check(path="/healthz"))])
    await living.until("api", "ready")
    (told,) = [each for each in living.seen if isinstance(each, reports.ProbeReport)]
    assert (told.is_ok, told.probe) == (True, f"http {http.host}:{http.port}/healthz")
    assert told.tries >= 3


async def test_another_status_is_told_when_time_is_up(
    living: native.NativeNode, http: Http
) -> None:
    http.answer(BUSY)
    await living.node.start([waiting("api", http.check(), start_timeout_s=0.3)])
    failed = await living.until("api", "failed")
    assert "answered 503 Busy" in failed.reason


async def test_a_body_that_says_why_is_told_with_its_status(
    living: native.NativeNode, http: Http
) -> None:
    said = b"the pool is full"
    http.answer(b"HTTP/1.1 503 Busy\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said))
    await living.node.start([waiting("api", http.check(), start_timeout_s=0.3)])
    failed = await living.until("api", "failed")
    assert "answered 503 Busy: the pool is full" in failed.reason


@pytest.mark.parametrize(
    "body", [b"<html>no</html>", b"\x00\x01", b"\xff"], ids=["page", "binary", "not text"]
)
async def test_a_body_that_nobody_would_read_is_not_told(
    living: native.NativeNode, http: Http, body: bytes
) -> None:
    http.answer(BUSY.replace(b"length: 0\r\n\r\n", b"length: %d\r\n\r\n" % len(body)) + body)
    await living.node.start([waiting("api", http.check(), start_timeout_s=0.3)])
    failed = await living.until("api", "failed")
    assert "503 Busy:" not in failed.reason


@pytest.mark.parametrize(
    "body",
    [
        OK.replace(b"2\r\n\r\nok", b"7\r\n\r\nall ok!"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n3\r\n ok\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nall ok",
    ],
    ids=["length", "chunked", "until-closed"],
)
async def test_a_body_is_searched_however_it_is_sent(
    living: native.NativeNode, http: Http, body: bytes
) -> None:
    http.answer(body)
    await living.node.start([waiting("api", http.check(body_contains="all ok"))])
    await living.until("api", "ready")


async def test_a_body_without_the_wanted_text_does_not_count(
    living: native.NativeNode, http: Http
) -> None:
    http.answer(OK)
    check = http.check(body_contains="green")
    await living.node.start([waiting("api", check, start_timeout_s=0.3)])
    failed = await living.until("api", "failed")
    assert 'answered 200 without "green" in 2 bytes of body' in failed.reason


async def test_what_is_not_http_is_told(living: native.NativeNode, http: Http) -> None:
    http.answer(b"SSH-2.0-OpenSSH\r\n\r\n")
    await living.node.start([waiting("api", http.check(), start_timeout_s=0.3)])
    failed = await living.until("api", "failed")
    assert 'answered "SSH-2.0-OpenSSH", which is not HTTP' in failed.reason


async def test_as_many_successes_in_a_row_are_needed_as_said(
    living: native.NativeNode, http: Http
) -> None:
    http.answer(OK, BUSY, OK, OK, OK)
    timing = probes.Timing(success=3)
    await living.node.start([waiting("api", http.check(timing=timing))])
    await living.until("api", "ready")
    (told,) = [each for each in living.seen if isinstance(each, reports.ProbeReport)]
    assert told.tries >= 5


async def test_an_interval_is_kept_to(living: native.NativeNode, http: Http) -> None:
    http.answer(BUSY, BUSY, OK)
    begun = time.monotonic()
    timing = probes.Timing(interval_s=0.2)
    await living.node.start([waiting("api", http.check(timing=timing))])
    await living.until("api", "ready")
    assert 0.4 <= time.monotonic() - begun < 1.0


async def test_a_command_is_tried_until_it_exits_with_0(
    living: native.NativeNode, tmp_path: Path
) -> None:
    check = specs.Check(
        probe=probes.Exec(argv=("sh", "-c", f'test "$WHO" = me -a -e {tmp_path}/x'))
    )
    await living.node.start([waiting("api", check, env=(("WHO", "me"),))])
    await living.until("api", "starting")
    (tmp_path / "x").touch()
    await living.until("api", "ready")


async def test_the_last_line_of_a_failing_command_is_told(living: native.NativeNode) -> None:
    check = specs.Check(probe=probes.Exec(argv=("sh", "-c", "echo not yet >&2; exit 2")))
    await living.node.start([waiting("api", check, start_timeout_s=0.3)])
    failed = await living.until("api", "failed")
    assert "exited with 2: not yet" in failed.reason


async def test_a_command_that_hangs_is_killed_at_its_time_limit(
    living: native.NativeNode,
) -> None:
    timing = probes.Timing(timeout_s=0.1)
    check = specs.Check(probe=probes.Exec(argv=("sleep", "999"), timing=timing))
    await living.node.start([waiting("api", check, start_timeout_s=0.5)])
    failed = await living.until("api", "failed")
    assert "did not answer within 0.1 s" in failed.reason
    assert (await living.node.inspect("api")).pids == ()


async def test_a_line_of_output_makes_ready(living: native.NativeNode) -> None:
    check = specs.Check(probe=probes.Log(regex=r"ready on \d+"))
    script = "echo starting; sleep 0.1; echo 'ready on 80' >&2; sleep 1000"
    await living.node.start([native.spec("api", "sh", "-c", script, ready=(check,))])
    await living.until("api", "ready")


async def test_a_line_of_an_earlier_start_does_not_count(living: native.NativeNode) -> None:
    check = specs.Check(probe=probes.Log(regex="ready"))
    script = 'test "$FIRST" && echo ready; sleep 1000'
    spec = native.spec("api", "sh", "-c", script, ready=(check,), env=(("FIRST", "1"),))
    await living.node.start([spec])
    await living.until("api", "ready")
    await living.node.stop(["api"])
    again = native.spec("api", "sh", "-c", script, ready=(check,), start_timeout_s=0.3)
    await living.node.start([again])
    failed = await living.until("api", "failed")
    assert "no line matches yet" in failed.reason


async def test_a_file_that_comes_to_be_makes_ready(
    living: native.NativeNode, tmp_path: Path
) -> None:
    check = specs.Check(probe=probes.File(path=str(tmp_path / "up")))
    await living.node.start([waiting("api", check)])
    await living.until("api", "starting")
    (tmp_path / "up").touch()
    await living.until("api", "ready")


NOTIFIER = """
import os, socket, time
address = os.environ["NOTIFY_SOCKET"]
address = "\\0" + address[1:] if address.startswith("@") else address
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
    stream.sendto(b"STATUS=warming up", address)
    stream.sendto(b"READY=1\\nSTATUS=serving", address)
time.sleep(1000)
"""


@pytest.mark.parametrize("user", [None, "nobody"])
async def test_a_service_may_notify_that_it_is_ready(
    living: native.NativeNode, user: str | None
) -> None:
    if user and os.geteuid():
        pytest.skip("needs root to become another user")
    python = shutil.which("python3", path="/usr/bin:/bin") if user else sys.executable
    if python is None:
        pytest.skip("needs a Python that another user may run")
    check = specs.Check(probe=probes.Notify())
    await living.node.start(
        [native.spec("api", python, "-I", "-S", "-c", NOTIFIER, ready=(check,), user=user)]
    )
    assert (await living.until("api", "ready")).reason == "serving"


async def test_a_service_that_says_it_is_stopping_is_no_longer_ready(
    living: native.NativeNode, tmp_path: Path
) -> None:
    check = specs.Check(probe=probes.Notify())
    until = f"while not os.path.exists({str(tmp_path / 'stop')!r}): time.sleep(0.01)\n"
    said = 'stream.sendto(b"STOPPING=1\\nSTATUS=going down", address)\n'
    program = NOTIFIER.replace("time.sleep(1000)\n", "")
    program += f"{until}stream = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n{said}"
    program += "time.sleep(1000)\n"
    argv = (sys.executable, "-I", "-S", "-c", program)
    await living.node.start([native.spec("api", *argv, ready=(check,))])
    await living.until("api", "ready")
    (tmp_path / "stop").touch()
    assert (await living.until("api", "unready")).reason == "going down"


async def test_all_checks_must_hold(living: native.NativeNode, tmp_path: Path) -> None:
    checks = [specs.Check(probe=probes.File(path=str(tmp_path / name))) for name in "ab"]
    await living.node.start([waiting("api", *checks, start_timeout_s=0.3)])
    (tmp_path / "a").touch()
    failed = await living.until("api", "failed")
    assert f"file {tmp_path}/b" in failed.reason
    assert f"file {tmp_path}/a" not in failed.reason


async def test_a_ready_probe_that_fails_later_makes_unready_and_ready_again(
    living: native.NativeNode, tmp_path: Path
) -> None:
    timing = probes.Timing(interval_s=0.02, failures=2, success=2)
    flag = tmp_path / "up"
    flag.touch()
    check = specs.Check(probe=probes.File(path=str(flag), timing=timing))
    await living.node.start([waiting("api", check)])
    await living.until("api", "ready")
    flag.unlink()
    unready = await living.until("api", "unready")
    assert unready.reason == f"file {flag} does not exist"
    flag.touch()
    await living.until("api", "ready", times=2)
    assert living.states("api") == ["starting", "ready", "unready", "ready"]


async def test_a_service_no_longer_alive_is_restarted(
    living: native.NativeNode, tmp_path: Path
) -> None:
    timing = probes.Timing(interval_s=0.02, failures=2)
    flag = tmp_path / "alive"
    flag.touch()
    live = specs.Check(probe=probes.File(path=str(flag), timing=timing))
    policy = services.Restart(on="on-failure", backoff_s=0.01)
    await living.node.start([waiting("api", live=(live,), restart=policy)])
    first = await living.until("api", "ready")
    flag.unlink()
    told = await living.until("api", "restarting")
    assert told.reason.startswith(f"not alive: file {flag} does not exist 2 times")
    flag.touch()
    second = await living.until("api", "ready", times=2)
    assert second.pid != first.pid


async def test_a_debugged_service_has_all_the_time_it_wants(
    living: native.NativeNode, tmp_path: Path
) -> None:
    check = specs.Check(probe=probes.File(path=str(tmp_path / "up")))
    await living.node.start(
        [
            waiting("slow", check, start_timeout_s=0.1, is_debugged=True),
            waiting("other", check, start_timeout_s=0.3),
        ]
    )
    await living.until("other", "failed")
    assert living.states("slow") == ["starting"]


async def test_external_checks_are_tried_from_this_machine(
    living: native.NativeNode, server: socket.socket, free_port: int
) -> None:
    host, port = server.getsockname()
    seen = await living.node.probe(
        [
            specs.Check(probe=probes.Tcp(), host=host, port=port),
            specs.Check(probe=probes.Tcp(), host="127.0.0.1", port=free_port),
        ],
        0.3,
    )
    assert seen[0] == ""
    assert seen[1].startswith(f"tcp 127.0.0.1:{free_port} refused")


async def test_while_waiting_no_probe_is_told_of_more_than_once_a_second(
    living: native.NativeNode, free_port: int
) -> None:
    check = specs.Check(probe=probes.Tcp(), host="127.0.0.1", port=free_port)
    await living.node.start([waiting("api", check, start_timeout_s=2.5)])
    await living.until("api", "failed")
    told = [each for each in living.seen if isinstance(each, reports.ProbeReport)]
    assert 1 <= len(told) <= 2
    assert not any(each.is_ok for each in told)


async def test_a_node_with_nothing_due_does_not_wake_up(living: native.NativeNode) -> None:
    await living.node.start([native.spec(f"s{n}", "sleep", "1000") for n in range(10)])
    for n in range(10):
        await living.until(f"s{n}", "ready")

    def switches() -> int:
        status = Path(f"/proc/{living.pid}/status").read_text()
        return sum(int(row.split()[1]) for row in status.splitlines() if "ctxt_switches" in row)

    async def is_quiet() -> bool:
        before = switches()
        await asyncio.sleep(0.5)  # the time over which nothing may happen
        return switches() == before

    await eventually_async(is_quiet)
    assert await is_quiet()


async def test_a_chain_of_services_is_ready_soon_after_each_listens(
    living: native.NativeNode, free_port: int
) -> None:
    program = (
        "import socket, sys, time; s = socket.create_server(('127.0.9.1', int(sys.argv[1])));"
        "time.sleep(1000)"
    )
    check = specs.Check(probe=probes.Tcp(), host="127.0.9.1", port=free_port)
    await living.node.start(
        [
            native.spec(
                "api", sys.executable, "-I", "-S", "-c", program, str(free_port), ready=(check,)
            )
        ]
    )
    starting = await living.until("api", "starting")
    ready = await living.until("api", "ready")
    assert ready.time_ns - starting.time_ns < 500_000_000
