"""The notebooks as they are kept: valid, and without anything that a run of them wrote."""

import json
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[3] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_is_valid(file: Path) -> None:
    nbformat.validate(json.loads(file.read_text()))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_is_kept_without_outputs(file: Path) -> None:
    notebook = json.loads(file.read_text())
    ran = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]

    assert [cell["outputs"] for cell in ran] == [[]] * len(ran)
    assert [cell["execution_count"] for cell in ran] == [None] * len(ran)
    assert "widgets" not in notebook["metadata"]
