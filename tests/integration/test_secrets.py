"""Secrets stand in no file of the state folder, in no event, plan, status or printed output."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import stackdsl

AT_LOAD, IN_BODY = "pa55word-at-load", 'pa55"word-in-body'
STACK = """
from stackdsl import secret, service, task

@service(env={"LOADED": secret("LOADED_SECRET")})
def holder():
    return ["sh", "-c", f"exec sleep 1000 # {secret('BODY_SECRET')}"]

@service()
def talker():
    return ["sh", "-c", "echo $LOADED_SECRET; exec sleep 1000"]

@task()
def broken():
    return ["sh", "-c", "echo $LOADED_SECRET $BODY_SECRET >&2; sleep 0.2"]
"""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> stackdsl.Stack:
    monkeypatch.setenv("LOADED_SECRET", AT_LOAD)
    monkeypatch.setenv("BODY_SECRET", IN_BODY)
    (tmp_path / "quiet.py").write_text(STACK)
    return stackdsl.load(tmp_path / "quiet.py")


def found_in(folder: Path) -> list[str]:
    wanted = [AT_LOAD.encode(), IN_BODY.encode(), b'pa55\\"word-in-body']
    return [
        str(file)
        for file in folder.rglob("*")
        if file.is_file()
        and any(secret in file.read_bytes() for secret in wanted)
        # what a program writes is its own; it is masked when we print it
        and file.parent.name != "logs"
    ]


def test_secrets_are_stored_nowhere(stack: stackdsl.Stack, state_home: Path) -> None:
    with stack.up() as run:
        assert run.state == "ready"
        assert found_in(state_home) == []


def test_secrets_are_masked_in_events_status_and_logs(stack: stackdsl.Stack) -> None:
    with stack.up() as run:
        texts = [repr(asdict(run.status())), run["talker"].logs(), run["broken"].logs()]
        for event in run.events(0):
            texts.append(repr(asdict(event)))
            if event.kind == "run" and event.state == "ready":
                break
    assert not [text for text in texts if AT_LOAD in text or IN_BODY in text]
    assert "***" in texts[2]


def test_secrets_are_masked_in_the_printed_plan(stack: stackdsl.Stack) -> None:
    command = [sys.executable, "-m", "stackdsl", "plan", "--json", str(stack.file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "pa55" not in done.stdout + done.stderr
    assert "***" in done.stdout


def test_a_program_still_gets_the_secret_itself(stack: stackdsl.Stack) -> None:
    with stack.up() as run:
        assert run["holder"].exec(["sh", "-c", "echo $LOADED"]).stdout == f"{AT_LOAD}\n"


FAILING = """
from stackdsl import check, secret, service, task

hidden = secret("LOADED_SECRET")

@task(env={"HIDDEN": hidden})
def talker():
    return ["sh", "-c", "echo $HIDDEN; exit 3"]

@service(env={"HIDDEN": hidden}, ready=check(["sh", "-c", "echo $HIDDEN; exit 1"]), start_timeout=1)
def probed():
    return ["sleep", "1000"]

@service()
def missing():
    return [f"{hidden}-program"]

@service(port=1)
def raising(me):
    raise ValueError(f"cannot use {hidden}")
"""


@pytest.mark.parametrize("service", ["talker", "probed", "missing", "raising"])
def test_secrets_are_masked_in_what_is_said_of_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.setenv("LOADED_SECRET", AT_LOAD)
    (tmp_path / "failing.py").write_text(FAILING)
    stack = stackdsl.load(tmp_path / "failing.py").only(service)
    with pytest.raises(stackdsl.StackError) as caught, stack.up():
        pass
    assert "***" in caught.value.text()
    assert AT_LOAD not in caught.value.text() + repr(caught.value)
