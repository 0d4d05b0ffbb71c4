"""`why` finds the root of planted faults, with the words that one needs; scored over the bank."""

import concurrent.futures
import json
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import faults
from tests.engines import Engine
from tests.waiting import eventually

Write = Callable[..., Path]
AT_ONCE = 3
FOUND_WITHIN_S = 30.0


def plant(cli: Any, folder: Path, fault: faults.Fault, engine: Any = None) -> str:
    """Run a fault's stack, ask why, stop it; return what was wrong with the answer, "" if nothing
    was."""
    run = re.sub(r"[^a-z]+", "-", fault.name.lower())
    file = folder / f"{run}.py"
    file.write_text(textwrap.dedent(faults.HEAD) + fault.stack)
    starting = cli.spawn("start", file)
    try:
        if fault.act is not None:
            starting.communicate(timeout=60)
            fault.act(cli, run, engine)
        eventually(lambda: _judge(cli, run, fault), within_s=FOUND_WITHIN_S)
    except AssertionError as error:
        return f"{fault.name}: {error}\n{cli('why', run, fault.ask, code=None).text}"
    finally:
        if engine is not None and engine.process is None and engine.folder is not None:
            engine.start()
        cli("stop", run, "--now", code=None)
        starting.communicate(timeout=60)
    return ""


def _judge(cli: Any, run: str, fault: faults.Fault) -> bool:
    """Say what is wrong with an answer, by an AssertionError."""
    done = cli("why", "--json", "--stack", run, fault.ask, code=None)
    assert done.stdout, done.text
    (told,) = json.loads(done.stdout)
    root, chain = told["causes"][-1], tuple(one["subject"] for one in told["causes"])
    assert fault.root in (root["subject"], "*"), f"root {root['subject']}, not {fault.root}"
    assert root["kind"] == fault.kind
    assert chain[0] == fault.ask
    assert fault.chain in ((), chain), chain
    assert done.code == fault.exit_code, f"exit {done.code}, not {fault.exit_code}"
    assert root["do"], "nothing to do is named"
    text = cli("why", run, fault.ask, code=None).stdout
    missing = [word for word in fault.words if word not in text]
    assert not missing, f"says nothing of {missing}"
    return True


def score(wrong: Sequence[str], planted: Sequence[faults.Fault]) -> None:
    """Print how many were found, and demand all."""
    failures = [one for one in wrong if one]
    print(
        f"\nwhy: {len(planted) - len(failures)} of {len(planted)} planted faults traced to the root"
    )
    assert not failures, "\n\n".join(failures)


@pytest.mark.timeout(600)
def test_every_planted_fault_of_processes_is_traced_to_its_root(cli: Any, tmp_path: Path) -> None:
    assert len(faults.NATIVE) >= 20
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
        wrong = list(threads.map(lambda one: plant(cli, tmp_path, one), faults.NATIVE))

    score(wrong, faults.NATIVE)


@pytest.mark.timeout(600)
def test_every_planted_fault_of_containers_is_traced_to_its_root(
    cli: Any, tmp_path: Path, engine: Engine
) -> None:
    for name, steps in (
        ("broken", "RUN echo no compiler; exit 3"),
        ("slow", "RUN sleep 20"),
    ):
        context = tmp_path / name
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM busybox:local\n{steps}\n")

    wrong = [plant(cli, tmp_path, one, engine) for one in faults.CONTAINERS]

    score(wrong, faults.CONTAINERS)
