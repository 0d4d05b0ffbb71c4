"""The notebooks, executed from top to bottom in fresh kernels; what a restarted kernel leaves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.waiting import eventually

TOP = Path(__file__).parents[2]
NOTEBOOKS = sorted((TOP / "notebooks").glob("*.ipynb"))
RESTART = Path(__file__).parent / "programs" / "restart_kernel.py"
# What the cells of each notebook are to show, among other things.
SHOWN = {
    "tour": [
        ("stack", "seed [task]"),
        ("start", "● demo  ready"),
        ("logs", "painting"),
        ("exec", "API_URL=http://127."),
        ("disturb", "api is stopped and the run is degraded"),
        ("panel", "painter-1"),
        ("stop", "■ demo  stopped"),
        ("own-run", "I was told that web is at http://127."),
    ]
}


@pytest.fixture(autouse=True)
def copies(tmp_path: Path, state_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep kernels away from the user's settings; return where notebooks and stacks are copied."""
    for part in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        monkeypatch.setenv(f"JUPYTER_{part}", str(state_home / "run" / part))
    monkeypatch.setenv("IPYTHONDIR", str(state_home / "run" / "ipython"))
    for folder in ("notebooks", "stacks"):
        shutil.copytree(TOP / folder, tmp_path / folder)
    return tmp_path / "notebooks"


def execute(file: Path) -> dict[str, str]:
    """Run all cells; return what was shown below each as text, by the cell's id."""
    # nbclient's own command, in a process of its own: its sockets are not ours to close
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", "--timeout=60", "--inplace", file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(file, nbformat.NO_CONVERT)  # type: ignore[no-untyped-call] # no types
    return {cell.id: say(cell) for cell in notebook.cells if cell.cell_type == "code"}


def say(cell: Any) -> str:
    texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs]
    return "".join(texts)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_runs_from_top_to_bottom_and_shows_what_it_says(
    copies: Path, file: Path
) -> None:
    shown = execute(copies / file.name)

    for cell, text in SHOWN[file.stem]:
        assert text in shown[cell]


@pytest.mark.parametrize("way", ["shutdown", "kill"])
def test_a_restarted_kernel_ends_its_runs(copies: Path, way: str) -> None:
    code = (
        "import stackdsl\n"
        "run = await stackdsl.load('../stacks/demo.py').start()\n"
        "panel = stackdsl.control(run)\n"
        "_ = open('pids', 'w').write(' '.join(str(one.pid) for one in run.status().services))"
    )
    with subprocess.Popen(
        [sys.executable, RESTART, way, copies / "ipc", code],
        cwd=copies,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as restarting:
        assert restarting.stdout is not None
        assert restarting.stdout.readline() == "restarted\n"
        pids = [word for word in (copies / "pids").read_text().split() if word != "None"]

        assert len(pids) == 6
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), within_s=15)
        restarting.communicate("")
