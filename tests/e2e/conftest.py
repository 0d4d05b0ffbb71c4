"""Whole stacks through the command line: the `stackdsl` program, run as a person runs it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("stackdsl")
TOP = Path(__file__).parents[2]


@dataclass
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return f"exit {self.code}\n{self.stdout}\n{self.stderr}"


@dataclass
class Cli:
    """Runs `stackdsl`; what was spawned and still lives is killed at the end of the test."""

    folder: Path
    spawned: list[subprocess.Popen[str]] = field(default_factory=list)

    def __call__(self, *arguments: object, code: int | None = 0, timeout_s: float = 60) -> Done:
        """Run a command to its end; ``code`` is the exit code it must have (None: any)."""
        ended = subprocess.run(
            [COMMAND, *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
        done = Done(ended.returncode, ended.stdout, ended.stderr)
        assert code is None or done.code == code, f"{arguments}: {done.text}"
        return done

    def json(self, *arguments: object) -> Any:
        """Run a command with --json and return what it printed."""
        return json.loads(self(*arguments, "--json").stdout)

    def spawn(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command that stays; output goes to pipes."""
        process = subprocess.Popen(
            [COMMAND, *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self.spawned.append(process)
        return process

    def services(self, *arguments: object) -> dict[str, Any]:
        """Return the services of `status --json` by name; nothing where there is no such run."""
        done = self("status", *arguments, "--json", code=None)
        rows = json.loads(done.stdout)["services"] if done.code == 0 and done.stdout else []
        return {row["name"]: row for row in rows}

    def states(self, *arguments: object) -> dict[str, str]:
        """Return each service's state by name."""
        return {name: row["state"] for name, row in self.services(*arguments).items()}


@pytest.fixture
def cli(tmp_path: Path, state_home: Path) -> Iterator[Cli]:
    """`stackdsl` in an empty folder; living runs are stopped at the end of the test."""
    cli = Cli(tmp_path)
    yield cli
    for process in cli.spawned:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    if (state_home / "stackdsl").exists() and os.listdir(state_home / "stackdsl"):
        cli("clean", "--all", code=None)


@pytest.fixture
def write_stack(tmp_path: Path) -> Callable[..., Path]:
    """Write a stack: the usual names are imported, PROGRAMS is the folder of the test programs."""

    def write(text: str, name: str = "shop.py") -> Path:
        file = tmp_path / name
        head = f"""
            import sys
            from stackdsl import *
            PY = sys.executable
            PROGRAMS = {str(Path(__file__).parent / "programs")!r}
        """
        file.write_text(textwrap.dedent(head).lstrip() + textwrap.dedent(text))
        return file

    return write
