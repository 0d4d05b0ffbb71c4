"""The stacks that come with stackdsl, run as a newcomer runs them."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually

TOP = Path(__file__).parents[2]
DEMO = TOP / "stacks" / "demo.py"
POSTGRES_REDIS = TOP / "stacks" / "postgres_redis.py"


def fetch(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, body, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def address_of(cli: Any, run: str, service: str) -> str:
    """Return "host:port" of a service's only port."""
    address: str
    (address,) = cli.services(run)[service]["addresses"].values()
    return address


def test_the_demo_gets_ready_and_stops_by_itself(cli: Any) -> None:
    done = cli("run", DEMO, "--until-ready")

    assert "gateway" in done.stdout + done.stderr


def test_the_demo_serves_its_page_and_its_painters_paint(cli: Any) -> None:
    cli("start", DEMO)
    try:
        gateway = address_of(cli, "demo", "gateway")

        assert b"painting factory" in fetch(f"http://{gateway}/")
        painted = eventually(
            lambda: json.loads(fetch(f"http://{gateway}/api/state"))["done"], within_s=10
        )
        assert set(painted) <= {"painter-0", "painter-1"}
    finally:
        cli("stop", "demo")


def test_two_copies_of_the_demo_live_side_by_side(cli: Any) -> None:
    cli("start", DEMO)
    cli("start", DEMO, "--copy", "two")
    try:
        first, second = address_of(cli, "demo", "store"), address_of(cli, "demo@two", "store")

        assert first != second
        assert first.endswith(":6420")
        assert second.endswith(":6420")
    finally:
        cli("stop", "demo@two")
        cli("stop", "demo")


@pytest.mark.programs("postgres", "psql", "redis-server", "nginx")
@pytest.mark.usefixtures("needs_programs")
def test_a_note_goes_through_nginx_into_postgresql(cli: Any) -> None:
    cli("start", POSTGRES_REDIS)
    try:
        front = address_of(cli, "postgres_redis", "front")

        fetch(f"http://{front}/notes", b"it's me")
        answer = json.loads(fetch(f"http://{front}/"))
        assert [note["text"] for note in answer["notes"]] == ["it's me"]
        assert answer["visits"] == 1
    finally:
        cli("stop", "postgres_redis")
