"""Object code kept on disk between runs.

An entry is found by the SHA-256 of all that decides the object: LLVM text, triple, cpu, features,
LLVM's version and this file's format. It also stores these, text included, so that a hit is proved
equal and a miss can be explained. A cache never makes a compilation fail: an unreadable entry is a
miss, and a folder that cannot be written is reported once and then done without.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import os
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from .machine import Machine, llvm_version

DEFAULT_CAPACITY = 512 * 1024 * 1024

_LOG = logging.getLogger("mlir_lite")
_MAGIC = b"mlir-lite object\n"
_FORMAT = "1"
_SUFFIX = ".object"
_TEMPORARY_PREFIX = ".writing-"
_ABANDONED_SECONDS = 3600.0  # a temporary file this old was left by a process that died


@dataclass(frozen=True)
class KeyParts:
    """Everything that decides an object; two equal ones give the same object."""

    triple: str
    cpu: str
    features: str
    llvm: str
    format: str
    text: str  # SHA-256 of the LLVM text

    @classmethod
    def of(cls, text: str, machine: Machine) -> KeyParts:
        """The parts of a key for `text` compiled for `machine` by the LLVM in this process."""
        return cls(
            triple=machine.triple,
            cpu=machine.cpu,
            features=machine.features,
            llvm=llvm_version(),
            format=_FORMAT,
            text=hashlib.sha256(text.encode()).hexdigest(),
        )

    def key(self) -> str:
        """The entry's name."""
        return hashlib.sha256(json.dumps(vars(self), sort_keys=True).encode()).hexdigest()

    def differing(self, other: KeyParts) -> tuple[str, ...]:
        """The names of the parts in which two keys differ."""
        mine, theirs = vars(self), vars(other)
        return tuple(name for name in mine if mine[name] != theirs[name])


@dataclass(frozen=True)
class CacheEntry:
    """One entry as listed: its key, size in bytes on disk, and time of last use (epoch seconds)."""

    key: str
    size: int
    last_used: float
    parts: KeyParts


@dataclass(frozen=True)
class Explanation:
    """Why a text hits or misses: the nearest entry and the parts of the key that differ from it."""

    hit: bool
    nearest: CacheEntry | None
    differing: tuple[str, ...]
    detail: str

    def __str__(self) -> str:
        return self.detail


class ObjectCache:
    """A folder of compiled objects, safe to share between processes.

    `folder` defaults to `MLIR_LITE_CACHE_DIR`, then to the user's cache folder. Beyond `capacity`
    bytes the entries unused for longest go.
    """

    def __init__(self, folder: Path | None = None, *, capacity: int = DEFAULT_CAPACITY) -> None:
        self.folder = folder if folder is not None else default_folder()
        self.capacity = capacity
        self._warned = False

    def get(self, text: str, machine: Machine) -> bytes | None:
        """The object of `text`, or None."""
        parts = KeyParts.of(text, machine)
        path = self._path(parts.key())
        stored = _read(path)
        if stored is None or stored.parts != parts or stored.text != text:
            return None
        with contextlib.suppress(OSError):  # a folder to read only has no order of use
            os.utime(path)
        return stored.code

    def put(self, text: str, machine: Machine, code: bytes) -> None:
        """Store an object; a cache that cannot be written is left as it is, with one warning."""
        parts = KeyParts.of(text, machine)
        data = _encode(_Stored(parts, text, code))
        if len(data) > self.capacity:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._path(parts.key()), data)
            self._evict()
        except OSError as error:
            self._warn(error)

    def list(self) -> tuple[CacheEntry, ...]:
        """The readable entries, the most recently used first."""
        entries = [entry for entry, _ in self._entries()]
        return tuple(sorted(entries, key=lambda entry: (-entry.last_used, entry.key)))

    def clear(self) -> int:
        """Delete all entries; returns how many there were."""
        paths = [path for path, _ in self._files(_SUFFIX)]
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def explain(self, text: str, machine: Machine) -> Explanation:
        """Which part of the key differs from the entry that is nearest to this text.

        Nearest is the entry with the fewest differing parts and then the most lines in common.
        """
        parts = KeyParts.of(text, machine)
        lines = set(text.splitlines())

        def distance(candidate: tuple[CacheEntry, _Stored]) -> tuple[int, int, str]:
            entry, stored = candidate
            shared = len(lines & set(stored.text.splitlines()))
            return len(parts.differing(entry.parts)), -shared, entry.key

        found = min(self._entries(), key=distance, default=None)
        if found is None:
            return Explanation(False, None, (), "miss: the cache is empty")
        nearest, stored = found
        differing = parts.differing(nearest.parts)
        if not differing:
            return Explanation(True, nearest, (), f"hit: {nearest.key}")
        here, there = vars(parts), vars(nearest.parts)
        changes = [
            _first_difference(stored.text, text)
            if name == "text"
            else f"{name}: {there[name]!r} there, {here[name]!r} here"
            for name in differing
        ]
        detail = f"miss: nearest entry {nearest.key} differs in {'; '.join(changes)}"
        return Explanation(False, nearest, differing, detail)

    def _entries(self) -> Iterator[tuple[CacheEntry, _Stored]]:
        for path, status in self._files(_SUFFIX):
            stored = _read(path)
            if stored is not None:
                entry = CacheEntry(path.stem, status.st_size, status.st_mtime, stored.parts)
                yield entry, stored

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _files(self, suffix: str) -> Iterator[tuple[Path, os.stat_result]]:
        """The folder's files with their status; one that another process deletes is skipped."""
        try:
            names = sorted(os.listdir(self.folder))
        except OSError:
            return
        for name in names:
            if name.endswith(suffix):
                try:
                    yield self.folder / name, (self.folder / name).stat()
                except OSError:
                    continue

    def _write(self, path: Path, data: bytes) -> None:
        """Write beside the target and rename, so that a reader sees all of it or nothing."""
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=_TEMPORARY_PREFIX)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _evict(self) -> None:
        for path, status in self._files(""):
            abandoned = time.time() - status.st_mtime > _ABANDONED_SECONDS
            if path.name.startswith(_TEMPORARY_PREFIX) and abandoned:
                path.unlink(missing_ok=True)
        entries = sorted(self._files(_SUFFIX), key=lambda item: -item[1].st_mtime_ns)
        total = 0
        for path, status in entries:
            total += status.st_size
            if total > self.capacity:
                path.unlink(missing_ok=True)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _LOG.warning("compiled code is not cached in %s: %s", self.folder, error)


def default_cache() -> ObjectCache:
    """The cache in the default folder, one object for all, so that a warning comes once."""
    return _cache_in(default_folder())


@cache
def _cache_in(folder: Path) -> ObjectCache:
    return ObjectCache(folder)


def default_folder() -> Path:
    """`MLIR_LITE_CACHE_DIR`, or `mlir-lite` in the user's cache folder."""
    chosen = os.environ.get("MLIR_LITE_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mlir-lite"))


@dataclass(frozen=True)
class _Stored:
    parts: KeyParts
    text: str
    code: bytes


def _encode(stored: _Stored) -> bytes:
    """Magic, a line of JSON, the compressed text, the object."""
    text = zlib.compress(stored.text.encode(), 1)
    header = {
        "parts": vars(stored.parts),
        "text_size": len(text),
        "code_size": len(stored.code),
        "digest": hashlib.sha256(text + stored.code).hexdigest(),
    }
    return _MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + text + stored.code


def _decode(data: bytes) -> _Stored | None:
    """The content of an entry, or None where it is cut short, altered or of another format."""
    if not data.startswith(_MAGIC):
        return None
    line, _, body = data[len(_MAGIC) :].partition(b"\n")
    try:
        header = json.loads(line)
        parts = KeyParts(**header["parts"])
        text_size, code_size = int(header["text_size"]), int(header["code_size"])
        digest = str(header["digest"])
    except (ValueError, KeyError, TypeError):
        return None
    if len(body) != text_size + code_size or hashlib.sha256(body).hexdigest() != digest:
        return None
    text = zlib.decompress(body[:text_size]).decode()
    return _Stored(parts, text, body[text_size:])


def _read(path: Path) -> _Stored | None:
    try:
        return _decode(path.read_bytes())
    except OSError:
        return None


def _first_difference(there: str, here: str) -> str:
    lines = itertools.zip_longest(there.splitlines(), here.splitlines(), fillvalue="<end>")
    for number, (old, new) in enumerate(lines, start=1):
        if old != new:
            return f"text: line {number} is {old!r} there, {new!r} here"
    return "text: line ends"
