"""What compiling a function gave, kept between runs: the texts of the machine code, and how each
of its constants is made. With the object cache, a second start runs neither passes nor LLVM.

An entry is found by all that decides the result: the function's text and small constants, the
target, the options, this package's files. Weights are not part of the key, but those whose data a
pass has looked at (to choose by its accuracy, say) are noted with their digests, and compared.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .backends.cache_folder import PROGRAM, default_cache_folder
from .backends.llvm.image import Image
from .backends.llvm.machine.machine import Machine, llvm_version
from .errors import MlirLiteError
from .ir import Constant, ConstantData, Function, InMemory, Op, Value, transform
from .ir.constant import Source
from .ir.parser import parse
from .ir.printer import print_function
from .ir.resources import constants_of, resource_names
from .ops.base.constant import constant
from .ops.table import TABLE
from .passes.layouts.preparation import preparation, prepared
from .target import Target
from .type_parser import parse_tensor_type
from .types import Array

_FORMAT = 1
_MOST_EMBEDDED = 1 << 20  # bytes of constants that passes made, which an entry holds itself


@dataclass(frozen=True)
class Kept:
    """A compiled program without its machine code: that is in the object cache."""

    image: Image
    constants: Mapping[str, ConstantData]


@dataclass(frozen=True, eq=False)
class _Watched:
    """A constant of the function that is compiled; notes that it was read."""

    source: Source
    number: int
    reads: set[int]

    def read(self) -> Array:
        self.reads.add(self.number)
        return self.source.read()

    def origin(self) -> Hashable:
        return self.source.origin()


@dataclass(frozen=True)
class Watch:
    """A function to compile in place of another, whose large constants note their being read."""

    function: Function
    originals: tuple[ConstantData, ...]
    reads: set[int] = field(default_factory=set)

    @staticmethod
    def on(fn: Function) -> Watch:
        originals = _large(fn)
        reads: set[int] = set()
        watched = {
            data.source: ConstantData(data.type, _Watched(data.source, number, reads), data.name)
            for number, data in enumerate(originals)
        }

        def visit(op: Op) -> Value | None:
            if isinstance(op, Constant) and op.value.source in watched:
                return constant(watched[op.value.source])
            return None

        return Watch(transform(fn, visit, TABLE), originals, reads)


def entry_name(fn: Function, target: Target, machine: Machine, options: Sequence[object]) -> str:
    """The name of the file that has what compiling `fn` gives."""
    digest = hashlib.sha256()
    # A set has another order in each process.
    none: frozenset[str] = frozenset()
    figures = (
        replace(target, dot_instructions=none, matrix_products=none),
        sorted(target.instructions),
    )
    parts = (_FORMAT, _package(), llvm_version(), machine, *figures, *options)
    for part in (*map(repr, parts), print_function(fn, locations=True)):
        digest.update(part.encode())
        digest.update(b"\0")
    for data in constants_of(fn):
        if data.is_small:
            digest.update(data.array().tobytes())
    return digest.hexdigest() + PROGRAM


def find(name: str, fn: Function) -> Kept | None:
    """What was kept under a name, if it is whole and was made of the same data."""
    data = default_cache_folder().read(name)
    if data is None:
        return None
    try:
        kept = _decoded(data, _large(fn))
    except (ValueError, KeyError, TypeError, IndexError, zlib.error, MlirLiteError):
        return None
    if kept is not None:
        default_cache_folder().touch(name)
    return kept


def keep(name: str, watch: Watch, made: Kept) -> None:
    """Keep what compiling a watched function gave, before anything but passes reads constants."""
    prepare = preparation([made.constants[slot] for slot, _ in made.image.constants])
    sources: dict[str, object] = {}
    embedded = 0
    for data, resource in resource_names(prepare).items():
        if isinstance(data.source, _Watched):
            sources[resource] = data.source.number
        else:
            array = np.ascontiguousarray(data.array())
            embedded += array.nbytes
            content = base64.b64encode(array.tobytes()).decode()
            sources[resource] = [str(data.type), data.name, content]
    if embedded > _MOST_EMBEDDED:
        return
    entry = {
        "reads": [(number, watch.originals[number].digest()) for number in sorted(watch.reads)],
        "image": made.image.to_json(),
        "prepare": str(prepare),
        "sources": sources,
    }
    body = zlib.compress(json.dumps(entry).encode(), 1)
    default_cache_folder().write(name, hashlib.sha256(body).digest() + body)


def _decoded(data: bytes, originals: Sequence[ConstantData]) -> Kept | None:
    digest, body = data[:32], data[32:]
    if hashlib.sha256(body).digest() != digest:
        return None
    entry: dict[str, Any] = json.loads(zlib.decompress(body))
    if any(originals[number].digest() != known for number, known in entry["reads"]):
        return None
    resources: dict[str, ConstantData] = {}
    for name, where in entry["sources"].items():
        resources[name] = originals[where] if isinstance(where, int) else _embedded(*where)
    image = Image.from_json(entry["image"])
    constants = prepared(parse(entry["prepare"], TABLE, resources))
    names = (slot for slot, _ in image.constants)
    return Kept(image, dict(zip(names, constants, strict=True)))


def _embedded(type_text: str, name: str, content: str) -> ConstantData:
    type_ = parse_tensor_type(type_text)
    array = np.frombuffer(base64.b64decode(content), type_.dtype.numpy)
    return ConstantData(type_, InMemory(array.reshape(type_.static_shape)), name)


def _large(fn: Function) -> tuple[ConstantData, ...]:
    """The constants that are not part of the key, each source once."""
    found = {data.source: data for data in constants_of(fn) if not data.is_small}
    return tuple(found.values())


@cache
def _package() -> tuple[tuple[str, int, int], ...]:
    """The files of this package with their sizes and times: another compiler, other results."""
    root = Path(__file__).resolve().parent
    folders = {root, (root / "passes").resolve(), (root / "backends").resolve()}
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return tuple((str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files)
