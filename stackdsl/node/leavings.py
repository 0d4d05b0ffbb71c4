"""What a run left beyond processes once controller and node are gone: found by notes and labels.

Laws: an engine is looked into only where the run's folder says that it was used, and not cleared
since. Everything here blocks: it is for commands, and for threads.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from functools import partial
from typing import Any

from stackdsl.model import errors
from stackdsl.node import endpoints, enginekeeping, engines

_THREADS = 8


def reap(run_id: str, folder: str) -> None:
    """Remove the containers, networks and bridges of a run; volumes stay.

    ``run_id`` "": it is not known any more, the folder's name in the labels must do.

    Raises:
        HostError: the engine is not reached, or refuses.
    """
    endpoint = enginekeeping.read_note(folder, is_in_use=True)
    has_bridge = run_id and os.path.exists(os.path.join(folder, enginekeeping.BRIDGE_NOTE))
    if endpoint is None and not has_bridge:
        return
    from stackdsl.node import bridges  # runs without containers do without it

    if endpoint is not None:
        with _client(endpoint) as api:
            mark = f"{enginekeeping.RUN}={run_id}" if run_id else f"{enginekeeping.FOLDER}={folder}"
            engines.translate(endpoint, partial(_remove_containers, api, mark))
            engines.translate(endpoint, partial(bridges.remove_networks, api, mark))
        enginekeeping.note_cleared(folder)
    if has_bridge:
        bridges.remove_own(run_id)


def has_living(run_id: str, folder: str) -> bool:
    """Whether containers of a run go on.

    Raises:
        HostError: the engine is not reached, so that nobody knows.
    """
    endpoint = enginekeeping.read_note(folder, is_in_use=True)
    if endpoint is None:
        return False
    with _client(endpoint) as api:
        mark = f"{enginekeeping.RUN}={run_id}"
        return bool(engines.translate(endpoint, partial(api.containers, filters={"label": mark})))


def find_engines(folders: Iterable[str]) -> tuple[endpoints.Endpoint, ...]:
    """Return the engines that runs have used, and the one in force if it is there."""
    notes = (enginekeeping.read_note(folder) for folder in folders)
    known = {note.url: note for note in notes if note is not None}
    with contextlib.suppress(errors.HostError):
        usual = endpoints.find(os.environ)
        if os.path.exists(usual.path):
            known.setdefault(usual.url, usual)
    return tuple(known.values())


def drop_volumes(
    found: Iterable[endpoints.Endpoint], is_wanted: Callable[[str], bool]
) -> tuple[str, ...]:
    """Remove the named volumes of runs from engines; return their names. ``is_wanted`` says it of
    the folder of a run.

    Raises:
        HostError: an engine is not reached, or refuses.
    """
    removed: list[str] = []
    for endpoint in found:
        with _client(endpoint) as api:
            removed += engines.translate(endpoint, partial(_remove_volumes, api, is_wanted))
    return tuple(sorted(removed))


@contextlib.contextmanager
def _client(endpoint: endpoints.Endpoint) -> Iterator[Any]:
    api = engines.connect_client(endpoint)
    try:
        yield api
    finally:
        api.close()


def _remove_containers(api: Any, mark: str) -> None:
    found = [str(each["Id"]) for each in api.containers(all=True, filters={"label": mark})]
    with futures.ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(partial(_remove_container, api), found):
            pass


def _remove_container(api: Any, container: str) -> None:
    import docker.errors

    try:
        api.remove_container(container, v=True, force=True)
    except docker.errors.APIError as error:
        if error.status_code not in (404, 409):  # it is gone, or going
            raise


def _remove_volumes(api: Any, is_wanted: Callable[[str], bool]) -> list[str]:
    import docker.errors

    removed = []
    found = api.volumes(filters={"label": enginekeeping.VOLUME})["Volumes"] or ()
    for volume in found:
        folder = str((volume["Labels"] or {}).get(enginekeeping.FOLDER, ""))
        if not is_wanted(folder):
            continue
        with contextlib.suppress(docker.errors.NotFound):
            api.remove_volume(volume["Name"])
            removed.append(str(volume["Name"]))
    return removed
