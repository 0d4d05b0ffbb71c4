"""Sending files to another machine: those that are not there yet, on a channel of their own."""

import asyncio
import dataclasses
import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stackdsl.model import errors, specs
from stackdsl.node import receiving
from stackdsl.wire import calls

CHUNK_BYTES = 256 * 1024


class Source(NamedTuple):
    """A file here, and the name that it is kept under there."""

    path: str
    key: str
    size: int


class _Entry(NamedTuple):
    """What becomes of one path of a replica's folder: a file, or a symbolic link."""

    path: str
    source: Source | None
    link: str | None


def rewrite(
    wanted: Sequence[specs.ServiceSpec], folder: str
) -> tuple[list[specs.ServiceSpec], list[Source]]:
    """Return specs whose files are copied from what was sent to ``folder`` there, and what to send;
    reads the files that are new here, so that it blocks.

    Raises:
        ServiceError: a file cannot be read.
    """
    sources: dict[str, Source] = {}
    made: list[specs.ServiceSpec] = []
    for spec in wanted:
        if not any(file.copy for file in spec.files):
            made.append(spec)
            continue
        files: list[specs.RenderedFile] = []
        for file in spec.files:
            if file.copy is None:
                files.append(file)
                continue
            for path, source, link in _list_entries(spec.name, file.path, file.copy):
                there = None if source is None else receiving.path_of(folder, source.key)
                files.append(specs.RenderedFile(path=path, copy=there, link=link))
                if source is not None:
                    sources[source.key] = source
        made.append(dataclasses.replace(spec, files=tuple(files)))
    return made, list(sources.values())


def _list_entries(replica: str, path: str, source: str) -> Iterator[_Entry]:
    try:
        if not os.path.isdir(source):
            yield _Entry(path, read_source(source), None)
            return
        for folder, folders, files in os.walk(source):
            below = os.path.relpath(folder, source)
            for name in sorted((*folders, *files)):
                here = os.path.join(folder, name)
                inside = os.path.normpath(os.path.join(path, below, name))
                if os.path.islink(here):
                    yield _Entry(inside, None, os.readlink(here))
                elif name in files:
                    yield _Entry(inside, read_source(here), None)
    except OSError as error:
        raise errors.ServiceError(
            "start.files",
            f'its files cannot be sent: "{error.filename}": {error.strerror}',
            why=f'"{replica}" copies "{source}"',
            do="correct the path or its permissions",
        ) from error


def read_source(path: str) -> Source:
    """Return a file with its hash.

    Raises:
        OSError: it cannot be read.
    """
    seen = receiving.hash_of()
    size = 0
    with open(path, "rb") as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        while data := stream.read(CHUNK_BYTES):
            seen.update(data)
            size += len(data)
    return Source(path, receiving.key_of(seen.hexdigest(), mode), size)


def _read(source: Source) -> Iterator[bytes]:
    with open(source.path, "rb") as stream:
        while data := stream.read(CHUNK_BYTES):
            yield data


async def send(peer: calls.Peer, token: str, sources: Sequence[Source]) -> int:
    """Send what is missing at the other end; return how many bytes that were.

    Raises:
        StackError: the connection ended, or the machine keeps nothing.
    """
    by_key = {source.key: source for source in sources}
    missing = await peer.call("missing_files", token, tuple(by_key))
    sent = 0
    for key in missing:
        source = by_key[key]
        await peer.call("open_file", token, key)
        for data in _read(source):
            peer.send_bytes(data)
            await peer.drain()
            sent += len(data)
            await asyncio.sleep(0)
        await peer.call("close_file", token)
    return sent
