"""The Docker engine of one run: connected to when first needed, told of in the run's folder.

Laws: the folder says where the engine is before anything is made there, so that whoever finds a
dead run knows whether it has to look into an engine at all.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping

from stackdsl.node import endpoints, engines

NOTE = "engine"
RUN = "stackdsl.run"
NAME = "stackdsl.name"
SERVICE = "stackdsl.service"
FOLDER = "stackdsl.folder"
VOLUME = "stackdsl.volume"
CONFIG = "stackdsl.config"


class EngineKeeper:
    """The engine that a run's environment names. Nothing is imported before `get`."""

    def __init__(self, environment: Mapping[str, str], folder: str) -> None:
        self._environment = environment
        self._folder = folder
        self._engine: engines.Engine | None = None
        self._connecting = asyncio.Lock()

    @property
    def known(self) -> engines.Engine | None:
        """The engine, if the run has come to need it."""
        return self._engine

    async def get(self) -> engines.Engine:
        """Return the engine, connected.

        Raises:
            HostError: see `engines.Engine.open`.
        """
        if self._engine is not None:
            return self._engine
        async with self._connecting:
            if self._engine is None:
                engine = await engines.connect(self._environment)
                write_note(self._folder, engine.endpoint)
                self._engine = engine
        return self._engine

    def close(self) -> None:
        """Let go of it."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def write_note(folder: str, endpoint: endpoints.Endpoint) -> None:
    """Write down which engine a run uses."""
    path = os.path.join(folder, NOTE)
    with open(f"{path}.new", "w", encoding="utf-8") as note:
        json.dump({"url": endpoint.url, "source": endpoint.source}, note)
    os.replace(f"{path}.new", path)


def read_note(folder: str) -> endpoints.Endpoint | None:
    """Return which engine a run has used; None if it has used none."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        with open(os.path.join(folder, NOTE), encoding="utf-8") as note:
            said = json.load(note)
        return endpoints.Endpoint(url=said["url"], source=said["source"])
    return None


def labels(run_id: str, run: str, folder: str, service: str = "") -> dict[str, str]:
    """Return what everything that a run makes in an engine carries."""
    made = {RUN: run_id, NAME: run, FOLDER: folder}
    return {**made, SERVICE: service} if service else made
