"""Plain lines for people: colours, prefixes that say who wrote a line, aligned columns."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
    "magenta": "35", "cyan": "36", "bright cyan": "96", "bright magenta": "95",
    "bright blue": "94", "bright green": "92", "bright yellow": "93",
}  # fmt: skip
# Red and yellow are left to what went wrong.
PREFIX_COLOURS = (
    "cyan", "green", "magenta", "blue", "bright cyan", "bright magenta", "bright green",
    "bright blue",
)  # fmt: skip
PREFIX_WIDTH_MAX = 20
# Everything that moves a cursor or rings; colours (SGR) may pass.
_HARMFUL = re.compile(
    r"\x1b\[[0-9;:]*m|(\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b."
    r"|[\x00-\x08\x0b-\x1f\x7f\x80-\x9f])"
)
_HAS_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
_RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours, where they are wanted; elsewhere text comes back as it is."""

    is_on: bool = False

    def __call__(self, text: str, colour: str) -> str:
        """Return ``text`` in a colour, or in several at once ("bold red")."""
        if not self.is_on or not text or not colour:
            return text
        known = _CODES.get(colour)
        code = known or ";".join(_CODES[word] for word in colour.split())
        return f"\x1b[{code}m{text}{_RESET}"


def tame(line: str) -> str:
    """Return a program's line as a terminal may show it: what moves the cursor is taken out, and
    of a line that was written over and over only the last state stays."""
    if not _HAS_CONTROLS.search(line):
        return line
    line = line.rstrip("\r")
    line = line[line.rfind("\r") + 1 :]
    tamed = _HARMFUL.sub(lambda match: "" if match[1] else match[0], line)
    return tamed + _RESET if "\x1b" in tamed else tamed


def tame_first(text: str) -> str:
    """Return the first line of a text as a terminal may show it: reasons may hold what programs,
    engines and registries have said."""
    return tame(text.partition("\n")[0])


class Prefixes:
    """The column in front of each line: one width for all, a colour for each name in turn."""

    def __init__(self, names: Sequence[str], paint: Paint) -> None:
        self._paint = paint
        longest = max((len(name) for name in names), default=0)
        self.width = min(longest, PREFIX_WIDTH_MAX)
        self._made: dict[str, str] = {}
        for name in names:
            self[name]

    def __getitem__(self, name: str) -> str:
        made = self._made.get(name)
        if made is None:
            colour = PREFIX_COLOURS[len(self._made) % len(PREFIX_COLOURS)]
            text = name if len(name) <= PREFIX_WIDTH_MAX else name[: PREFIX_WIDTH_MAX - 1] + "…"
            made = self._made[name] = self._paint(f"{text:<{self.width}} |", colour) + " "
        return made


def prefix_lines(prefix: str, lines: Iterable[str], *, is_tamed: bool) -> str:
    """Return lines with a prefix each, each with its end."""
    if is_tamed:
        return "".join([f"{prefix}{tame(line)}\n" for line in lines])
    return "".join([f"{prefix}{line}\n" for line in lines])


Cell = str | tuple[str, str]


def align(
    rows: Sequence[Sequence[Cell]],
    paint: Paint,
    *,
    head: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """Return rows as aligned columns, two spaces between; a cell may be (text, colour).

    ``width``: the last column is cut so that no row is wider.
    """
    all_rows: list[Sequence[Cell]] = [[(title, "dim") for title in head]] if head else []
    all_rows += rows
    plain = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in all_rows]
    count = max((len(row) for row in plain), default=0)
    widths = [
        max((len(row[at]) for row in plain if at < len(row)), default=0) for at in range(count)
    ]
    texts: list[str] = []
    for row, words in zip(all_rows, plain, strict=True):
        used = sum(widths[: len(row) - 1]) + 2 * (len(row) - 1)
        parts: list[str] = []
        for at, (cell, text) in enumerate(zip(row, words, strict=True)):
            is_last = at == len(row) - 1
            shown = cut(text, width - used) if is_last and width is not None else text
            painted = paint(shown, cell[1]) if isinstance(cell, tuple) else shown
            parts.append(painted + ("" if is_last else " " * (widths[at] - len(text) + 2)))
        texts.append("".join(parts).rstrip())
    return "".join(f"{text}\n" for text in texts)


def cut(text: str, width: int) -> str:
    """Return ``text``, cut with an ellipsis where it is longer than ``width`` (at least 8)."""
    width = max(width, 8)
    return text if len(text) <= width else text[: width - 1] + "…"


def say_duration(seconds: float) -> str:
    """Return a duration in one or two units: "350 ms", "2.4 s", "3 min", "2 h 5 min", "4 d"."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d"
