"""Other starters of programs, given the same fleet: honcho, circus, mprocs."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.fleets import Prepare, program

BIN = Path(sys.executable).parent
NPM = BIN.parent / "peers"  # goes with .venv


def honcho(folder: Path, count: int) -> Sequence[str]:
    """Prepare honcho: a Procfile."""
    rows = [f"s{n}: {program(folder, n)}\n" for n in range(count)]
    (folder / "Procfile").write_text("".join(rows))
    return [str(BIN / "honcho"), "start"]


def circus(folder: Path, count: int) -> Sequence[str]:
    """Prepare circus: a watcher for each program."""
    rows = [f"[circus]\nendpoint = ipc://{folder}/e\npubsub_endpoint = ipc://{folder}/p\n"]
    rows += [f'[watcher:s{n}]\ncmd = sh -c "{program(folder, n)}"\n' for n in range(count)]
    (folder / "circus.ini").write_text("\n".join(rows).replace("$$", "$$$$"))
    return [str(BIN / "circusd"), "--log-level", "error", "circus.ini"]


def mprocs(folder: Path, count: int) -> Sequence[str]:
    """Prepare mprocs: it wants a terminal, which script(1) gives it."""
    rows = [f'  s{n}:\n    shell: "{program(folder, n)}"\n' for n in range(count)]
    (folder / "mprocs.yaml").write_text("procs:\n" + "".join(rows))
    return ["script", "-qefc", str(NPM / "node_modules" / ".bin" / "mprocs"), "/dev/null"]


def available() -> Mapping[str, Prepare]:
    """Return the peers that are there; mprocs is fetched where npm is."""
    found: dict[str, Prepare] = {"honcho": honcho, "circus": circus}
    if shutil.which("script") and has_mprocs():
        found["mprocs"] = mprocs
    return found


def has_mprocs() -> bool:
    """Return whether mprocs is installed, after trying to."""
    program = NPM / "node_modules" / ".bin" / "mprocs"
    npm = shutil.which("npm")
    if not program.exists() and npm:
        command = [npm, "install", "--prefix", str(NPM), "--no-audit", "--no-fund", "mprocs"]
        subprocess.run(command, capture_output=True, timeout=300, check=False)
    return program.exists()
