"""The bundle: what a node needs of us and of our dependencies, as one zip that goes to a machine
once a version.

Laws: the same files make the same bytes, so that its hash is its name; nothing compiled is in it.
"""

import contextlib
import hashlib
import importlib.util
import os
import threading
import zipfile
from collections.abc import Iterator

from stackdsl.model.data import dataclass

# Ours; what else there is of the package serves people and controllers.
_OWN = ("__init__.py", "ports.py", "model", "node", "wire")
# What talks to engines and to the kernel there, pure Python all of it.
_OTHERS = (
    "docker", "requests", "urllib3", "certifi", "idna", "charset_normalizer", "pyroute2",
)  # fmt: skip
_LEFT_OUT = ("__pycache__", "tests")
_SUFFIXES = (".py", ".pem", ".json", ".txt")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_KEPT = 4

_turn = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A zip and its name: the hash of its bytes."""

    digest: str
    data: bytes


def digest_of(data: bytes) -> str:
    """Return the name of a bundle with these bytes; `bootprogram` makes sure of it there."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def find() -> Bundle:
    """Return the bundle of this version, made at the first call after a change; blocks for a fifth
    of a second then. Threads that ask at once make it once."""
    with _turn:
        return _find()


def _find() -> Bundle:
    files = sorted(_list_files())
    folder = os.path.join(cache_folder(), "bundles")
    stamp = _stamp(files)
    path = os.path.join(folder, f"{stamp}.zip")
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except OSError:
        data = _make(files)
        with contextlib.suppress(OSError):  # it is made anew the next time
            _keep(folder, path, data)
    return Bundle(digest=digest_of(data), data=data)


def cache_folder() -> str:
    """Return the folder for what can be made again. Source: XDG Base Directory Specification."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "stackdsl")


def _list_files() -> Iterator[tuple[str, str]]:
    """Yield (name in the bundle, path)."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for entry in _OWN:
        yield from _walk(f"stackdsl/{entry}", os.path.join(own, entry))
    for package in _OTHERS:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            yield from _walk(package, os.path.dirname(spec.origin))


def _walk(name: str, path: str) -> Iterator[tuple[str, str]]:
    if not os.path.isdir(path):
        yield name, path
        return
    for entry in os.scandir(path):
        if entry.name in _LEFT_OUT:
            continue
        if entry.is_dir():
            yield from _walk(f"{name}/{entry.name}", entry.path)
        elif entry.name.endswith(_SUFFIXES):
            yield f"{name}/{entry.name}", entry.path


def _stamp(files: list[tuple[str, str]]) -> str:
    """Return what tells two states of the files apart without reading them."""
    seen = hashlib.blake2b(digest_size=16)
    for name, path in files:
        status = os.stat(path)
        seen.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return seen.hexdigest()


def _make(files: list[tuple[str, str]]) -> bytes:
    import io

    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, path in files:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with open(path, "rb") as stream:
                bundle.writestr(entry, stream.read())
    return made.getvalue()


def _keep(folder: str, path: str, data: bytes) -> None:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    part = f"{path}.{os.getpid()}"
    with open(part, "wb") as stream:
        stream.write(data)
    os.replace(part, path)
    others = sorted(
        (entry for entry in os.scandir(folder) if entry.name.endswith(".zip")),
        key=lambda entry: entry.stat().st_mtime,
    )
    for entry in others[:-_KEPT]:
        os.unlink(entry.path)
