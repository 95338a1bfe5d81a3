"""Dumps: one numbered file for the IR after every pass.

    00-input.mlir
    01-canonicalize.mlir
    02-constant-fold.mlir

Large constants stand in the texts by name; their data is not written.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

from ..ir import Function
from .manager import Observer, Record


class DumpFolder:
    """An observer of passes that writes numbered files into a folder, which it makes."""

    def __init__(self, folder: Path) -> None:
        """`OSError` if the folder cannot be made."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._number = 0

    def __call__(self, record: Record, fn: Function) -> None:
        self.write(f"{record.name}.mlir", str(fn))

    def write(self, name: str, text: str) -> None:
        """The next file: `NN-name`."""
        path = self.folder / f"{self._number:02d}-{name}"
        path.write_text(text, encoding="utf-8")
        self._number += 1


def new_folder(parent: Path, name: str) -> Path:
    """Make the folder `name` in another, or where it exists `name.1`, `name.2`, …"""
    parent.mkdir(parents=True, exist_ok=True)
    for number in count():
        folder = parent / (f"{name}.{number}" if number else name)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError


def both(first: Observer | None, second: Observer) -> Observer:
    """One observer that tells two."""

    def observe(record: Record, fn: Function) -> None:
        if first is not None:
            first(record, fn)
        second(record, fn)

    return observe
