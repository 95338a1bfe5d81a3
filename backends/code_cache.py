"""Machine code kept on disk between runs.

An entry is found by the SHA-256 of all that decides the code: the text, what compiles it and for
what, this file's format. It also stores these, text included, so that a hit is proved equal and a
miss can be explained. An unreadable entry is a miss.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, TypeAlias

from .cache_folder import DEFAULT_CAPACITY, OBJECT, CacheFolder, default_cache_folder

_MAGIC = b"mlir-lite object\n"
_FORMAT = "1"

Parts: TypeAlias = Mapping[str, str]  # everything that decides a code, by name


class Compiler(Protocol):
    """What makes code of a text."""

    def key_parts(self) -> Parts:
        """Everything that decides the code beside the text: versions, options, the machine."""


def _parts(text: str, compiler: Compiler) -> Parts:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {**compiler.key_parts(), "format": _FORMAT, "text": digest}


def _key(parts: Parts) -> str:
    """The name of the entry of these."""
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()


def _differing(mine: Parts, theirs: Parts) -> tuple[str, ...]:
    """The names of the parts in which two keys differ."""
    names = dict.fromkeys((*mine, *theirs))
    return tuple(name for name in names if mine.get(name) != theirs.get(name))


@dataclass(frozen=True)
class CacheEntry:
    """One entry as listed: its key, size in bytes on disk, and time of last use (epoch seconds)."""

    key: str
    size: int
    last_used: float
    parts: Parts


@dataclass(frozen=True)
class Explanation:
    """Why a text hits or misses: the nearest entry and the parts of the key that differ from it."""

    hit: bool
    nearest: CacheEntry | None
    differing: tuple[str, ...]
    detail: str

    def __str__(self) -> str:
        return self.detail


class CodeCache:
    """A folder of machine code, safe to share between processes.

    `folder` defaults to `MLIR_LITE_CACHE_DIR`, then to the user's cache folder; code of one kind
    has one `suffix` there. Beyond `capacity` bytes the entries unused for longest go.
    """

    def __init__(
        self,
        folder: Path | CacheFolder | None = None,
        *,
        suffix: str = OBJECT,
        capacity: int = DEFAULT_CAPACITY,
    ) -> None:
        files = default_cache_folder() if folder is None else folder
        self._files = files if isinstance(files, CacheFolder) else CacheFolder(files, capacity)
        self._suffix = suffix

    @property
    def folder(self) -> Path:
        return self._files.path

    @property
    def capacity(self) -> int:
        return self._files.capacity

    def get(self, text: str, compiler: Compiler) -> bytes | None:
        """The code of `text`, or None."""
        parts = _parts(text, compiler)
        name = _key(parts) + self._suffix
        stored = self._read(name)
        if stored is None or stored.parts != parts or stored.text != text:
            return None
        self._files.touch(name)
        return stored.code

    def put(self, text: str, compiler: Compiler, code: bytes) -> None:
        """Store code; a cache that cannot be written is left as it is, with one warning."""
        parts = _parts(text, compiler)
        self._files.write(_key(parts) + self._suffix, _encode(_Stored(parts, text, code)))

    def list(self) -> tuple[CacheEntry, ...]:
        """The readable entries, the most recently used first."""
        entries = [entry for entry, _ in self._entries()]
        return tuple(sorted(entries, key=lambda entry: (-entry.last_used, entry.key)))

    def clear(self) -> int:
        """Delete all that the folder caches; returns how many entries there were."""
        return self._files.clear()

    def explain(self, text: str, compiler: Compiler) -> Explanation:
        """Which part of the key differs from the entry that is nearest to this text.

        Nearest is the entry with the fewest differing parts and then the most lines in common.
        """
        parts = _parts(text, compiler)
        lines = set(text.splitlines())

        def distance(candidate: tuple[CacheEntry, _Stored]) -> tuple[int, int, str]:
            entry, stored = candidate
            shared = len(lines & set(stored.text.splitlines()))
            return len(_differing(parts, entry.parts)), -shared, entry.key

        found = min(self._entries(), key=distance, default=None)
        if found is None:
            return Explanation(False, None, (), "miss: the cache is empty")
        nearest, stored = found
        differing = _differing(parts, nearest.parts)
        if not differing:
            return Explanation(True, nearest, (), f"hit: {nearest.key}")
        there = nearest.parts
        changes = [
            _first_difference(stored.text, text)
            if name == "text"
            else f"{name}: {there.get(name)!r} there, {parts.get(name)!r} here"
            for name in differing
        ]
        detail = f"miss: nearest entry {nearest.key} differs in {'; '.join(changes)}"
        return Explanation(False, nearest, differing, detail)

    def _entries(self) -> Iterator[tuple[CacheEntry, _Stored]]:
        for path, status in self._files.files(self._suffix):
            stored = self._read(path.name)
            if stored is not None:
                entry = CacheEntry(path.stem, status.st_size, status.st_mtime, stored.parts)
                yield entry, stored

    def _read(self, name: str) -> _Stored | None:
        data = self._files.read(name)
        return None if data is None else _decode(data)


def default_cache(suffix: str = OBJECT) -> CodeCache:
    """The cache of one kind of code in the default folder."""
    return _cache_of(default_cache_folder(), suffix)


@cache
def _cache_of(folder: CacheFolder, suffix: str) -> CodeCache:
    return CodeCache(folder, suffix=suffix)


@dataclass(frozen=True)
class _Stored:
    parts: Parts
    text: str
    code: bytes


def _encode(stored: _Stored) -> bytes:
    """Magic, a line of JSON, the compressed text, the object."""
    text = zlib.compress(stored.text.encode(), 1)
    header = {
        "parts": dict(stored.parts),
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
        parts = {str(name): str(part) for name, part in header["parts"].items()}
        text_size, code_size = int(header["text_size"]), int(header["code_size"])
        digest = str(header["digest"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if len(body) != text_size + code_size or hashlib.sha256(body).hexdigest() != digest:
        return None
    text = zlib.decompress(body[:text_size]).decode()
    return _Stored(parts, text, body[text_size:])


def _first_difference(there: str, here: str) -> str:
    lines = itertools.zip_longest(there.splitlines(), here.splitlines(), fillvalue="<end>")
    for number, (old, new) in enumerate(lines, start=1):
        if old != new:
            return f"text: line {number} is {old!r} there, {new!r} here"
    return "text: line ends"
