"""Reading the logs of a run, in any process: what is there, in the order seen, then what comes.

No node is needed: files are read as they lie. A chunk ends with a whole line; a last line without
an end is held until it is complete or reading ends. Nothing is lost while the reading position is
inside what is kept on disk; beyond that a chunk says how many bytes were.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping
from dataclasses import replace

from stackdsl.node import growth, logfiles

Chunk = logfiles.Chunk
Stream = logfiles.Stream
Key = tuple[str, Stream]

# Where no watch can tell of new logs.
_FOLDER_POLL_S = 0.25
# How long a new log may wait for others that appear with it.
_OPEN_PAUSE_S = 0.03
# Other tasks of the reader's loop get their turn at least this often.
_TURN_BYTES = 1024 * 1024


def _merge(chunks: list[Iterator[Chunk]]) -> Iterator[Chunk]:
    if len(chunks) == 1:
        return chunks[0]
    return heapq.merge(*chunks, key=lambda one: (one.time_ns, one.name, one.stream == "err"))


class LogReader:
    """Reads the logs under a run's ``folder``: all replicas' (None) or those in ``names``.

    One reading at a time.
    """

    def __init__(self, folder: str, names: Container[str] | None = None) -> None:
        self._folder = folder
        self._names = names
        self._positions: dict[Key, logfiles.Position] = {}
        self._grown: set[Key] = set()
        self._unwatched: set[Key] = set()
        self._fresh: set[Key] = set()
        self._opening: asyncio.TimerHandle | None = None
        self._is_winding_down = False
        self._renewed: set[Key] = set()
        self._growth: growth.Growth | None = None
        self._wake: asyncio.Event | None = None
        self._is_stopped = False

    def read_all(
        self,
        since_ns: int | None = None,
        tail: int | None = None,
        *,
        starts: Mapping[Key, int] | None = None,
    ) -> Iterator[Chunk]:
        """Yield what is there now, in the order seen, last lines without an end included.

        ``since_ns``: only lines seen then or later. ``tail``: only the last lines of each replica.
        ``starts``: offsets to begin at.
        """
        try:
            self._open_new(logfiles.find_all(self._folder))
            yield from self._replay(since_ns, tail, starts or {}, is_whole=True)
        finally:
            self._close()

    async def follow(
        self, since_ns: int | None = None, tail: int | None = None
    ) -> AsyncIterator[Chunk]:
        """Yield what `read_all` would, then what is written, until `stop`.

        Logs of new replicas are followed as they appear. Chunks of what comes are in order within
        a stream, and by time as far as they are read together.
        """
        self._wake = asyncio.Event()
        self._growth = growth.Growth()
        turn = 0
        try:
            has_watch = self._growth.watch_folder(logfiles.folder_of(self._folder), self._see_name)
            self._open_new(logfiles.find_all(self._folder))
            chunks = self._replay(since_ns, tail, {}, is_whole=False)
            is_last = False
            while True:
                for chunk in chunks:
                    yield chunk
                    turn += len(chunk.data)
                    if turn > _TURN_BYTES:
                        turn = 0
                        await asyncio.sleep(0)
                if is_last:
                    return
                await self._wait(has_watch=has_watch)
                is_last = self._is_stopped
                if is_last or not has_watch or self._growth is None:
                    has_watch = has_watch or (
                        self._growth is not None
                        and self._growth.watch_folder(
                            logfiles.folder_of(self._folder), self._see_name
                        )
                    )
                    self._open_new(logfiles.find_all(self._folder))
                chunks = self._read_grown(is_last=is_last)
        finally:
            self._close()

    def stop(self) -> None:
        """End `follow` once everything that is there by now was yielded."""
        self._is_stopped = True
        if self._wake is not None:
            self._wake.set()

    def wind_down(self) -> None:
        """Look now and then instead of watching, until `stop`: the run is ending, and the kernel
        takes 15 ms to give some hundred watches back, which is better done while it does."""
        self._is_winding_down = True
        if self._growth is not None:
            self._growth.close()
            self._growth = None
        if self._wake is not None:
            self._wake.set()

    async def _wait(self, *, has_watch: bool) -> None:
        assert self._wake is not None
        self._follow_growth()
        if self._is_stopped:
            return
        is_watching = has_watch and not self._is_winding_down
        try:
            async with asyncio.timeout(None if is_watching else _FOLDER_POLL_S):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            if self._is_winding_down:
                self._grown.update(self._positions)
        self._wake.clear()

    def _replay(
        self,
        since_ns: int | None,
        tail: int | None,
        starts: Mapping[Key, int],
        *,
        is_whole: bool,
    ) -> Iterator[Chunk]:
        """Yield what is there, from where it is wanted to the sizes of now."""
        by_name: dict[str, list[Iterator[Chunk]]] = {}
        for key, position in self._positions.items():
            end = position.size()
            position.seek(starts.get(key, 0))
            if since_ns is not None:
                position.seek_since(since_ns)
            if tail is not None:
                position.seek_tail(tail, end)
            chunks = _read_whole(position, end) if is_whole else position.read(end)
            by_name.setdefault(position.name, []).append(chunks)
        merged = [_merge(streams) for streams in by_name.values()]
        if tail is not None:
            merged = [iter(_keep_last(chunks, tail)) for chunks in merged]
        return _merge(merged)

    def _read_grown(self, *, is_last: bool) -> Iterator[Chunk]:
        """Yield what has come since the last look; with what is held if it is the last look."""
        keys = set(self._positions) if is_last else self._grown & set(self._positions)
        self._grown.clear()
        # most have nothing to tell at the end of a run, and there may be hundreds
        telling = sorted(
            key for key in keys if key in self._renewed or self._positions[key].has_more
        )
        chunks = [self._read_one(key, is_last=is_last) for key in telling]
        return _merge(chunks)

    def _read_one(self, key: Key, *, is_last: bool) -> Iterator[Chunk]:
        position = self._positions[key]
        end = position.size()
        if key in self._renewed:
            self._renewed.discard(key)
            yield from _read_whole(position, end)
            end = -1
        if end < position.offset:
            yield from position.flush()
            try:
                position.begin_anew()
            except FileNotFoundError:
                self._forget(key)
                return
            end = position.size()
        yield from position.read(end)
        if is_last:
            yield from position.flush()

    def _open_new(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key in self._positions or not (self._names is None or key[0] in self._names):
                continue
            try:
                self._positions[key] = logfiles.Position(self._folder, *key)
            except FileNotFoundError:
                continue
            self._unwatched.add(key)

    def _follow_growth(self) -> None:
        """Wait for the growth of what has been read."""
        if self._growth is None:
            return
        for key in self._unwatched:
            position = self._positions.get(key)
            if position is not None and not self._growth.has(position.path):
                self._growth.add(position.path, position.offset, self._see_growth(key))
        self._unwatched.clear()

    def _see_growth(self, key: Key) -> growth.Size:
        def see(size: int) -> None:
            if size < 0:
                self._renewed.add(key)
            self._grown.add(key)
            if self._wake is not None:
                self._wake.set()

        return see

    def _see_name(self, file_name: str) -> None:
        key = logfiles.parse(file_name)
        if key is None:
            return
        if key not in self._positions:
            # many services that start at once are taken up together
            self._fresh.add(key)
            if self._opening is None:
                loop = asyncio.get_running_loop()
                self._opening = loop.call_later(_OPEN_PAUSE_S, self._open_fresh)
            return
        self._see_growth(key)(-1)
        self._unwatched.add(key)
        if self._wake is not None:
            self._wake.set()

    def _open_fresh(self) -> None:
        self._opening = None
        fresh, self._fresh = self._fresh, set()
        self._open_new(sorted(fresh))
        if self._wake is not None:
            self._wake.set()

    def _forget(self, key: Key) -> None:
        position = self._positions.pop(key)
        if self._growth is not None:
            self._growth.remove(position.path)
        position.close()

    def _close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if self._growth is not None:
            self._growth.close()
            self._growth = None
        for position in self._positions.values():
            position.close()
        self._positions.clear()
        self._wake = None


def _read_whole(position: logfiles.Position, end: int) -> Iterator[Chunk]:
    yield from position.read(end)
    yield from position.flush()


def _keep_last(chunks: Iterator[Chunk], lines: int) -> list[Chunk]:
    """Return the chunks that hold the last lines, the first of them cut."""
    kept = list(chunks)
    left = lines
    for at in range(len(kept) - 1, -1, -1):
        rows = kept[at].data.splitlines(keepends=True)
        if len(rows) >= left:
            kept[at] = replace(kept[at], data=b"".join(rows[len(rows) - left :]))
            return [chunk for chunk in kept[at:] if chunk.data]
        left -= len(rows)
    return kept
