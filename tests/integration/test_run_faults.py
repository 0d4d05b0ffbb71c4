"""Runs when things go wrong: interrupts, cancellations, dead and hung nodes, dead controllers."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

import stackdsl
from stackdsl import ports
from stackdsl.model import facts, plans, stacks
from stackdsl.registry import owners, places, store
from stackdsl.session import bridging, releasing
from tests.waiting import eventually

TWO = """
    from stackdsl import service

    @service()
    def one(): return "sleep 1000"

    @service()
    def two(): return "sleep 1000"
"""
STUBBORN = """
    from stackdsl import service

    @service(stop_timeout=60)
    def one(): return ["sh", "-c", "trap '' TERM; echo here; while :; do sleep 0.2; done"]

    @service(stop_timeout=60)
    def two(): return ["sh", "-c", "trap '' TERM; echo here; while :; do sleep 0.2; done"]
"""


def write(folder: Path, text: str, name: str = "shop.py") -> Path:
    file = folder / name
    file.write_text(textwrap.dedent(text))
    return file


def load(folder: Path, text: str) -> stackdsl.Stack:
    return stackdsl.load(write(folder, text))


def is_alive(pid: int | None) -> bool:
    return owners.start_time(pid or 0) != 0


def record_of(run: str) -> store.Record | None:
    books = store.Store(places.state_root())
    try:
        return books.record(run)
    finally:
        books.close()


def node_of(run: str) -> int:
    record = record_of(run)
    return record.node.pid if record is not None and record.node.is_alive else 0


def start_and_lose_controller(file: Path) -> dict[str, int]:
    """Start a stack in the background and kill its controller; return the pids of its services."""
    subprocess.run([sys.executable, "-m", "stackdsl", "start", str(file)], check=True)
    run = stackdsl.attach(file.stem)
    pids = {name: run[name].pid or 0 for name in run}
    record = record_of(file.stem)
    assert record is not None
    os.kill(record.controller.pid, signal.SIGKILL)
    eventually(lambda: not record.has_controller)
    return pids


def stop(run: str) -> None:
    subprocess.run([sys.executable, "-m", "stackdsl", "stop", run], check=True, timeout=30)


# --- interrupted and cancelled -------------------------------------------------------------------


def test_a_second_interrupt_ends_at_once_what_the_first_one_stops(tmp_path: Path) -> None:
    file = write(tmp_path, STUBBORN)
    script = write(
        tmp_path,
        f"""
        import time, stackdsl
        try:
            with stackdsl.load({str(file)!r}).up() as run:
                while "here" not in run["one"].logs(): time.sleep(0.01)
                print(run["one"].pid, flush=True)
                time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            time.sleep(60)
        """,
        "owner.py",
    )
    owner = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    try:
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGINT)
        eventually(lambda: getattr(record_of("shop"), "state", "") == "stopping")
        owner.send_signal(signal.SIGINT)
        assert owner.stdout.readline() == "interrupted\n"
        assert not is_alive(pid)
        assert record_of("shop") is None
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()


async def test_giving_up_to_wait_for_a_stop_does_not_end_the_stop(tmp_path: Path) -> None:
    run = await load(tmp_path, TWO).start()
    pid = run["one"].pid
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run.stop(), 0.0001)
    await run.stop()
    assert not is_alive(pid)
    assert record_of("shop") is None


async def test_a_start_that_is_cancelled_has_given_everything_back(tmp_path: Path) -> None:
    stack = load(tmp_path, TWO.replace("service()", "service(port=9, start_timeout=60)", 1))

    async def up() -> None:
        async with stack.up():
            raise AssertionError("it cannot become ready")

    starting = asyncio.create_task(up())
    await asyncio.to_thread(eventually, lambda: node_of("shop"))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert record_of("shop") is None


def test_a_block_that_trio_cancels_gives_everything_back(tmp_path: Path) -> None:
    stack = load(tmp_path, TWO)
    pids = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with stack.up() as run:
                pids.append(run["one"].pid)
                scope.cancel()
                await trio.sleep_forever()

    trio.run(main)
    assert not is_alive(pids[0])
    assert record_of("shop") is None


# --- the node ------------------------------------------------------------------------------------


def test_a_node_that_dies_again_and_again_fails_the_run_and_nothing_is_left(tmp_path: Path) -> None:
    with load(tmp_path, TWO).up() as run:
        pids = [run["one"].pid, run["two"].pid]
        killed: set[int] = set()

        def kill_next() -> bool:
            node = node_of("shop")
            if node and node not in killed:
                killed.add(node)
                os.kill(node, signal.SIGKILL)
            return not any(map(is_alive, pids))

        eventually(kill_next, within_s=20)
    assert len(killed) == 5
    assert record_of("shop") is None


def test_a_node_that_dies_while_it_stops_leaves_nothing_and_is_no_error(tmp_path: Path) -> None:
    with load(tmp_path, STUBBORN).up() as run:
        pids = [run["one"].pid, run["two"].pid]
        eventually(lambda: "here" in run["one"].logs() and "here" in run["two"].logs())
        stopping = bridging.background_loop()
        future = asyncio.run_coroutine_threadsafe(
            run._held.control.stop_run(at_once=False), stopping
        )
        eventually(lambda: run.state == "stopping")
        os.kill(node_of("shop"), signal.SIGKILL)
        future.result(20)
    assert not any(map(is_alive, pids))


def test_a_node_that_hangs_is_ended_by_a_stop_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "HURRY_TIMEOUT_S", 0.2)
    with load(tmp_path, TWO).up() as run:
        pid, node = run["one"].pid, node_of("shop")
        os.kill(node, signal.SIGSTOP)
        bridging.call(run._held.control.stop_run(at_once=True))
        assert not is_alive(pid)
    assert not is_alive(node)
    assert record_of("shop") is None


def test_a_node_that_dies_before_anything_was_started_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stackdsl.session import preparing

    look = preparing.look

    async def kill_and_look(
        nodes: Mapping[str, ports.Node],
        books: store.Store,
        run: str,
        stack: stacks.StackModel,
        previous: plans.Plan | None,
    ) -> facts.Facts:
        os.kill(node_of(run), signal.SIGKILL)
        return await look(nodes, books, run, stack, previous)

    monkeypatch.setattr(preparing, "look", kill_and_look)
    with pytest.raises(stackdsl.StackError) as caught, load(tmp_path, TWO).up():
        pass
    assert caught.value.code == "host.connection-lost"
    assert record_of("shop") is None


# --- the controller ------------------------------------------------------------------------------


def test_what_was_adopted_is_not_taken_by_a_run_that_would_end_it(tmp_path: Path) -> None:
    file = write(tmp_path, TWO)
    pids = start_and_lose_controller(file)
    try:
        with pytest.raises(stackdsl.StackError) as caught, stackdsl.load(file).up():
            pass
        assert caught.value.code == "usage.run-lives"
        assert all(map(is_alive, pids.values()))
    finally:
        stop("shop")


def test_within_its_grace_a_run_is_taken_back_by_the_next_start(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        TWO + '\n    from stackdsl import Stack\n    Stack("shop", on_crash="grace 60s")\n',
    )
    pids = start_and_lose_controller(file)
    try:
        subprocess.run([sys.executable, "-m", "stackdsl", "start", str(file)], check=True)
        run = stackdsl.attach("shop")
        assert {name: run[name].pid for name in run} == pids
    finally:
        stop("shop")


def test_a_stop_within_its_grace_ends_what_would_start_again(tmp_path: Path) -> None:
    text = TWO.replace("service()", 'service(restart="always")')
    file = write(
        tmp_path,
        text + '\n    from stackdsl import Stack\n    Stack("shop", on_crash="grace 60s")\n',
    )
    pids = start_and_lose_controller(file)
    node = node_of("shop")
    stop("shop")
    assert not any(map(is_alive, [node, *pids.values()]))


def test_a_run_waits_for_the_end_of_the_one_before_whose_owner_was_killed(tmp_path: Path) -> None:
    file = write(tmp_path, STUBBORN)
    script = write(
        tmp_path,
        f"""
        import time, stackdsl
        with stackdsl.load({str(file)!r}).up() as run:
            while "here" not in run["one"].logs() + run["two"].logs(): time.sleep(0.01)
            print(run["one"].pid, flush=True)
            time.sleep(60)
        """,
        "owner.py",
    )
    owner = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    first = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert is_alive(first)
    write(tmp_path, TWO)
    with stackdsl.load(file).up() as run:
        assert not is_alive(first)
        assert run.state == "ready"
