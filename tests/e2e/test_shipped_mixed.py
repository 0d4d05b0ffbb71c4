"""stacks/mixed.py as a newcomer runs it: real Redis and nginx as containers, a process between."""

import contextlib
import http.client
import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.waiting import eventually

STACKS = Path(__file__).parents[2] / "stacks"


@pytest.fixture
def mixed(
    engine: engines.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A copy of the stack, with images made here."""
    engines.make_program_image(engine, "redis:local", "/usr/bin/redis-server")
    folders = ("var/log/nginx", "var/lib/nginx/body")
    engines.make_program_image(engine, "nginx:local", "/usr/sbin/nginx", *folders)
    monkeypatch.setenv("REDIS_IMAGE", "redis:local")
    monkeypatch.setenv("NGINX_IMAGE", "nginx:local")
    shutil.copy(STACKS / "mixed.py", tmp_path)
    shutil.copytree(STACKS / "mixed_app", tmp_path / "mixed_app")
    yield tmp_path / "mixed.py"
    engine.remove_left()


def visit() -> str:
    """Ask at the door that the stack publishes for people."""
    with urllib.request.urlopen("http://127.0.0.1:8080/", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def is_welcome() -> bool:
    """Whether the new code answers; between the two there may be nobody."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return visit().startswith("welcome")
    return False


def test_a_container_calls_a_process_which_calls_a_container(mixed: Path, cli: Any) -> None:
    cli("start", mixed)
    try:
        assert visit() == "hello, visitor 1\n"
        links = json.loads(cli("status", "mixed", "--json").stdout)["links"]
        assert {(link["from"], link["to"]): link["kind"] for link in links} == {
            ("api", "redis"): "loopback",
            ("front", "api"): "bridge",
        }
    finally:
        cli("stop", "mixed")


def test_an_edit_of_the_process_serves_while_the_containers_stay(mixed: Path, cli: Any) -> None:
    cli("start", mixed)
    try:
        before = cli.services("mixed")
        program = mixed.parent / "mixed_app" / "api.py"
        program.write_text(program.read_text().replace('"hello"', '"welcome"'))

        eventually(is_welcome)

        after = cli.services("mixed")
        for name in ("redis", "front"):
            assert after[name]["container"] == before[name]["container"]
            assert after[name]["restarts"] == 0
    finally:
        cli("stop", "mixed")


def test_what_was_counted_outlives_the_run_in_its_volume(mixed: Path, cli: Any) -> None:
    for number in (1, 2):
        cli("start", mixed)
        try:
            assert visit() == f"hello, visitor {number}\n"
        finally:
            cli("stop", "mixed")
