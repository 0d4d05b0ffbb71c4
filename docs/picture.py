"""Draw the pictures of a real run: stacks/mixed.py in a terminal and as a graph, once it is ready.

python docs/picture.py        as root: it starts a Docker engine of its own, with images made here
"""

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.text import Text

TOP = Path(__file__).parents[1]
sys.path.insert(0, str(TOP))

from tests import engines  # noqa: E402  # found only from here on

STACKDSL = str(Path(sys.executable).with_name("stackdsl"))
DOOR = "http://127.0.0.1:8080/"
COLUMNS, ROWS = 104, 18
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
            if "mixed ready" in screen.rows[0] and not is_ready:
                is_ready, deadline = True, time.monotonic() + LINGER_S
                use()
    os.kill(pid, signal.SIGINT)
    while True:
        try:
            os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other side is closed
            break
    os.waitpid(pid, 0)
    return "\n".join(screen.rows)


def use() -> None:
    """Visit what runs, and draw it."""
    for _ in range(3):
        with urllib.request.urlopen(DOOR) as answer:
            answer.read()
    graph = [STACKDSL, "graph", "mixed", "--kind", "topology", "-o", "docs/mixed.svg"]
    subprocess.run(graph, check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    """Write the pictures."""
    with engines.running() as engine:
        engines.make_program_image(engine, "redis:local", "/usr/bin/redis-server")
        folders = ("var/log/nginx", "var/lib/nginx/body")
        engines.make_program_image(engine, "nginx:local", "/usr/sbin/nginx", *folders)
        os.environ |= {"DOCKER_HOST": engine.url}
        os.environ |= {"REDIS_IMAGE": "redis:local", "NGINX_IMAGE": "nginx:local"}
        shown = record([STACKDSL, "run", "stacks/mixed.py"])
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ stackdsl run stacks/mixed.py\n{shown.rstrip()}"))
    (TOP / "docs" / "run.svg").write_text(console.export_svg(title="stackdsl run"))


if __name__ == "__main__":
    os.chdir(TOP)
    main()
