"""Whether machines reach each other: one answers for a while, others try its addresses.

An address proves nothing by itself: behind two routers two machines may have the same. So who is
tried must answer a number made up for the occasion with what only a node of this run can work out.
Source: RFC 2104 (HMAC).
"""

import asyncio
import hmac
import os
from collections.abc import Sequence

ANSWER_S = 30.0
TIMEOUT_S = 2.0
_AT_ONCE = 64
_NONCE_BYTES = 16


def _prove(key: str, name: str, nonce: bytes) -> bytes:
    return hmac.digest(key.encode(), name.encode() + b"\0" + nonce, "sha256")


class Meeting:
    """Answers on every address of the machine, for as long as a run looks around."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._key = ""
        self._name = ""
        self._end: asyncio.TimerHandle | None = None

    async def answer(self, key: str, name: str) -> int:
        """Answer as ``name`` for a while; return the port, 0 where none may be listened on."""
        self._key, self._name = key, name
        if self._server is None:
            try:
                # every address: which of them others reach is the question
                self._server = await asyncio.start_server(self._talk, "0.0.0.0", 0)  # noqa: S104
            except OSError:
                return 0
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(ANSWER_S, self.close)
        return int(self._server.sockets[0].getsockname()[1])

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                nonce = await reader.readexactly(_NONCE_BYTES)
                writer.write(_prove(self._key, self._name, nonce))
                await writer.drain()
        except (OSError, EOFError):  # whoever it was; TimeoutError is one
            return
        finally:
            writer.close()

    def close(self) -> None:
        """Answer no longer."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if self._server is not None:
            self._server.close()
            self._server = None


async def try_all(key: str, wanted: Sequence[tuple[str, str, int]]) -> tuple[tuple[str, str], ...]:
    """Try (machine, address, port); return (machine, address) of those that it really was."""
    places = asyncio.Semaphore(_AT_ONCE)
    met: list[tuple[str, str]] = []

    async def meet(name: str, address: str, port: int) -> None:
        async with places:
            if await _try_one(key, name, address, port):
                met.append((name, address))

    async with asyncio.TaskGroup() as group:
        for one in wanted:
            group.create_task(meet(*one), name=f"meet {one[0]} at {one[1]}")
    return tuple(sorted(met))


async def _try_one(key: str, name: str, address: str, port: int) -> bool:
    nonce = os.urandom(_NONCE_BYTES)
    writer = None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(nonce)
            answer = await reader.readexactly(32)
    except (OSError, EOFError):  # TimeoutError is one
        return False
    finally:
        if writer is not None:
            writer.close()
    return hmac.compare_digest(answer, _prove(key, name, nonce))
