"""A folder of files kept between runs, safe to share between processes.

A cache never makes a compilation fail: a file that cannot be read is not there, and a folder that
cannot be written is reported once and then done without.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import platformdirs

DEFAULT_CAPACITY = 512 * 1024 * 1024
# Machine code of CPUs; of cards; programs that are compiled but for that.
OBJECT, CUBIN, PROGRAM = SUFFIXES = (".object", ".cubin", ".program")

_LOG = logging.getLogger("mlir_lite")
_TEMPORARY_PREFIX = ".writing-"
_ABANDONED_SECONDS = 3600.0  # a temporary file this old was left by a process that died


class CacheFolder:
    """Files by name. Beyond `capacity` bytes those unused for longest go."""

    def __init__(self, path: Path, capacity: int = DEFAULT_CAPACITY) -> None:
        self.path = path
        self.capacity = capacity
        self._warned = False
        self._size: int | None = None  # bytes at most, as far as this process knows

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None; it counts as used from `touch` on."""
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return None

    def touch(self, name: str) -> None:
        """Note that a file was of use."""
        with contextlib.suppress(OSError):  # a folder to read only has no order of use
            os.utime(self.path / name)

    def write(self, name: str, data: bytes) -> None:
        """Keep a file; a folder that cannot be written is left as it is, with one warning."""
        if len(data) > self.capacity:
            return
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self.path / name, data)
            known = self._size  # to look at thousands of files takes longer than to write one
            self._size = None if known is None else known + len(data)
            if self._size is None or self._size > self.capacity:
                self._size = self._evict()
        except OSError as error:
            if not self._warned:
                self._warned = True
                _LOG.warning("compiled code is not cached in %s: %s", self.path, error)

    def files(self, suffix: str) -> Iterator[tuple[Path, os.stat_result]]:
        """The files with their status; one that another process deletes is skipped."""
        try:
            with os.scandir(self.path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            if entry.name.endswith(suffix):
                try:
                    yield Path(entry.path), entry.stat()
                except OSError:
                    continue

    def clear(self) -> int:
        """Delete all files of caches; returns how many there were."""
        paths = [path for suffix in SUFFIXES for path, _ in self.files(suffix)]
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def _write(self, path: Path, data: bytes) -> None:
        """Write beside the target and rename, so that a reader sees all of it or nothing."""
        handle, name = tempfile.mkstemp(dir=self.path, prefix=_TEMPORARY_PREFIX)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _evict(self) -> int:
        """Delete what has been unused for longest beyond the capacity; the bytes that stay."""
        entries = []
        for path, status in self.files(""):
            abandoned = time.time() - status.st_mtime > _ABANDONED_SECONDS
            if path.name.startswith(_TEMPORARY_PREFIX) and abandoned:
                path.unlink(missing_ok=True)
            elif path.suffix in SUFFIXES:
                entries.append((path, status))
        total = kept = 0
        for path, status in sorted(entries, key=lambda item: -item[1].st_mtime_ns):
            total += status.st_size
            if total > self.capacity:
                path.unlink(missing_ok=True)
            else:
                kept = total
        return kept


def default_cache_folder() -> CacheFolder:
    """The default folder, one object for all, so that a warning comes once."""
    return _cache_in(default_folder())


@cache
def _cache_in(folder: Path) -> CacheFolder:
    return CacheFolder(folder)


def default_folder() -> Path:
    """`MLIR_LITE_CACHE_DIR`, or `mlir-lite` in the user's cache folder."""
    chosen = os.environ.get("MLIR_LITE_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mlir-lite"))
