"""From saving an edit to serving it: a watched native service against `docker build` and a new
container of the same small program."""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench import watching
from bench.figures import Figure
from tests import engines

ROUNDS = 5
PORT = 7200
DOCKERFILE = f"""
FROM {engines.PYTHON}
WORKDIR /app
COPY program.py .
ENV HOST=0.0.0.0 PORT={PORT} PYTHONUNBUFFERED=1
CMD ["python3", "program.py"]
"""


def main() -> list[Figure]:
    """Measure edits of each in turn."""
    native, built = [], []
    with engines.running() as engine:
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        try:
            (folder / "stack.py").write_text(watching.STACK)
            watching.write(folder, "0")
            (folder / "Dockerfile").write_text(DOCKERFILE)
            with watching.serving(folder) as address:
                rebuild(engine, folder)
                for _ in range(ROUNDS):
                    native.append(watching.change(folder, *address))
                    built.append(rebuild(engine, folder))
        finally:
            shutil.rmtree(folder)
            remove(engine)
    slow, quick = statistics.median(built), statistics.median(native)
    return [
        Figure(
            name="edit to serving, docker build and run to native",
            ratio=slow / quick,
            bound=10,
            is_at_least=True,
            detail=f"{slow * 1000:.0f} ms to {quick * 1000:.0f} ms",
        )
    ]


def rebuild(engine: engines.Engine, folder: Path) -> float:
    """Save an edit, build the image, replace the container; return the seconds to its answer."""
    version = str(time.time_ns())
    begin = time.monotonic()
    watching.write(folder, version)
    for said in engine.api.build(path=str(folder), tag="bench:edit", rm=True, decode=True):
        if "error" in said:
            raise RuntimeError(f"cannot bench: {said['error']}")
    remove(engine)
    config = engine.api.create_host_config(port_bindings={PORT: ("127.88.0.2", PORT)}, init=True)
    made = engine.api.create_container(
        "bench:edit", name="bench-edit", ports=[PORT], host_config=config
    )
    engine.api.start(made["Id"])
    watching.wait_for(version.encode(), "127.88.0.2", PORT)
    return time.monotonic() - begin


def remove(engine: engines.Engine) -> None:
    """Remove the container of the last edit."""
    for made in engine.api.containers(all=True, filters={"name": "bench-edit"}):
        engine.api.remove_container(made["Id"], force=True)


if __name__ == "__main__":
    from bench import figures as table

    for row in main():
        table.print_row(row)
