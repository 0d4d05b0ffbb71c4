"""What an image is built from: whether it is there, and one fingerprint of all that goes into it.

Laws: the fingerprint depends on names, modes and content alone, never on times, as the engine's own
cache does; what .dockerignore leaves out does not count. Source: dockerfile(5), ".dockerignore".
"""

import os
import stat
from collections.abc import Iterator, Sequence

from stackdsl.model import specs


def find_fault(build: specs.Build) -> str:
    """Return why nothing can be built from it, "" if nothing stands against it."""
    if not os.path.isdir(build.context):
        return f'its context "{build.context}" is not a folder'
    dockerfile = path_of_dockerfile(build)
    if os.path.isfile(dockerfile):
        return ""
    near = _find_near(build.context)
    hint = f"; there is {near}" if near else ""
    return f'its Dockerfile "{dockerfile}" is not there{hint}'


def path_of_dockerfile(build: specs.Build) -> str:
    """Return the absolute path of its Dockerfile."""
    return os.path.join(build.context, build.dockerfile or "Dockerfile")


def _find_near(context: str) -> str:
    names = sorted(name for name in os.listdir(context) if "dockerfile" in name.lower())
    return " and ".join(f'"{name}"' for name in names[:3])


def take_fingerprint(context: str, dockerfiles: Sequence[str]) -> str:
    """Return the fingerprint of a context with all Dockerfiles that are built from it. Blocks: it
    reads every file.

    Raises:
        OSError: something in it cannot be read.
    """
    import hashlib  # only stacks that build pay for it

    whole = hashlib.sha256()
    paths = {
        *_walk(context, dockerfiles),
        *(os.path.relpath(each, context) for each in dockerfiles),
    }
    for path in sorted(paths):
        full = os.path.join(context, path)
        mode = os.lstat(full).st_mode
        whole.update(f"{path}\0{mode:o}\0".encode(errors="surrogateescape"))
        if stat.S_ISLNK(mode):
            whole.update(os.readlink(full).encode(errors="surrogateescape"))
        elif stat.S_ISREG(mode):
            with open(full, "rb") as file:
                one = hashlib.file_digest(file, "sha256")
            whole.update(one.digest())
    return whole.hexdigest()[:32]


def _walk(context: str, dockerfiles: Sequence[str]) -> Iterator[str]:
    """Yield what the engine is sent of a context, relative to it."""
    # by its submodule: the packages are loaded by whoever works with the engine
    from docker.utils import build

    patterns = _read_ignored(context)
    patterns += [f"!{os.path.relpath(each, context)}" for each in dockerfiles]
    yield from build.exclude_paths(context, patterns)


def _read_ignored(context: str) -> list[str]:
    """Return the patterns of .dockerignore as the SDK reads them when it sends the context."""
    try:
        with open(os.path.join(context, ".dockerignore"), encoding="utf-8") as file:
            rows = [row.strip() for row in file.read().splitlines()]
    except FileNotFoundError:
        return []
    return [row for row in rows if row and not row.startswith("#")]
