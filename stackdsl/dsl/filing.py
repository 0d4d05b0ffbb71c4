"""Filing: the files that a service wants in its folder, templates read and judged at load."""

import os
from collections.abc import Mapping
from typing import Protocol

from stackdsl.dsl import collecting, conversions, faults, values
from stackdsl.model import errors, services, substitution


class Asking(Protocol):
    """The reading of the declaration that wants files."""

    entry: collecting.Entry
    found: faults.Faults
    where: services.Where
    folder: str

    def refuse(self, keyword: str, refusal: faults.Refusal, value: object = None) -> None:
        """Note a fault."""


def read_files(asking: Asking) -> tuple[services.FileEntry, ...]:
    """Return the files in the author's order."""
    given = asking.entry.keywords.get("files")
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        hint = 'give {"conf/app.toml": template("app.toml.tmpl")}'
        asking.refuse("files", faults.Refusal(f"{faults.shown(given)} is not a mapping", hint))
        return ()
    found = []
    for path, source in given.items():
        try:
            found.append(_read_file(asking, _inside(path), source))
        except faults.Refusal as refusal:
            asking.refuse("files", refusal, source)
        except errors.StackError as error:
            asking.found.take(asking.where, error)
    return tuple(found)


def _inside(path: object) -> str:
    found = os.path.normpath(conversions.path(path))
    if found.startswith(("/", "~", "..")) or found == ".":
        raise faults.Refusal(
            f"{faults.shown(path)} does not lie in me.dir",
            "give a path relative to me.dir, and read it there from me.dir",
        )
    return found


def _read_file(asking: Asking, path: str, source: object) -> services.FileEntry:
    if isinstance(source, str):
        return services.FileEntry(path=path, text=source, where=str(asking.where))
    if not isinstance(source, values.Source):
        raise faults.Refusal(
            f'"{path}" is {faults.shown(source)}', 'give template("file"), copy("file") or a text'
        )
    file = conversions.absolute(source.values["path"], asking.folder)
    if source.form == "copy":
        if not os.path.exists(file):
            raise faults.Refusal(f'copy of "{file}": there is no such file', "correct the path")
        return services.FileEntry(path=path, copy=file, where=str(asking.where))
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            text = opened.read()
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8"
        raise faults.Refusal(
            f'template "{file}": {reason}', "correct the path, which starts at the stack's folder"
        ) from None
    shown = faults.display(file)
    text = substitution.expand_variables(text, os.environ, shown)
    substitution.find_references(text, shown)
    return services.FileEntry(path=path, template=text, where=shown)
