"""One HTTP/1.1 request and its answer, as little as a probe needs. Source: RFC 9112."""

import asyncio
import contextlib

from stackdsl.model import probes

BODY_LIMIT_BYTES = 64 * 1024
_HEAD_LIMIT_BYTES = 64 * 1024
_QUOTED = 200
_QUOTED_BYTES = 1024
_QUOTE_WAIT_S = 0.1


async def request(host: str, port: int, probe: probes.Http) -> str:
    """Ask once; return "" if the answer is as wanted, else what was seen. The caller sets a
    deadline."""
    try:
        reader, writer = await asyncio.open_connection(host, port, limit=_HEAD_LIMIT_BYTES)
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return error.strerror or str(error)
    try:
        writer.write(_compose(host, port, probe))
        return await _judge(reader, probe)
    except asyncio.IncompleteReadError:
        return "closed the connection without an answer"
    except asyncio.LimitOverrunError:
        return "sent no HTTP header within 64 KiB"
    except OSError as error:
        return error.strerror or str(error)
    finally:
        writer.transport.abort()


def _compose(host: str, port: int, probe: probes.Http) -> bytes:
    fields = {
        "host": f"{host}:{port}",
        "user-agent": "stackdsl-probe",
        "accept": "*/*",
        "connection": "close",
    }
    fields.update({name.lower(): value for name, value in probe.headers})
    rows = [f"{probe.method} {probe.path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join([*rows, "", ""]).encode("utf-8")


async def _judge(reader: asyncio.StreamReader, probe: probes.Http) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        return f'answered "{lines[0][:80]}", which is not HTTP'
    if int(words[1]) not in probe.status:
        return f"answered {' '.join(words[1:])[:80]}{await _quote(reader, lines[1:])}"
    if probe.body_contains is None:
        return ""
    body = await _read_body(reader, lines[1:])
    if probe.body_contains.encode() in body:
        return ""
    return f'answered {words[1]} without "{probe.body_contains}" in {len(body)} bytes of body'


async def _quote(reader: asyncio.StreamReader, lines: list[str]) -> str:
    """Return how a body begins, which may say why it is another status; pages for people do not."""
    text = ""
    with contextlib.suppress(TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_QUOTE_WAIT_S):
            text = (await _read_body(reader, lines, _QUOTED_BYTES)).decode()
    shown = " ".join(text.split())
    is_said = shown and shown.isprintable() and not shown.startswith("<")
    return f": {shown[:_QUOTED]}" if is_said else ""


async def _read_body(
    reader: asyncio.StreamReader, lines: list[str], limit: int = BODY_LIMIT_BYTES
) -> bytes:
    fields = {
        name.strip().lower(): value.strip().lower()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    if "chunked" in fields.get("transfer-encoding", ""):
        return await _read_chunks(reader, limit)
    length = fields.get("content-length", "")
    limit = min(int(length), limit) if length.isdigit() else limit
    body = b""
    while len(body) < limit and (part := await reader.read(limit - len(body))):
        body += part
    return body


async def _read_chunks(reader: asyncio.StreamReader, limit: int) -> bytes:
    body = b""
    while len(body) < limit:
        size = (await reader.readline()).split(b";")[0].strip()
        try:
            length = int(size, 16)
        except ValueError:
            break
        if length == 0:
            break
        body += await reader.readexactly(min(length, limit))
        if length > limit:
            break
        await reader.readexactly(2)
    return body[:limit]
