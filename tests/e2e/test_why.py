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


BROKEN = """
@service(port=5432)
def db(): return ["sh", "-c", "echo the password is $WORD; exit 3"]

@service(port=8080, env={"WORD": secret("WORD", default="hush-hush")})
def api(db: Ref): return ["sleep", "1000"]

@service(env={"WORD": secret("WORD", default="hush-hush")})
def other(): return ["sh", "-c", "echo hush-hush; exec sleep 1000"]
""".replace("port=5432", 'port=5432, env={"WORD": secret("WORD", default="hush-hush")}')


def test_a_run_that_ended_still_says_why_it_failed(cli: Any, write_stack: Write) -> None:
    cli("run", write_stack(BROKEN), code=1)

    done = cli("why", "shop", "db", code=1)

    assert "run shop has ended; this is how it was then" in done.stderr
    assert "db has failed: exited with 3 before it was ready" in done.stdout
    assert "last line: the password is ***" in done.stdout
    assert "stackdsl logs shop db" in done.stdout
    told = cli("why", "shop", "api", "--json", code=1).stdout
    assert [one["subject"] for one in json.loads(told)[0]["causes"]] == ["api", "db"]
    assert json.loads(told)[0]["is_past"]
    assert "hush-hush" not in told + done.text


def test_without_a_service_every_root_is_named_once(cli: Any, write_stack: Write) -> None:
    cli("start", write_stack(BROKEN), code=1)

    done = cli("why", code=1)

    assert done.stdout.count("last line:") == 1
    assert done.stdout.startswith("api is waiting because db has failed: exited with 3")
    assert cli("why", "other").stdout.startswith("other is ready: ")
    assert cli("why", "shop", "other", "db", code=1).stdout.count("\n\n") == 1
    cli("stop", "shop")


def test_what_a_well_run_left_is_told_and_names_that_it_lacks_too(
    cli: Any, write_stack: Write
) -> None:
    file = write_stack("@service()\ndef other(): return ['sh', '-c', 'echo hi; exec sleep 1000']\n")
    cli("start", file)
    assert "everything in shop is well" in cli("why").stderr
    near = cli("why", "othr", code=2).stderr
    cli("stop", "shop")

    assert "near: other" in near
    assert "last lines:\n  | hi" in cli("why", "shop", "other").stdout
    assert "near: other" in cli("why", "shop", "othr", code=2).stderr
    assert "was well when it ended" in cli("why", "shop").stderr
