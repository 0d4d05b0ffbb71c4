"""Masks: secrets never stand in what we print or store."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from stackdsl.model import errors

MASK = "***"
Mask = Callable[[str], str]


def make_mask(secrets: Sequence[str]) -> Mask:
    """Return a function that replaces every secret in a text; longest first."""
    ordered = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def mask(text: str) -> str:
        for secret in ordered:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    return mask


def mask_error(error: errors.StackError, mask: Mask) -> None:
    """Mask every text of an error, and of those that it stands for."""
    for one in {id(one): one for one in (error, *errors.flatten(error))}.values():
        one.what, one.where, one.why = mask(one.what), mask(one.where), mask(one.why)
        one.do, one.frames = mask(one.do), mask(one.frames)
        one.lines = tuple(map(mask, one.lines))
        one.args = (one.what,)


@contextlib.contextmanager
def masked_errors(secrets: Sequence[str]) -> Iterator[None]:
    """Mask secrets in the StackErrors that leave the block."""
    try:
        yield
    except errors.StackError as error:
        if secrets:
            mask_error(error, make_mask(secrets))
        raise
