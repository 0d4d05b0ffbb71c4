"""Draw docs/run.svg, the picture of a real run: the demo in a terminal, a moment after it is ready.

python docs/picture.py
"""

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

TOP = Path(__file__).parents[1]
COLUMNS, ROWS = 96, 22
LINGER_S = 3.0
# How the live view draws a row.
ROW = re.compile(r"\x1b\[(\d+);1H(.*?)\x1b\[0m\x1b\[K")


class Screen:
    """As much of a terminal as the live view uses: rows that are drawn one by one."""

    def __init__(self) -> None:
        self.rows = [""] * ROWS
        self._left = ""

    def feed(self, text: str) -> None:
        """Take output in."""
        self._left += text
        for found in ROW.finditer(self._left):
            self.rows[int(found[1]) - 1] = found[2]
        self._left = self._left[self._left.rfind("\x1b[K") + 1 :]


def record(argv: list[str]) -> str:
    """Run a command in a terminal until it is ready and a little longer; return what is seen."""
    with tempfile.TemporaryDirectory() as state:
        os.environ |= {"TERM": "xterm-256color", "XDG_STATE_HOME": state}
        return watch(argv)


def watch(argv: list[str]) -> str:
    """Do as `record` says, with the environment as it is."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    screen, is_ready, deadline = Screen(), False, time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            screen.feed(os.read(terminal, 65536).decode(errors="replace"))
            if "demo ready" in screen.rows[0] and not is_ready:
                is_ready, deadline = True, time.monotonic() + LINGER_S
    os.kill(pid, signal.SIGINT)
    while True:
        try:
            os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other side is closed
            break
    os.waitpid(pid, 0)
    return "\n".join(screen.rows)


def main() -> None:
    """Write the picture."""
    command = str(Path(sys.executable).with_name("stackdsl"))
    shown = record([command, "run", "stacks/demo.py"])
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ ./just demo\n{shown.rstrip()}"))
    (TOP / "docs" / "run.svg").write_text(console.export_svg(title="./just demo"))


if __name__ == "__main__":
    os.chdir(TOP)
    main()
