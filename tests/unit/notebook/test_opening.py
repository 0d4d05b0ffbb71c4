"""The way to the panel: what is wrong with the call is said, and ipywidgets is not loaded early."""

import subprocess
import sys

import pytest

import stackdsl
from stackdsl.model import errors


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_panel_without_ipywidgets_names_the_extra() -> None:
    told = run_python(
        "import sys; sys.modules['ipywidgets'] = None\n"
        "from stackdsl import StackError, control\n"
        "try: control(None)\n"
        "except StackError as error: print(error)"
    )

    assert "ipywidgets" in told
    assert 'pip install "stackdsl[notebook]"' in told
    assert "usage.no-widgets" in told


def test_the_words_of_stackdsl_do_not_load_ipywidgets() -> None:
    told = run_python(
        "import sys\nfrom stackdsl import *\nimport stackdsl.notebook\n"
        "print([name for name in ('ipywidgets', 'IPython', 'traitlets') if name in sys.modules])"
    )

    assert told == "[]\n"


def test_what_is_no_run_has_no_panel() -> None:
    with pytest.raises(errors.UsageError) as caught:
        stackdsl.control("shop")  # type: ignore[arg-type]  # the point of the test

    assert "await stack.start()" in caught.value.do
