"""Runs held from Python: plain code, asyncio, trio; what is left when it goes wrong."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import pytest
import trio

import stackdsl
from tests.waiting import eventually

WEB = """
    import sys
    from stackdsl import Me, Ref, http, service, task

    @service(port=8080, ready=http("/"))
    def web(me: Me):
        return [sys.executable, "-m", "http.server", "--bind", me.bind, str(me.port)]

    @task()
    def greet(web: Ref):
        return f"echo hello {web.addr}"

    @service()
    def tail(greet: Ref):
        return ["sh", "-c", f"echo got '{greet.output}'; exec sleep 1000"]

    @service(replicas=2)
    def load(web: Ref, me: Me):
        return ["sh", "-c", f"echo i am {me.index}; exec sleep 1000"]
"""


@pytest.fixture
def web(tmp_path: Path) -> stackdsl.Stack:
    return stackdsl.load(write(tmp_path, WEB))


def write(folder: Path, text: str, name: str = "web.py") -> Path:
    file = folder / name
    file.write_text(textwrap.dedent(text))
    return file


def test_a_with_block_yields_a_ready_run_and_gives_it_all_back(web: stackdsl.Stack) -> None:
    with web.up() as run:
        assert run.state == "ready"
        assert urllib.request.urlopen(run["web"].url).status == 200
        pid = run["web"].pid
        assert pid is not None
        assert run["load"][1].state == "ready"
        assert len(run["load"]) == 2
    assert not os.path.exists(f"/proc/{pid}")


def test_a_tasks_output_reaches_the_body_that_takes_it(web: stackdsl.Stack) -> None:
    with web.up() as run:
        assert run["greet"].output == f"hello {run['web'].addr}"
        eventually(lambda: f"got hello {run['web'].addr}" in run["tail"].logs(), within_s=5)


def test_a_service_is_stopped_started_and_restarted_alone(web: stackdsl.Stack) -> None:
    with web.up() as run:
        others = run["tail"].pid
        run["web"].stop()
        assert (run["web"].state, run.state) == ("stopped", "degraded")
        run["web"].start()
        first = run["web"].pid
        assert run["web"].state == "ready"
        run["web"].restart()
        assert run["web"].pid not in (None, first)
        assert run["tail"].pid == others
        assert run.state == "ready"


def test_a_command_runs_in_a_services_surroundings(web: stackdsl.Stack) -> None:
    with web.up() as run:
        done = run["load"][1].exec(
            ["sh", "-c", "echo $STACKDSL_SERVICE $STACKDSL_INDEX $WEB_ADDR; exit 3"]
        )
        assert done.exit_code == 3
        assert done.stdout == f"load 1 {run['web'].addr}\n"


def test_a_task_is_done_again_when_told(web: stackdsl.Stack) -> None:
    with web.up() as run:
        assert run.do("greet").state == "completed"
        assert run["greet"].logs().count("hello") == 2


def test_events_come_in_order_from_the_first(web: stackdsl.Stack) -> None:
    with web.up() as run:
        seen = []
        for event in run.events(0):
            seen.append(event)
            if event.kind == "run" and event.state == "ready":
                break
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
        states = [e.state for e in seen if e.kind == "service-changed" and e.subject == "web"]
        assert states == ["starting", "ready"]


def test_events_with_logs_carry_the_lines(web: stackdsl.Stack) -> None:
    with web.up() as run:
        for event in run.events(0, logs=True):
            if event.kind == "log" and event.subject == "load-1":
                assert dict(event.details)["lines"] == ("i am 1",)
                break


def test_waiting_for_a_state_that_does_not_come_says_what_is(web: stackdsl.Stack) -> None:
    with web.up() as run, pytest.raises(stackdsl.StackError) as caught:
        run["web"].wait("completed", timeout=0.1)
    assert caught.value.code == "run.wait-timeout"
    assert "web is ready" in caught.value.why


def test_an_unknown_service_is_told_with_the_near_ones(web: stackdsl.Stack) -> None:
    with web.up() as run, pytest.raises(stackdsl.StackError) as caught:
        run["wbe"]
    assert "web" in caught.value.why


def test_a_run_can_be_attached_to_from_elsewhere(web: stackdsl.Stack) -> None:
    with web.up() as run:
        other = stackdsl.attach("web")
        assert other["web"].pid == run["web"].pid
        other["tail"].stop()
        assert run["tail"].state == "stopped"


def test_two_copies_run_side_by_side_on_canonical_ports(web: stackdsl.Stack) -> None:
    with web.up(copy="a") as one, web.up(copy="b") as two:
        assert one["web"].port == two["web"].port == 8080
        assert one["web"].host != two["web"].host


def test_a_second_run_of_one_name_is_refused(web: stackdsl.Stack) -> None:
    with web.up() as run:
        with pytest.raises(stackdsl.StackError) as caught, web.up():
            pass
        assert caught.value.code == "usage.run-lives"
        assert run.state == "ready"


def test_a_failing_service_raises_with_its_last_lines_and_leaves_nothing(tmp_path: Path) -> None:
    stack = stackdsl.load(
        write(
            tmp_path,
            """
            from stackdsl import service
            @service()
            def fine(): return "sleep 1000"
            @service(port=9999, start_timeout=20)
            def broken(): return ["sh", "-c", "echo it broke >&2; exit 7"]
            """,
        )
    )
    with pytest.raises(stackdsl.StackError) as caught, stack.up():
        pass
    assert "exit" in str(caught.value)
    assert "it broke" in caught.value.lines
    assert "web.py:5" in caught.value.where


def test_a_missing_program_is_told_before_anything_starts(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    stack = stackdsl.load(
        write(
            tmp_path,
            f"""
            from stackdsl import service
            @service()
            def first(): return ["touch", {str(mark)!r}]
            @service()
            def second(): return ["no-such-program-anywhere"]
            """,
        )
    )
    with pytest.raises(stackdsl.StackError) as caught, stack.up():
        pass
    assert caught.value.code == "host.no-program"
    assert not mark.exists()


async def test_async_with_works_in_asyncio(web: stackdsl.Stack) -> None:
    async with web.up() as run:
        assert run.state == "ready"
        await run["web"].restart()
        assert (await run["web"].wait()).state == "ready"
        assert (await run["tail"].exec(["echo", "hi"])).stdout == "hi\n"


def test_a_service_is_asked_why_it_is_as_it_is(web: stackdsl.Stack) -> None:
    with web.up() as run:
        assert run["web"].why().headline.startswith("web is ready: it has been ready for")
        assert "it serves greet at 127." in str(run["web"].why())
        assert run.why() == ()

        run["load"][1].stop()

        assert run["load"].why().name == "load-1"
        assert run["load"][0].why().is_well
        (found,) = run.why()
        assert (found.root.subject, found.root.state) == ("load-1", "stopped")


async def test_a_service_is_asked_why_from_a_loop(web: stackdsl.Stack) -> None:
    async with web.up() as run:
        os.kill(run["tail"].pid or 0, signal.SIGKILL)
        await run["tail"].wait("failed")

        found = await run["tail"].why()

        assert found.headline == "tail has failed: was killed by SIGKILL"
        assert await run.why() == (found,)


async def test_a_started_run_lives_until_it_is_stopped(web: stackdsl.Stack) -> None:
    run = await web.start()
    pid = run["web"].pid
    assert os.path.exists(f"/proc/{pid}")
    await run.stop()
    await asyncio.sleep(0)
    assert not os.path.exists(f"/proc/{pid}")


def test_async_with_works_in_trio(web: stackdsl.Stack) -> None:
    async def main() -> None:
        async with web.up() as run:
            assert run.state == "ready"
            await run["web"].restart()
            async for event in run.events(0):
                if event.state == "ready" and event.subject == "web":
                    break
            with trio.move_on_after(0.05) as scope:
                await run["web"].wait("failed", timeout=30)
            assert scope.cancelled_caught

    trio.run(main)


def test_the_death_of_the_owner_ends_everything(web: stackdsl.Stack, tmp_path: Path) -> None:
    script = write(
        tmp_path,
        f"""
        import sys, time, stackdsl
        stack = stackdsl.load({str(tmp_path / "web.py")!r})
        with stack.up() as run:
            print(run["web"].pid, run["tail"].pid, flush=True)
            time.sleep(60)
        """,
        "owner.py",
    )
    owner = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pids = owner.stdout.readline().split()
    assert len(pids) == 2
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), within_s=5)


def test_services_outlive_the_death_of_their_node_and_are_taken_back(web: stackdsl.Stack) -> None:
    with web.up() as run:
        pid = run["web"].pid
        node = node_of(run.folder)
        os.kill(node, signal.SIGKILL)
        eventually(lambda: node_of(run.folder) not in (0, node), within_s=10)
        eventually(lambda: run.state == "ready", within_s=10)
        assert run["web"].pid == pid
        assert urllib.request.urlopen(run["web"].url).status == 200
        run["web"].restart()
        assert run["web"].pid != pid


def node_of(folder: str) -> int:
    from stackdsl.registry import store

    root = str(Path(folder).parent.parent)
    books = store.Store(root)
    try:
        record = books.record(Path(folder).name)
        return record.node.pid if record is not None and record.node.is_alive else 0
    finally:
        books.close()
