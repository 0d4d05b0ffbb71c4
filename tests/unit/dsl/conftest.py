"""What tests of the language share: a folder to write stacks into, and loading them."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from stackdsl.dsl import loading
from stackdsl.model import errors, stacks

HEAD = "from stackdsl import *\n"

Load = Callable[..., stacks.StackModel]
Fail = Callable[..., list[errors.StackError]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of the stack's folder; a stack's own begins with the import of the words."""

    def write_file(text: str, name: str = "shop.py", head: str = HEAD) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(head + textwrap.dedent(text))
        return file

    return write_file


@pytest.fixture
def load(write: Callable[..., Path]) -> Load:
    """Load a stack of its text; line 2 is the text's first."""

    def load_text(text: str) -> stacks.StackModel:
        return loading.load(write(text))

    return load_text


@pytest.fixture
def fail(write: Callable[..., Path]) -> Fail:
    """Return every error of a stack that is wrong."""

    def load_text(text: str) -> list[errors.StackError]:
        with pytest.raises(errors.StackError) as caught:
            loading.load(write(text))
        return list(errors.flatten(caught.value))

    return load_text
