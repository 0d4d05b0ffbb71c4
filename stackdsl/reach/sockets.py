"""TCP sockets whose answers do not wait: sshd's small packets and the kernel's delayed
acknowledgements would hold each exchange up by 40 ms."""

import asyncio
import socket


class QuickSocket(socket.socket):
    """A socket that acknowledges at once.

    The kernel takes the option back by itself, so it is set with every read. Source: tcp(7),
    TCP_QUICKACK.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """See `socket.socket.recv`."""
        data = super().recv(size, flags)
        if data:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


async def connect(host: str, port: int, family: int) -> QuickSocket:
    """Connect to the first address of a host that answers; whoever calls sets the deadline.

    Raises:
        OSError: no address answers (the last one's error), or the name is unknown.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    failure: OSError = OSError(f'no address is known for "{host}"')
    for kind, _, protocol, _, address in found:
        stream = QuickSocket(kind, socket.SOCK_STREAM, protocol)
        stream.setblocking(False)
        try:
            await loop.sock_connect(stream, address)
        except OSError as error:
            stream.close()
            failure = error
        except BaseException:
            stream.close()
            raise
        else:
            return stream
    raise failure
