"""Calls over one byte stream: each frame is a 4-byte big-endian length and a JSON value.

A frame is a call ``{"id", "call", "args"}``, its answer ``{"id", "value"}`` or ``{"id", "error"}``,
or a push ``{"push": value}``. Both ends may call. Answers come in any order; a call with the id 0
wants none. A length with its highest bit set is that of plain bytes. What is no frame ends the
stream.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Container
from typing import Any

from stackdsl.model import errors
from stackdsl.wire import codec

FRAME_LIMIT_BYTES = 64 * 1024 * 1024
_BYTES_BIT = 0x80000000

Handler = Callable[..., Awaitable[object]]


class Peer(asyncio.Protocol):
    """One end of a stream. ``handlers`` answer calls by name; those in ``waits`` are given up when
    the stream ends, the others are seen through. ``on_push`` takes pushes, ``on_bytes`` plain
    bytes; ``on_lost`` is called once when the stream ends."""

    def __init__(
        self,
        handlers: dict[str, Handler] | None = None,
        *,
        on_push: Callable[[Any], None] | None = None,
        on_bytes: Callable[[bytes], None] | None = None,
        on_lost: Callable[["Peer"], None] | None = None,
        name: str = "the other end",
        waits: Container[str] = (),
    ) -> None:
        self._handlers = handlers or {}
        self._waits = waits
        self._on_push = on_push
        self._on_bytes = on_bytes
        self._on_lost = on_lost
        self._name = name
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._next_id = 0
        self._answering: set[asyncio.Task[None]] = set()
        self._given_up: set[asyncio.Task[None]] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport. Source: asyncio.BaseProtocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Fail what waits. Source: asyncio.BaseProtocol."""
        self.is_lost = True
        self._writable.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._lost_error())
        self._waiting.clear()
        for task in self._given_up:
            task.cancel()
        if self._on_lost is not None:
            self._on_lost(self)

    def pause_writing(self) -> None:
        """Stop writers that wait. Source: asyncio.BaseProtocol."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on. Source: asyncio.BaseProtocol."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Cut frames and hand them on. Source: asyncio.Protocol."""
        self._buffer += data
        position = 0
        while len(self._buffer) - position >= 4:
            length = int.from_bytes(self._buffer[position : position + 4], "big")
            is_plain = bool(length & _BYTES_BIT)
            length &= ~_BYTES_BIT
            if length > FRAME_LIMIT_BYTES:
                self.close()
                return
            if len(self._buffer) - position - 4 < length:
                break
            body = bytes(self._buffer[position + 4 : position + 4 + length])
            position += 4 + length
            if is_plain:
                if self._on_bytes is not None:
                    self._on_bytes(body)
                continue
            try:
                self._take(json.loads(body))
            except (ValueError, TypeError, KeyError, errors.InternalError):
                # another protocol, or another version: who waits here is told that it ended
                self.close()
                return
        if position:
            del self._buffer[:position]

    def _take(self, frame: dict[str, Any]) -> None:
        if "call" in frame:
            # Held in _answering until done: Protocol callbacks have no TaskGroup to live in.
            task = asyncio.get_running_loop().create_task(
                self._answer(frame), name=f"answer {frame['call']}"
            )
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            if frame["call"] in self._waits:
                self._given_up.add(task)
                task.add_done_callback(self._given_up.discard)
        elif "push" in frame:
            if self._on_push is not None:
                self._on_push(codec.decode(frame["push"]))
        else:
            future = self._waiting.pop(frame["id"], None)
            if future is None or future.done():
                return
            try:
                if "error" in frame:
                    future.set_exception(codec.decode_error(frame["error"]))
                else:
                    future.set_result(codec.decode(frame["value"]))
            except errors.InternalError as error:  # of another version: the caller is told
                future.set_exception(error)

    async def _answer(self, frame: dict[str, Any]) -> None:
        try:
            handler = self._handlers.get(frame["call"])
            if handler is None:
                raise errors.UsageError(
                    "usage.unknown-call",
                    f'cannot answer "{frame["call"]}": there is no such call',
                    do="both ends must be the same version of stackdsl",
                )
            value = await handler(*codec.decode(frame["args"]))
            self._send({"id": frame["id"], "value": codec.encode(value)})
        except errors.StackError as error:
            self._refuse(frame, error)
        except asyncio.CancelledError:
            self._refuse(frame, _fault(frame, "it was given up"))
            raise
        except Exception as error:  # noqa: BLE001 - around one step: the caller must get an answer
            self._refuse(frame, _fault(frame, f"{type(error).__name__}: {error}"))

    def _refuse(self, frame: dict[str, Any], error: errors.StackError) -> None:
        self._send({"id": frame["id"], "error": codec.encode_error(error)})

    def _send(self, frame: dict[str, Any]) -> None:
        if self._transport is None or self.is_lost:
            return
        body = json.dumps(frame, separators=(",", ":")).encode()
        if len(body) > FRAME_LIMIT_BYTES:
            # the other end would end the stream, and everything else on it
            raise errors.InternalError(
                "internal.frame",
                f"cannot send {len(body)} bytes to {self._name}: a message holds"
                f" {FRAME_LIMIT_BYTES} at most",
                do="ask for less at once, or report this bug of stackdsl",
            )
        self._transport.write(len(body).to_bytes(4, "big") + body)

    def _lost_error(self) -> errors.StackError:
        return errors.HostError(
            "host.connection-lost",
            f"cannot reach {self._name}: the connection ended",
            do="run the command again; `stackdsl ps` lists what lives",
        )

    async def call(self, name: str, *args: object) -> Any:
        """Call the other end and return its answer.

        Raises:
            StackError: what the other end raised, or the stream ended.
        """
        if self.is_lost:
            raise self._lost_error()
        self._next_id += 1
        number = self._next_id
        self._send({"id": number, "call": name, "args": codec.encode(args)})
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    def tell(self, name: str, *args: object) -> None:
        """Call the other end and want no answer; never waits."""
        self._send({"id": 0, "call": name, "args": codec.encode(args)})

    def push(self, value: object) -> None:
        """Send a value that needs no answer; never waits."""
        self._send({"push": codec.encode(value)})

    def send_bytes(self, data: bytes) -> None:
        """Send plain bytes; never waits."""
        if self._transport is not None and not self.is_lost:
            self._transport.write((len(data) | _BYTES_BIT).to_bytes(4, "big") + data)

    async def drain(self) -> None:
        """Wait until the stream takes more."""
        await self._writable.wait()

    def close(self) -> None:
        """End the stream."""
        if self._transport is not None:
            self._transport.close()


def _fault(frame: dict[str, Any], detail: str) -> errors.InternalError:
    return errors.InternalError(
        "internal.call",
        f'cannot answer "{frame["call"]}": {detail}',
        do="this is a bug of stackdsl: please report it",
    )
