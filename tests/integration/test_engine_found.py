"""The engine of the machine: found, connected to, and what is wrong with it said."""

import asyncio
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackdsl.model import errors
from stackdsl.node import endpoints, engines
from tests import engines as tests_engines


def write_context(folder: Path, name: str, host: str) -> None:
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    text = json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}})
    (meta / "meta.json").write_text(text)


async def refused(environment: dict[str, str]) -> errors.StackError:
    with pytest.raises(errors.HostError) as caught:
        await engines.connect(environment)
    return caught.value


class Fake:
    """Answers /version as an engine of another age does, and every request with the same status."""

    def __init__(self, path: Path) -> None:
        self.version: dict[str, str] = {}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            with stream:
                if stream.recv(65536):
                    body = json.dumps(self.version).encode()
                    stream.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                    stream.sendall(body)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def fake(state_home: Path) -> Iterator[Fake]:
    made = Fake(state_home / "fake.sock")
    yield made
    made.close()


def test_docker_host_goes_before_everything(tmp_path: Path) -> None:
    write_context(tmp_path, "other", "unix:///other.sock")
    found = endpoints.find(
        {
            "DOCKER_HOST": "unix:///mine.sock",
            "DOCKER_CONTEXT": "other",
            "DOCKER_CONFIG": str(tmp_path),
        }
    )
    assert (found.url, found.source) == ("unix:///mine.sock", "$DOCKER_HOST")


def test_the_current_context_is_that_of_the_configuration(tmp_path: Path) -> None:
    write_context(tmp_path, "rootless", "unix:///run/user/7/docker.sock")
    (tmp_path / "config.json").write_text('{"currentContext": "rootless"}')
    found = endpoints.find({"DOCKER_CONFIG": str(tmp_path)})
    assert found.url == "unix:///run/user/7/docker.sock"
    assert 'context "rootless"' in found.source


def test_the_context_of_the_environment_goes_before_the_configured_one(tmp_path: Path) -> None:
    home = tmp_path / ".docker"
    write_context(home, "a", "unix:///a.sock")
    write_context(home, "b", "unix:///b.sock")
    (home / "config.json").write_text('{"currentContext": "a"}')
    assert endpoints.find({"HOME": str(tmp_path), "DOCKER_CONTEXT": "b"}).url == "unix:///b.sock"


def test_the_default_context_is_the_usual_socket(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "default"}')
    found = endpoints.find({"DOCKER_CONFIG": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)})
    assert found.url == "unix:///var/run/docker.sock"


def test_a_rootless_engine_serves_where_there_is_no_other(tmp_path: Path) -> None:
    (tmp_path / "docker.sock").touch()
    found = endpoints.find({"DOCKER_CONFIG": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)})
    assert found.path in (f"{tmp_path}/docker.sock", endpoints.USUAL_SOCKET)


async def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = await refused({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "gone"})
    assert (error.code, '"gone"' in error.what) == ("host.no-engine", True)


async def test_no_engine_is_told_with_the_place_where_it_was_looked_for() -> None:
    error = await refused({"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert error.code == "host.no-engine"
    assert '"unix:///nowhere/docker.sock"' in error.what
    assert "$DOCKER_HOST" in error.why


async def test_an_engine_that_was_stopped_is_told_from_one_that_is_not_there(
    state_home: Path,
) -> None:
    path = state_home / "stopped.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    error = await refused({"DOCKER_HOST": f"unix://{path}"})
    assert (error.code, "nobody listens" in error.what) == ("host.engine-down", True)


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2375", "ssh://me@there"])
async def test_an_engine_elsewhere_is_refused_with_the_right_place_to_say_so(host: str) -> None:
    error = await refused({"DOCKER_HOST": host})
    assert error.code == "host.engine-far"
    assert "on=ssh(" in error.do


async def test_an_engine_of_before_is_too_old(fake: Fake, state_home: Path) -> None:
    fake.version = {"Version": "19.03.1", "ApiVersion": "1.40", "MinAPIVersion": "1.12"}
    error = await refused({"DOCKER_HOST": f"unix://{state_home}/fake.sock"})
    assert (error.code, "19.03.1" in error.why) == ("host.engine-old", True)


async def test_an_engine_that_speaks_nothing_we_know_is_too_new(
    fake: Fake, state_home: Path
) -> None:
    fake.version = {"Version": "99.0", "ApiVersion": "9.9", "MinAPIVersion": "9.0"}
    error = await refused({"DOCKER_HOST": f"unix://{state_home}/fake.sock"})
    assert (error.code, "pip install" in error.do) == ("host.engine-new", True)


async def test_an_engine_answers_and_tells_its_version(engine: tests_engines.Engine) -> None:
    found = await engines.connect(os.environ)
    try:
        assert found.seen.endpoint == engine.url
        assert found.seen.api == engine.api.version()["ApiVersion"]
        assert found.seen.is_direct
    finally:
        found.close()


async def test_a_refusal_of_the_engine_keeps_its_status_and_words(
    engine: tests_engines.Engine,
) -> None:
    found = await engines.connect(os.environ)
    try:
        with pytest.raises(engines.Refused) as caught:
            await found.call(found.api.inspect_container, "no-such-one")
        assert caught.value.status == 404
        assert "no-such-one" in caught.value.explanation
    finally:
        found.close()


async def test_many_calls_wait_side_by_side(engine: tests_engines.Engine) -> None:
    """More than asyncio's own threads, all at once."""
    found = await engines.connect(os.environ)
    barrier = threading.Barrier(20)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(found.call(barrier.wait, 20.0))
    finally:
        found.close()


async def test_an_engine_that_dies_is_reached_no_longer_and_again_when_it_is_back() -> None:
    with tests_engines.running() as own:
        found = await engines.connect({"DOCKER_HOST": own.url})
        try:
            await found.call(found.api.ping)
            await asyncio.to_thread(own.kill)
            with pytest.raises(engines.Unreached):
                await found.call(found.api.ping)
            await asyncio.to_thread(own.start)
            assert await found.call(found.api.ping)
        finally:
            found.close()


@pytest.mark.parametrize("text", ['{"auths": {"shop": "none"}}', "[]", '{"proxies": 3}'])
async def test_settings_of_the_docker_command_that_are_none_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "config.json").write_text(text)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    error = await refused({"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})

    assert "settings cannot be read" in error.what
    assert f"{tmp_path}/config.json" in error.why
