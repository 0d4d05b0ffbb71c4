"""Importing: an author's files executed afresh for each load, apart from those of other loads.

While a stack is loaded and while its bodies are called, its folder stands first in `sys.path`, and
`sys.modules` holds this load's own copies of the modules below that folder. Afterwards everything
is as before. One load or body call goes on at a time.
"""

import contextlib
import itertools
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from importlib import machinery
from importlib.util import cache_from_source

_lock = threading.RLock()
_numbers = itertools.count(1)
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class Context:
    """One load's imports: the folder and the modules that came from below it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.modules: dict[str, types.ModuleType] = {}
        self._own = _importable(folder) if folder else frozenset()
        self._hook = _finder_below(folder)
        self._depth = 0
        self._count = 0

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Put this load's modules and folder in place; nests."""
        with _lock:
            if self._depth or not self.folder:
                yield
                return
            self._depth = 1
            hidden = self._swap_in()
            try:
                yield
            finally:
                self._swap_out(hidden)
                self._depth = 0

    def execute(self, file: str, source: bytes) -> types.ModuleType:
        """Execute what ``file`` holds as a module with a name of its own, and return it.

        Raises:
            SyntaxError, or whatever the author's code raises.
        """
        stem = os.path.basename(file).partition(".")[0]
        module = types.ModuleType(f"_stack_{next(_numbers)}_{stem}")
        module.__file__ = file
        with self.active():
            self.modules[module.__name__] = sys.modules[module.__name__] = module
            code = compile(source, file, "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102 - a stack is a program of its author's
        return module

    def _swap_in(self) -> dict[str, types.ModuleType]:
        hidden = {}
        if any(name in sys.modules for name in self._own):
            for name in list(sys.modules):
                if name.partition(".")[0] in self._own:
                    hidden[name] = sys.modules.pop(name)
        sys.modules.update(self.modules)
        self._count = len(sys.modules)
        sys.path.insert(0, self.folder)
        sys.path_hooks.insert(0, self._hook)
        sys.path_importer_cache.pop(self.folder, None)
        return hidden

    def _swap_out(self, hidden: dict[str, types.ModuleType]) -> None:
        if len(sys.modules) != self._count:
            for name, module in list(sys.modules.items()):
                if name.partition(".")[0] in self._own and self._is_below(module):
                    self.modules[name] = module
            below = self.folder + os.sep
            for path in [p for p in sys.path_importer_cache if p.startswith(below)]:
                del sys.path_importer_cache[path]
        for name in self.modules:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)
        if self.folder in sys.path:
            sys.path.remove(self.folder)
        if self._hook in sys.path_hooks:
            sys.path_hooks.remove(self._hook)
        sys.path_importer_cache.pop(self.folder, None)

    def _is_below(self, module: types.ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        paths = [file] if file else list(getattr(module, "__path__", ()))
        return any(_is_path_below(path, self.folder) for path in paths)


class FreshLoader(machinery.SourceFileLoader):
    """Loads source as it is now: a bytecode cache is trusted only if it is younger than the source.

    Python compares whole seconds and sizes (PEP 552), so that a file changed twice within a second
    could run as it was.
    """

    def get_code(self, fullname: str) -> types.CodeType | None:
        """Return the module's code."""
        path = self.get_filename(fullname)
        try:
            cached = os.stat(cache_from_source(path)).st_mtime_ns
            is_fresh = cached > os.stat(path).st_mtime_ns + 20_000_000
        except OSError:
            is_fresh = True  # there is no cache yet
        if is_fresh:
            return super().get_code(fullname)
        return self.source_to_code(self.get_data(path), path)


def _finder_below(folder: str) -> Callable[[str], machinery.FileFinder]:
    """Return a path hook (PEP 302) that serves ``folder`` and what lies below it."""

    def find(path: str) -> machinery.FileFinder:
        if path != folder and not _is_path_below(path, folder):
            raise ImportError
        return machinery.FileFinder(
            path,
            (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
            (FreshLoader, machinery.SOURCE_SUFFIXES),
            (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
        )

    return find


def _is_path_below(path: str, folder: str) -> bool:
    return path.startswith(folder + os.sep) and not any(part in path for part in _LIBRARIES)


def _importable(folder: str) -> frozenset[str]:
    """Return the top-level names that an import finds in ``folder`` before anywhere else, without
    those that must stay one: our own, the standard library's, and the interpreter's."""
    names = set()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix == ".py" or (not suffix and _is_package(entry)):
                names.add(stem)
    names -= {"stackdsl", "__main__", "__init__", "conftest"}
    return frozenset(names - sys.stdlib_module_names)


def _is_package(entry: os.DirEntry[str]) -> bool:
    """Tell whether an import of this folder's name leads here and not to an installed package."""
    if not entry.name.isidentifier() or not entry.is_dir():
        return False
    if os.path.exists(os.path.join(entry.path, "__init__.py")):
        return True
    standing = sys.modules.get(entry.name)
    return standing is None or getattr(standing, "__file__", None) is None
