"""What a machine lacks for a stack is told before anything starts, and nothing else is."""

from pathlib import Path

import pytest

import stackdsl
from stackdsl.model import errors


def load(folder: Path, text: str) -> stackdsl.Stack:
    (folder / "lacking.py").write_text("from stackdsl import *\n" + text)
    return stackdsl.load(folder / "lacking.py")


def test_every_missing_program_folder_and_user_is_told_at_once(tmp_path: Path) -> None:
    stack = load(
        tmp_path,
        "@service()\ndef first(): return ['touch', 'mark']\n"
        "@service()\ndef a(): return ['no-such-program']\n"
        "@service()\ndef b(): return ['no-such-program']\n"
        "@service(env={'PATH': '/nowhere'})\ndef c(): return ['sleep', '1']\n"
        "@service(cwd='nowhere')\ndef d(): return ['sleep', '1']\n"
        "@service(user='no-such-user')\ndef e(): return ['sleep', '1']\n"
        "@service(hooks={'after_ready': 'no-such-hook'})\ndef f(): return ['sleep', '1']\n"
        "@service(ready=check('no-such-check'))\ndef g(): return ['sleep', '1']\n",
    )
    with pytest.raises(stackdsl.StackError) as caught, stack.up():
        pass
    told = {(one.code, one.what.partition('"')[2][0]) for one in errors.flatten(caught.value)}
    assert told == {
        ("host.no-program", "a"), ("host.no-program", "b"), ("host.no-program", "c"),
        ("host.no-folder", "d"), ("host.no-user", "e"),
        ("host.no-program", "f"), ("host.no-program", "g"),
    }  # fmt: skip
    assert all("lacking.py:" in one.where for one in errors.flatten(caught.value))
    assert not (tmp_path / "mark").exists()


def test_what_a_task_makes_is_not_missing_before_it(tmp_path: Path) -> None:
    stack = load(
        tmp_path,
        "@task()\n"
        "def build(): return ['sh', '-c', 'mkdir made; cp /bin/sleep made/app']\n"
        "@service(needs=[build])\ndef app(): return ['made/app', '1000']\n"
        "@service(needs=['app'], cwd='made')\ndef below(): return ['./app', '1000']\n"
        "@service()\ndef own(me): return Command(['sleep', '1000'], cwd=me.dir)\n",
    )
    with stack.up() as run:
        assert run.state == "ready"
