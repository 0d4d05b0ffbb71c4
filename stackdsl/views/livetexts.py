"""Text in cells of a terminal: any program's line made harmless, cut and filled to a width.

rich measures the cells. Its own tables are not used: one of 40 rows takes it 20 ms, and a live view
is drawn ten times a second.
"""

import re
from functools import lru_cache

from rich import cells

from stackdsl.views import lines

_SGR = re.compile(r"(\x1b\[[0-9;:]*m)")
_RESET = "\x1b[0m"
# They would turn the rest of a row around, or break it.
_UNSEEN = dict.fromkeys(
    [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF]
)
# Of a line that is longer nothing but this is looked at.
_LONGEST = 4096


@lru_cache(maxsize=2048)
def clean(line: str, *, has_colours: bool) -> str:
    """Return a program's line as one row may show it: colours at most, no tabs, nothing that moves
    the cursor or turns the writing around."""
    line = line[:_LONGEST].expandtabs(8)
    if line.isascii() and line.isprintable():
        return line
    line = lines.tame(line).replace("\n", " ").translate(_UNSEEN)
    return line if has_colours else _SGR.sub("", line)


def measure(text: str) -> int:
    """Return how many cells a text takes; colours take none."""
    if "\x1b" in text:
        text = _SGR.sub("", text)
    return len(text) if text.isascii() else cells.cell_len(text)


def clip(text: str, width: int) -> str:
    """Return a text that takes ``width`` cells at most, with an ellipsis where it was cut."""
    if width <= 0:
        return ""
    if len(text) <= width and text.isascii():
        return text
    if measure(text) <= width:
        return text
    if "\x1b" not in text:
        return _cut(text, width - 1) + "…"
    left, parts = width - 1, list[str]()
    for part in _SGR.split(text):
        if part.startswith("\x1b"):
            parts.append(part)
        elif part and left > 0:
            taken = _cut(part, left)
            left -= measure(taken)
            parts.append(taken)
            if taken != part:
                break
    return "".join(parts) + _RESET + "…"


def fill(text: str, width: int) -> str:
    """Return a text cut or filled with spaces to just ``width`` cells."""
    text = clip(text, width)
    return text + " " * (width - measure(text))


def _cut(text: str, width: int) -> str:
    """Return as much of a text without colours as fits."""
    if text.isascii():
        return text[:width]
    if cells.cell_len(text) <= width:
        return text
    # a wide character that would stand on the edge is left out
    cut = cells.set_cell_size(text, width)
    return cut if text.startswith(cut) else cut.rstrip(" ")


def say_age(seconds: float) -> str:
    """Return an age that changes once a second at most: "12 s", "3 min", "5 h", "4 d"."""
    if seconds < 100:
        return f"{max(int(seconds), 0)} s"
    if seconds < 100 * 60:
        return f"{int(seconds // 60)} min"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86400)} d"
