"""DLPack, the protocol by which array libraries pass arrays to one another without a copy.

`read_tensor` looks at another library's array; `capsule_of` shows an array of ours. The structures
are those of version 1 of the protocol (https://dmlc.github.io/dlpack/latest/), and of those before.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ....errors import InputError, check
from ....types import DTYPES
from ...arrays import Facts, contiguous_strides
from .release import releases

CPU, CUDA, MANAGED = 1, 2, 13  # kinds of devices

_PLAIN, _VERSIONED = b"dltensor", b"dltensor_versioned"  # capsules keep their addresses
_VERSION = (1, 0)
_READ_ONLY = 1
# What kinds of elements are called.
_CODES: Mapping[str, int] = {"i": 0, "u": 1, "f": 2, "b": 6}
_BFLOAT = 4


class _Device(ctypes.Structure):
    kind: int
    number: int
    _fields_ = (("kind", ctypes.c_int32), ("number", ctypes.c_int32))


class _Element(ctypes.Structure):
    code: int
    bits: int
    lanes: int
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    data: int | None
    device: _Device
    rank: int
    element: _Element
    shape: Any  # a pointer: ctypes has no type for what it points to
    strides: Any
    byte_offset: int
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("rank", ctypes.c_int32),
        ("element", _Element),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    tensor: _Tensor
    owner: int | None
    release: int | None
    _fields_ = (
        ("tensor", _Tensor),
        ("owner", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
    )


class _Versioned(ctypes.Structure):
    major: int
    minor: int
    owner: int | None
    release: int | None
    flags: int
    tensor: _Tensor
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("owner", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


def _python(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:  # as ctypes types them
    """A function of Python's own, with a prototype that nobody else changes."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_new = _python(
    "PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)
_is_valid = _python("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
_pointer = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_hold = _python("Py_IncRef", None, ctypes.py_object)


# Arrays of others


class Exporter(Protocol):
    """An array that offers itself."""

    def __dlpack__(self, *, stream: int | None = None) -> object: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


@dataclass(frozen=True)
class Tensor:
    """What another library's array says of itself. It stays as long as `capsule` is held."""

    facts: Facts
    device: tuple[int, int]
    capsule: object


def read_tensor(value: Exporter, name: str, stream: int) -> Tensor:
    """The array behind an object, once `stream` has what was computed for it; `name` is for people.

    `InputError` where the object does not give it away.
    """
    kind = type(value).__name__
    try:
        capsule = _capsule(value, stream)
    except (RuntimeError, ValueError, BufferError) as error:
        raise InputError(f"'{name}': this {kind} cannot be read as an array: {error}") from error
    is_read_only = False
    if _is_valid(capsule, _VERSIONED):
        versioned = _Versioned.from_address(_pointer(capsule, _VERSIONED))
        check(
            versioned.major == _VERSION[0],
            f"'{name}': this {kind} offers version {versioned.major} of DLPack, not 1",
            InputError,
        )
        tensor, is_read_only = versioned.tensor, bool(versioned.flags & _READ_ONLY)
    else:
        check(_is_valid(capsule, _PLAIN), f"'{name}': this {kind} offers no array", InputError)
        tensor = _Managed.from_address(_pointer(capsule, _PLAIN)).tensor
    dtype = _numpy_type(tensor.element, name)
    shape = tuple(tensor.shape[: tensor.rank])
    strides = contiguous_strides(shape, dtype.itemsize)
    if tensor.strides:
        strides = tuple(stride * dtype.itemsize for stride in tensor.strides[: tensor.rank])
    facts = Facts(
        dtype,
        shape,
        strides,
        (tensor.data or 0) + tensor.byte_offset,
        not is_read_only,
        type(value).__module__.partition(".")[0],
    )
    return Tensor(facts, (tensor.device.kind, tensor.device.number), capsule)


def _capsule(value: Any, stream: int) -> object:  # of any library
    try:
        return value.__dlpack__(stream=stream, max_version=_VERSION)
    except TypeError:  # from before there were versions
        return value.__dlpack__(stream=stream)


def _numpy_type(element: _Element, name: str) -> np.dtype[Any]:
    for dtype in DTYPES.values():
        code = _BFLOAT if dtype.name == "bf16" else _CODES[dtype.kind]
        if (code, dtype.bytes * 8, 1) == (element.code, element.bits, element.lanes):
            return dtype.numpy
    known = (element.code, element.bits, element.lanes)
    raise InputError(f"'{name}': elements of DLPack's type {known} are none that is known here")


# Arrays of ours


@dataclass(eq=False)
class Export:
    """What a consumer of an array holds; when it lets go, `owner` is let go."""

    owner: object
    structure: _Managed | _Versioned
    places: ctypes.Array[ctypes.c_int64]


def capsule_of(
    facts: Facts, device: tuple[int, int], owner: object, *, versioned: bool
) -> object:
    """A capsule for an array of contiguous elements. `owner` lives as long as its consumer."""
    rank = len(facts.shape)
    places = (ctypes.c_int64 * (2 * rank + 1))(*facts.shape, *contiguous_strides(facts.shape, 1))
    pointer = ctypes.POINTER(ctypes.c_int64)
    tensor = _Tensor(
        facts.address,
        _Device(*device),
        rank,
        _element(facts.dtype),
        ctypes.cast(places, pointer),
        ctypes.cast(ctypes.byref(places, 8 * rank), pointer),
        0,
    )
    code = releases()
    structure: _Managed | _Versioned
    if versioned:
        flags = 0 if facts.is_writeable else _READ_ONLY
        structure = _Versioned(*_VERSION, None, code.versioned, flags, tensor)
    else:
        structure = _Managed(tensor, None, code.plain)
    export = Export(owner, structure, places)
    structure.owner = id(export)
    _hold(export)
    name = _VERSIONED if versioned else _PLAIN
    return _new(ctypes.addressof(structure), name, code.capsule)


def _element(dtype: np.dtype[Any]) -> _Element:
    code = _BFLOAT if dtype.name == "bfloat16" else _CODES[dtype.kind]
    return _Element(code, dtype.itemsize * 8, 1)
