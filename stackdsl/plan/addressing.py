"""A run's own loopback addresses: its block of 127.0.0.0/8 and each replica's place in it.

Laws: a place once given is kept from plan to plan; .0 and .255 are never given, nor 127.0.0.0/16.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from stackdsl.model import errors

_FIRST = 0x7F010000
_LAST = 0x7FFEFFFF
_LEAST_SIZE = 256

Block = tuple[int, int]


class Addresses(NamedTuple):
    """The block (first, last) and each name's offset in it."""

    block: Block
    slots: Mapping[str, int]

    def own(self, name: str) -> str:
        """Return the name's address on its machine's loopback."""
        return format_address(self.block[0] + self.slots[name])


def format_address(number: int) -> str:
    """Return a 32-bit number as dotted decimals."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def parse_address(text: str) -> int | None:
    """Return dotted decimals as a 32-bit number; None: it is no IPv4 address."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isdecimal() and int(part) < 256 for part in parts):
        return None
    number = 0
    for part in parts:
        number = number << 8 | int(part)
    return number


def hash_number(text: str) -> int:
    """Return a number that is the same for the same text everywhere."""
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=8).digest(), "big")


def assign(
    folder: str,
    names: Sequence[str],
    *,
    previous: Addresses | None,
    taken: Sequence[Block],
    busy: Iterable[str],
) -> Addresses:
    """Give every name an address of the run's own.

    ``folder`` is the run's: it tells runs of one name of several users or state folders apart.
    ``taken`` are blocks of other runs; ``busy`` are addresses on which others listen at a port of
    the stack. A previous block is kept (grown in place where it got too small) unless another run
    holds it.

    Raises:
        PlanError: no block of the size is free.
    """
    busy_numbers = {n for n in map(parse_address, busy) if n is not None and _FIRST <= n <= _LAST}
    size = _LEAST_SIZE
    while size < 2 * len(names):
        size *= 2
    if previous is not None and previous.block != (0, 0):
        kept = _keep_block(previous, len(names), size, taken)
        if kept is not None:
            return _fill(kept, names, busy_numbers)
    block = _choose_block(folder, size, taken, busy_numbers)
    if block is None:
        raise errors.PlanError(
            "plan.no-block",
            f'cannot give the run in "{folder}" its addresses: no {size} free ones in a row in'
            " 127.1.0.0-127.254.255.255",
            why=f"{len(taken)} other runs hold blocks there",
            do="stop runs that are no longer needed (stackdsl ps, stackdsl clean)",
        )
    slots = previous.slots if previous is not None else {}
    return _fill(Addresses(block=block, slots=slots), names, busy_numbers)


def _keep_block(
    previous: Addresses, count: int, size: int, taken: Sequence[Block]
) -> Addresses | None:
    """Return the previous block, or the larger one around it if its places no longer suffice."""
    first, last = previous.block
    if overlaps(first, last, taken):
        return None
    if count <= (last - first + 1) // 256 * 254:
        return previous
    grown = first // size * size
    if grown < _FIRST or grown + size - 1 > _LAST or overlaps(grown, grown + size - 1, taken):
        return None
    moved = {name: slot + first - grown for name, slot in previous.slots.items()}
    return Addresses(block=(grown, grown + size - 1), slots=moved)


def _choose_block(
    folder: str, size: int, taken: Sequence[Block], busy: Collection[int]
) -> Block | None:
    """Return the first free block from the place that the run's name hashes to."""
    lowest = -(-_FIRST // size)
    count = (_LAST + 1) // size - lowest
    start = hash_number(folder) % count if count > 0 else 0
    for turn in range(count):
        first = (lowest + (start + turn) % count) * size
        last = first + size - 1
        if not overlaps(first, last, taken) and not any(first <= n <= last for n in busy):
            return first, last
    return None


def overlaps(first: int, last: int, taken: Sequence[Block]) -> bool:
    """Tell whether a range of addresses meets one that is taken."""
    return any(first <= other_last and other_first <= last for other_first, other_last in taken)


def _fill(start: Addresses, names: Sequence[str], busy: Collection[int]) -> Addresses:
    """Return every name's slot in a block; those on which others listen come last."""
    first, last = start.block
    usable = [slot for slot in range(last - first + 1) if slot & 255 not in {0, 255}]
    slots = share_slots(start.slots, names, usable, {number - first for number in busy})
    return Addresses(block=start.block, slots=slots)


def share_slots(
    before: Mapping[str, int],
    names: Sequence[str],
    usable: Sequence[int],
    avoided: Collection[int] = (),
) -> dict[str, int]:
    """Return every name's slot: the one it had, else the lowest that was not in use before.

    Slots of names that are gone rest for one plan, so that nobody is taken for its forerunner.
    """
    wanted, allowed = set(names), set(usable)
    slots = {name: slot for name, slot in before.items() if name in wanted and slot in allowed}
    used = set(slots.values())
    resting = {slot for name, slot in before.items() if name not in wanted} - used
    numbers = [slot for slot in usable if slot not in used]
    numbers.sort(key=lambda slot: (slot in avoided, slot in resting, slot))
    slots.update(zip(sorted(wanted - slots.keys()), numbers, strict=False))
    return dict(sorted(slots.items()))
