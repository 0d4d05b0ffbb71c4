"""The user-space uplink: a process that takes packets at one end and puts them out at the other.

One process a direction. Packets are stamped by the kernel when they arrive, so that what waits for
this process adds nothing to the delay. Sources: packet(7), socket(7), time stamps in
Documentation/networking/timestamping.rst.
"""

import collections
import contextlib
import os
import random
import socket
import struct
import time

from stackdsl.lab import namespaces, shapes

_ALL_PROTOCOLS = 3
_SOL_PACKET = 263
_VNET_HDR = 15
_VNET_HDR_BYTES = 10
_IGNORE_OUTGOING = 23
_TIMESTAMPNS = 35
_BUFFER_FORCE = 33
_BUFFER_BYTES = 64 << 20
_LARGEST = 80_000  # a super-packet with its headers
_AT_ONCE = 128
_LONGEST_SLEEP_S = 0.02
_NICEST = -20

_Waiting = collections.deque[tuple[float, bytes]]


def pipe(source: str, target: str, shape: shapes.Shape, seed: int) -> None:
    """Carry packets from one interface to another for good; both are of this namespace.

    Raises:
        OSError: an interface is not there, or we may not.
    """
    receiving = _open(source, is_receiving=True)
    sending = _open(target, is_receiving=False)
    _hurry()
    _carry(receiving, sending, shapes.Timetable(shape, random.Random(seed)))  # noqa: S311 - dice


def _open(interface: str, *, is_receiving: bool) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(_SOL_PACKET, _VNET_HDR, 1)  # checksums are left to the last one who sends
    if is_receiving:
        made.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        made.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        try:
            made.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, _BUFFER_BYTES)
        except PermissionError:  # in a user namespace
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    made.bind((interface, _ALL_PROTOCOLS if is_receiving else 0))
    return made


def _hurry() -> None:
    """Be punctual on a busy machine, as far as we may."""
    namespaces.set_timer_slack(1)
    with contextlib.suppress(OSError):  # in a user namespace
        os.setpriority(os.PRIO_PROCESS, 0, _NICEST)


def _carry(receiving: socket.socket, sending: socket.socket, timetable: shapes.Timetable) -> None:
    waiting: _Waiting = collections.deque()
    while True:
        if waiting:
            pause_s = waiting[0][0] - time.time()
            if pause_s > 0:
                time.sleep(min(pause_s, _LONGEST_SLEEP_S))
            flags = socket.MSG_DONTWAIT
        else:
            flags = socket.MsgFlag(0)
        for _ in range(_AT_ONCE):
            if not _take(receiving, flags, timetable, waiting):
                break
            flags = socket.MSG_DONTWAIT
        now_s = time.time()
        while waiting and waiting[0][0] <= now_s:
            with contextlib.suppress(OSError):  # the far end is down or full: a packet is lost
                sending.send(waiting.popleft()[1])


def _take(
    receiving: socket.socket, flags: socket.MsgFlag, timetable: shapes.Timetable, waiting: _Waiting
) -> bool:
    """Take one packet; whether there was one."""
    try:
        packet, notes, _, _ = receiving.recvmsg(_LARGEST, 64, flags)
    except BlockingIOError:
        return False
    except OSError:  # the near end was taken down: told once
        return True
    arrived_s = time.time()
    for level, kind, data in notes:
        if level == socket.SOL_SOCKET and kind == _TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            arrived_s = seconds + nanoseconds / 1e9
    leaves_s = timetable.departure(arrived_s, len(packet) - _VNET_HDR_BYTES)
    if leaves_s is not None:
        waiting.append((leaves_s, packet))
    return True
