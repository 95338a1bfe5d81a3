"""Dumps: one numbered file for the IR after every pass.

    00-input.mlir         00-input.safetensors
    01-canonicalize.mlir  01-canonicalize.safetensors
    02-constant-fold.mlir …

Each text is read back with the constants beside it; a file of constants that did not change is
the same file again, under another name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from ..ir import ConstantData, Function
from ..ir.resource_file import constants_bytes
from ..ir.resources import resources_of
from .manager import Observer, Record


class DumpFolder:
    """An observer of passes that writes numbered files into a folder, which it makes."""

    def __init__(self, folder: Path) -> None:
        """`OSError` if the folder cannot be made."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._number = 0
        self._constants: Mapping[str, ConstantData] = {}
        self._written: Path | None = None  # the file that holds them

    def __call__(self, record: Record, fn: Function) -> None:
        self.function(record.name, fn)

    def function(self, name: str, fn: Function) -> None:
        """The next files: a function's text, and its constants if there are any."""
        path = self.text(f"{name}.mlir", str(fn)).with_suffix(".safetensors")
        constants = resources_of(fn)
        if not constants:
            return
        if self._written is not None and _alike(constants, self._constants):
            _link(self._written, path)
        else:
            path.write_bytes(constants_bytes(constants))
        self._constants, self._written = constants, path

    def text(self, name: str, text: str) -> Path:
        """The next file: `NN-name`."""
        path = self.folder / f"{self._number:02d}-{name}"
        path.write_text(text, encoding="utf-8")
        self._number += 1
        return path


def _alike(some: Mapping[str, ConstantData], others: Mapping[str, ConstantData]) -> bool:
    keys, other_keys = (
        {name: (data.type, data.key()) for name, data in constants.items()}
        for constants in (some, others)
    )
    return keys == other_keys


def _link(existing: Path, path: Path) -> None:
    try:
        os.link(existing, path)
    except OSError:  # a file system without links
        shutil.copyfile(existing, path)


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
