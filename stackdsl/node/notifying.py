"""What a service says of itself over $NOTIFY_SOCKET. Source: sd_notify(3)."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

_PATH_LIMIT = 100


class Notices:
    """The socket that one replica speaks to; ``is_open``: at its path, for every user.

    ``is_ready`` after READY=1; ``status`` is its last STATUS; ``on_change`` is called after each
    message."""

    def __init__(self, path: str, *, is_abstract: bool = False, is_open: bool = False) -> None:
        self.is_ready = False
        self.is_stopping = False
        self.status = ""
        self.on_change: Callable[[], None] = lambda: None
        self._path = ""
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        if is_open:
            self._bind_open(path)
        elif is_abstract or len(os.fsencode(path)) > _PATH_LIMIT:
            # Longer paths do not fit sun_path (unix(7)); other users may not come to the path.
            self.address = f"@stackdsl/{os.urandom(8).hex()}"
            self._socket.bind("\0" + self.address[1:])
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self._socket.bind(path)
            self._path = self.address = path
        self._loop.add_reader(self._socket.fileno(), self._receive)

    def _bind_open(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        folder = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
        try:
            # longer paths than sun_path holds have short names too
            self._socket.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        finally:
            os.close(folder)
        os.chmod(path, 0o666)  # noqa: S103  # the user of a container is any number
        self._path = self.address = path

    def _receive(self) -> None:
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                break
            for line in data.decode(errors="replace").split("\n"):
                key, _, value = line.partition("=")
                if key == "READY" and value == "1":
                    self.is_ready = True
                elif key == "STOPPING" and value == "1":
                    self.is_stopping = True
                elif key == "STATUS":
                    self.status = value
        self.on_change()

    def close(self) -> None:
        """Give the socket and its path back."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        if self._path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
