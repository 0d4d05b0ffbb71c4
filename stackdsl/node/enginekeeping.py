"""The Docker engine of one run: connected to when first needed, told of in the run's folder.

Laws: the folder says where the engine is before anything is made there, so that whoever finds a
dead run knows whether it has to look into an engine at all.
"""

import contextlib
import json
import os

from stackdsl.node import endpoints, engines

NOTE = "engine"
BRIDGE_NOTE = "bridge"
RUN = "stackdsl.run"
NAME = "stackdsl.name"
SERVICE = "stackdsl.service"
FOLDER = "stackdsl.folder"
VOLUME = "stackdsl.volume"
CONFIG = "stackdsl.config"


class EngineKeeper:
    """The engine that a run uses. Nothing is imported before `get`."""

    def __init__(self, access: engines.Access, folder: str) -> None:
        self._access = access
        self._folder = folder
        self._has_noted = False

    async def get(self) -> engines.Engine:
        """Return the engine, connected.

        Raises:
            HostError: see `engines.Engine.open`.
        """
        engine = await self._access.get()
        if not self._has_noted:
            write_note(self._folder, engine.endpoint)
            self._has_noted = True
        return engine

    def close(self) -> None:
        """Let go of it."""
        self._access.close()


def write_note(folder: str, endpoint: endpoints.Endpoint, *, is_cleared: bool = False) -> None:
    """Write down which engine a run uses; ``is_cleared``: that nothing of it is left there but
    named volumes."""
    path = os.path.join(folder, NOTE)
    said = {"url": endpoint.url, "source": endpoint.source, "is_cleared": is_cleared}
    with open(f"{path}.new", "w", encoding="utf-8") as note:
        json.dump(said, note)
    os.replace(f"{path}.new", path)


def read_note(folder: str, *, is_in_use: bool = False) -> endpoints.Endpoint | None:
    """Return which engine a run has used; None if it has used none, or with ``is_in_use`` if it was
    cleared since."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        with open(os.path.join(folder, NOTE), encoding="utf-8") as note:
            said = json.load(note)
        if not (is_in_use and said.get("is_cleared")):
            return endpoints.Endpoint(url=said["url"], source=said["source"])
    return None


def note_cleared(folder: str) -> None:
    """Write down that nothing of a run is left in its engine but named volumes, so that nobody has
    to look there again: the engine may be gone by then."""
    endpoint = read_note(folder, is_in_use=True)
    if endpoint is not None:
        with contextlib.suppress(OSError):  # a full disk: then it is looked for again
            write_note(folder, endpoint, is_cleared=True)


def note_bridge(folder: str, name: str) -> None:
    """Write down that a run is about to have a bridge."""
    with open(os.path.join(folder, BRIDGE_NOTE), "w", encoding="utf-8") as note:
        note.write(name)


def labels(run_id: str, run: str, folder: str, service: str = "") -> dict[str, str]:
    """Return what everything that a run makes in an engine carries."""
    made = {RUN: run_id, NAME: run, FOLDER: folder}
    return {**made, SERVICE: service} if service else made
