"""The engine's streams, taken apart wherever the network has cut them."""

import pytest

from stackdsl.node import dialing


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize("step", [1, 3, 8, 1000])
def test_frames_are_told_apart_wherever_they_are_cut(step: int) -> None:
    parts = {1: b"", 2: b""}

    def take(stream: int, data: bytes) -> None:
        parts[stream] += data

    splitter = dialing.Splitter(take)
    sent = frame(1, b"one\n") + frame(2, b"two\n") + frame(1, b"") + frame(1, b"three")
    for at in range(0, len(sent), step):
        splitter.take(sent[at : at + step])
    assert parts == {1: b"one\nthree", 2: b"two\n"}


@pytest.mark.parametrize("step", [1, 5, 1000])
async def test_a_chunked_answer_is_whole_and_ends(step: int) -> None:
    seen: list[bytes] = []
    ends: list[bool] = []
    line = dialing.Line(seen.append, lambda: ends.append(True))
    sent = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\nd\r\ne\r\n0\r\n\r\n"
    )
    for at in range(0, len(sent), step):
        line.data_received(sent[at : at + step])
    assert await line.opened == 200
    assert b"".join(seen) == b"abcd\r\ne"
    assert ends == [True]
