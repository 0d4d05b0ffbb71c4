"""Output of a run: what its services wrote, from the files in its folder, secrets masked."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from stackdsl.model.data import dataclass
from stackdsl.node import following, logfiles
from stackdsl.session import masking


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Whole lines of one stream of one replica, in the order written, seen at ``time_ns``.

    ``lost_bytes``: so much before it is no longer on disk.
    """

    name: str
    stream: str
    time_ns: int
    lines: tuple[str, ...]
    lost_bytes: int = 0


def read_lines(
    folder: str,
    names: Sequence[str] | None,
    secrets: Sequence[str],
    *,
    tail: int | None = None,
    since_ns: int | None = None,
) -> Iterator[Lines]:
    """Yield what was written so far, merged by time; ``names`` None: by everyone."""
    mask = masking.make_mask(secrets)
    reader = following.LogReader(folder, names)
    for chunk in reader.read_all(since_ns=since_ns, tail=tail):
        yield _read(chunk, mask)


async def follow_lines(
    reader: following.LogReader,
    secrets: Sequence[str],
    *,
    tail: int | None = None,
    since_ns: int | None = None,
) -> AsyncIterator[Lines]:
    """Yield what is there, then what comes, until ``reader.stop()`` is called."""
    mask = masking.make_mask(secrets)
    async for chunk in reader.follow(since_ns=since_ns, tail=tail):
        yield _read(chunk, mask)


def open_reader(folder: str, names: Sequence[str] | None = None) -> following.LogReader:
    """Return a reader of a run's logs for `follow_lines`."""
    return following.LogReader(folder, names)


def _read(chunk: following.Chunk, mask: Callable[[str], str]) -> Lines:
    text = mask(chunk.data.decode(errors="replace"))
    return Lines(
        name=chunk.name,
        stream=chunk.stream,
        time_ns=chunk.time_ns,
        lines=tuple(text.removesuffix("\n").split("\n")) if text else (),
        lost_bytes=chunk.lost_bytes,
    )


def read_text(
    folder: str, names: Sequence[str], secrets: Sequence[str], *, tail: int | None = None
) -> str:
    """Return what was written so far as one text, both streams merged by time."""
    return "".join(
        line + "\n" for one in read_lines(folder, names, secrets, tail=tail) for line in one.lines
    )


def read_stream(folder: str, name: str, stream: str) -> str:
    """Return one stream of one replica, as it lies on disk."""
    with open(logfiles.path_of(folder, name, stream), "rb") as file:
        return file.read().decode(errors="replace")
