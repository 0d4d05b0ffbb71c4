"""What must be masked in the output of a run that is gone: its stack's file is asked again."""

import os

from stackdsl.session import masking, stacks


def find_secrets(folder: str) -> tuple[str, ...]:
    """Return what must be masked in the output of a run that has no controller: what its stack's
    file says now.

    Raises:
        StackError: there are secrets, and the stack that knows them cannot be loaded.
    """
    try:
        with open(os.path.join(folder, masking.NOTE), encoding="utf-8") as note:
            file = note.read()
    except OSError:
        return ()
    stack = stacks.load(file)
    return (*stack.secrets, *masking.find_secrets(stack.plan()))
