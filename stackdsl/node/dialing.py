"""Streams of the Docker engine, read by the event loop: output, commands, events.

The SDK blocks a thread for each stream, and loses what comes in one read with an answer's head.

Source: RFC 9112 (HTTP/1.1); Docker Engine API, "Attach to a container" (hijacking, stream format).
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from stackdsl.node import engines

OPEN_TIMEOUT_S = 60.0
_HEADER_BYTES = 8


class Line(asyncio.Protocol):
    """One request and its answer, as it comes. ``on_data`` takes what comes, ``on_end`` is called
    once when nothing more will. ``has_body``: an answer to HEAD has none, whatever its length
    says."""

    def __init__(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], has_body: bool = True
    ) -> None:
        self.opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.has_ended = False
        self._on_data = on_data
        self._on_end = on_end
        self._has_body = has_body
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._status = 0
        self._fields: dict[str, str] = {}
        self._refusal = b""
        self._chunk = b""
        self._is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if not self._status:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._read_head(head.decode("latin-1"))
        if self._status >= 400:
            self._refusal += data
            if not self._has_body or len(self._refusal) >= int(
                self._fields.get("content-length", "0")
            ):
                self.end()
        elif data and self._fields.get("transfer-encoding") == "chunked":
            self._take_chunks(data)
        elif data:
            self._on_data(data)

    def _read_head(self, head: str) -> None:
        first, *rows = head.split("\r\n")
        self._status = int(first.split(None, 2)[1])
        for row in rows:
            name, _, value = row.partition(":")
            self._fields[name.strip().lower()] = value.strip().lower()
        if self._status < 400 and not self.opened.done():
            self.opened.set_result(self._status)

    def _take_chunks(self, data: bytes) -> None:
        self._chunk += data
        while not self.has_ended:
            head, end, rest = self._chunk.partition(b"\r\n")
            size = int(head.split(b";")[0], 16) if end else -1
            if not end or len(rest) < size + 2:
                return
            self._chunk = rest[size + 2 :]
            if size == 0:
                self.end()
            else:
                self._on_data(rest[:size])

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""
        self.end()

    def connection_lost(self, _error: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self.end()

    def write(self, data: bytes) -> None:
        """Send what a program is to read."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def write_eof(self) -> None:
        """Let the program read no more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def end(self) -> None:
        """Take note that nothing more comes."""
        if self.has_ended:
            return
        self.has_ended = True
        if self._transport is not None:
            self._transport.abort()
        if not self.opened.done():
            self.opened.set_exception(self._explain())
        if not self._is_closed:
            self._on_end()

    def _explain(self) -> Exception:
        if not self._status:
            return ConnectionResetError("the connection ended")
        text = self._refusal.decode(errors="replace")
        try:
            text = str(json.loads(text)["message"])
        except (ValueError, KeyError, TypeError):
            text = text or f"HTTP status {self._status}"
        return engines.refusal(self._status, text)

    def close(self) -> None:
        """End it without telling anybody."""
        self._is_closed = True
        self.end()


async def dial(
    engine: engines.Engine,
    request: str,
    on_data: Callable[[bytes], None],
    on_end: Callable[[], None],
    body: Any = None,
) -> Line:
    """Ask the engine (``POST /containers/…``); return the stream once its answer has begun.

    Raises:
        Unreached: the engine is gone.
        Refused: the engine answered with an error.
    """
    text = b"" if body is None else json.dumps(body).encode()
    line = Line(on_data, on_end, has_body=not request.startswith("HEAD "))
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await asyncio.get_running_loop().create_unix_connection(
                lambda: line, engine.endpoint.path
            )
            line.write(_compose(engine, request, text))
            await line.opened
    except OSError as error:  # TimeoutError is one
        line.close()
        raise engines.unreached(engine.endpoint, error) from error
    except BaseException:
        line.close()
        raise
    return line


def _compose(engine: engines.Engine, request: str, body: bytes) -> bytes:
    method, _, path = request.partition(" ")
    rows = [
        f"{method} /v{engine.seen.api}{path} HTTP/1.1",
        "Host: docker",
        "User-Agent: stackdsl",
    ]
    if method == "POST":
        rows += ["Connection: Upgrade", "Upgrade: tcp"]
        rows += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*rows, "", ""]).encode() + body


class Splitter:
    """Splits a stream of frames into what was written to standard output (1) and error (2)."""

    def __init__(self, on_part: Callable[[int, bytes], None]) -> None:
        self._on_part = on_part
        self._head = b""
        self._stream = 0
        self._left = 0

    def take(self, data: bytes) -> None:
        """Take what came."""
        view = memoryview(data)
        while view:
            if not self._left:
                missing = _HEADER_BYTES - len(self._head)
                self._head += view[:missing]
                view = view[missing:]
                if len(self._head) < _HEADER_BYTES:
                    return
                self._stream = self._head[0]
                self._left = int.from_bytes(self._head[4:], "big")
                self._head = b""
                continue
            part = view[: self._left]
            self._left -= len(part)
            view = view[len(part) :]
            self._on_part(self._stream, bytes(part))
