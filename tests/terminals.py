"""A real terminal for tests: tmux, on a server of its own, that says what a person would see."""

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import eventually

SHELL = "PS1='$ ' exec bash --norc --noprofile"


class Terminal:
    """One terminal of a tmux server; ``folder`` is where its shell stands."""

    def __init__(self, socket: Path, folder: Path, columns: int, rows: int) -> None:
        self._socket = socket
        self._ask(
            "new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(folder), SHELL
        )  # fmt: skip

    def _ask(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments],
            capture_output=True, text=True, check=True, timeout=20,
        ).stdout  # fmt: skip

    def run(self, *argv: object, env: str = "") -> None:
        """Type a command; "exit N" is printed when it has ended."""
        words = shlex.join(map(str, argv))
        self.type(f"{env} {words}; echo exit $?")
        self.press("Enter")

    def type(self, text: str) -> None:
        """Type a text."""
        self._ask("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys: "C-c", "Enter", "q"."""
        self._ask("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal larger or smaller."""
        self._ask("resize-window", "-x", str(columns), "-y", str(rows))

    def rows(self) -> list[str]:
        """Return the rows that are seen now."""
        return self._ask("capture-pane", "-p").splitlines()

    def text(self) -> str:
        """Return what is seen now."""
        return "\n".join(self.rows())

    def painted(self) -> str:
        """Return what is seen now with its colours."""
        return self._ask("capture-pane", "-p", "-e")

    def scrolled(self) -> str:
        """Return what is seen now and what has scrolled by."""
        return self._ask("capture-pane", "-p", "-S", "-")

    def is_alternate(self) -> bool:
        """Whether the other screen is shown, and the cursor hidden."""
        return self._ask("display", "-p", "#{alternate_on}#{cursor_flag}").strip() == "10"

    def await_text(self, *wanted: str, within_s: float = 20) -> list[str]:
        """Wait until all of some texts are seen; return the rows."""
        return eventually(lambda: self._find(wanted), within_s=within_s)

    def _find(self, wanted: Sequence[str]) -> list[str]:
        text = self.text()
        missing = [one for one in wanted if one not in text]
        assert not missing, f"no {missing} in\n{text}"
        return text.splitlines()

    def close(self) -> None:
        """End the server and all that runs on it."""
        self._ask("kill-server")
        eventually(lambda: not _is_served(self._socket))


def _is_served(socket: Path) -> bool:
    done = subprocess.run(
        ["tmux", "-S", str(socket), "ls"], capture_output=True, check=False, timeout=20
    )
    return done.returncode == 0


@contextmanager
def opening(folder: Path, home: Path) -> Iterator[Callable[..., Terminal]]:
    """Yield what opens terminals: ``open_terminal(columns, rows)``; all are closed at the end."""
    opened: list[Terminal] = []

    def open_terminal(columns: int = 80, rows: int = 24) -> Terminal:
        os.environ.pop("TMUX", None)
        terminal = Terminal(home / f"tmux-{len(opened)}", folder, columns, rows)
        opened.append(terminal)
        terminal.await_text("$")
        return terminal

    try:
        yield open_terminal
    finally:
        for terminal in opened:
            terminal.close()
