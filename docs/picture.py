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
COLUMNS, ROWS = 96, 60
LINGER_S = 3.0
CODES = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Screen:
    """As much of a terminal as the live view uses: colours, cursor up, clearing below."""

    def __init__(self) -> None:
        self.rows: list[str] = [""]
        self.at = 0

    def feed(self, text: str) -> None:
        """Take output in."""
        for numbers, code, carriage, line, plain in CODES.findall(text):
            if plain:
                self.rows[self.at] += plain
            elif line:
                self.at += 1
                if self.at == len(self.rows):
                    self.rows.append("")
            elif code == "A":
                self.at -= int(numbers or 1)
                self.rows[self.at] = ""
            elif code in "JK" or carriage:
                self.clear(code)
            elif code == "m":
                self.rows[self.at] += f"\x1b[{numbers}m"

    def clear(self, code: str) -> None:
        """Forget the line that is begun (or overwritten), and what is below it."""
        if code == "J":
            del self.rows[self.at + 1 :]
        if code in ("J", "K"):
            self.rows[self.at] = ""


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
    screen, seen, deadline = Screen(), "", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            text = os.read(terminal, 65536).decode(errors="replace")
            screen.feed(text)
            if "is ready" in text and "is ready" not in seen:
                deadline = time.monotonic() + LINGER_S
            seen += text
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
