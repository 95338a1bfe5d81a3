"""The careful check of arrays at the border, in Python, with errors that say what to do.

Of a CPU compiled code checks the common case in nanoseconds, and whatever it does not recognise
comes here; of a card all arrays do. Nothing is converted: an array of another dtype or layout is an
error that names the one-line fix.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from ..errors import InputError, check
from ..tile.program import Program
from ..types import Array, TensorType


@dataclass(frozen=True)
class ArraySpec:
    """What an executable expects of one parameter or promises of one result.

    The type is static. `donor`, on a result, is the index of the parameter whose array the result
    overwrites and becomes.
    """

    name: str
    type: TensorType
    donor: int | None = None


def specs_of(program: Program) -> tuple[tuple[ArraySpec, ...], tuple[ArraySpec, ...]]:
    """What a program's executable expects, and what it promises."""

    def specs(names: Sequence[str]) -> tuple[ArraySpec, ...]:
        slots = [program.slot(name) for name in names]
        return tuple(
            ArraySpec(
                slot.name,
                slot.type,
                None if slot.donor is None else program.params.index(slot.donor),
            )
            for slot in slots
        )

    return specs(program.params), specs(program.results)


@dataclass(frozen=True)
class Facts:
    """What is checked of an array, whichever library's it is; strides are in bytes."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    address: int
    is_writeable: bool
    library: str = "numpy"  # the one that the user calls to put something right

    @staticmethod
    def of(array: Array) -> Facts:
        return Facts(
            array.dtype, array.shape, array.strides, address(array), array.flags.writeable
        )

    @cached_property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @cached_property
    def is_contiguous(self) -> bool:
        """Whether elements lie side by side, the last axis innermost."""
        expected = contiguous_strides(self.shape, self.dtype.itemsize)
        every = zip(self.shape, self.strides, expected, strict=True)
        return 0 in self.shape or all(size == 1 or has == wants for size, has, wants in every)


def contiguous_strides(shape: Sequence[int], step: int) -> tuple[int, ...]:
    """The strides of elements side by side, the last axis innermost, that are a step apart."""
    found: list[int] = []
    for size in reversed(shape):
        found.append(step)
        step *= size
    return tuple(reversed(found))


def plain_array(value: object, spec: ArraySpec) -> Array:
    """`value` as a plain NumPy array that shares its memory.

    Takes subclasses of arrays, `__dlpack__`, the buffer protocol and `__array__`. Raises
    `InputError` for anything else.
    """
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise _fault(spec, "an array", "a masked array", f"{spec.name}.filled(0)")
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray)
    array = _foreign_array(value, spec)
    if array is None:
        fix = f"np.asarray({spec.name}, dtype=np.{spec.type.dtype.numpy})"
        raise _fault(spec, "an array", f"a {type(value).__name__}", fix)
    return array


def plain_result(value: object, spec: ArraySpec) -> Array:
    """The array of a result, or of a donor, as a plain one.

    Raises `InputError` for what is no NumPy array: another library's object could hand out a copy
    of its memory, and what is written there would be lost.
    """
    kind = type(value).__name__
    message = f"'{spec.name}' is written to, so it must be a NumPy array; got a {kind}"
    check(isinstance(value, np.ndarray), message, InputError)
    return plain_array(value, spec)


def _foreign_array(value: object, spec: ArraySpec) -> Array | None:
    """The array behind another library's object, None where it offers no array."""
    try:
        if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
            return np.from_dlpack(value)
        if hasattr(value, "__array__"):
            return np.asarray(value)
        return np.asarray(memoryview(value))  # type: ignore[arg-type]  # fails if no buffer
    except TypeError:
        return None
    except (RuntimeError, ValueError, BufferError) as error:
        raise InputError(
            f"'{spec.name}': this {type(value).__name__} cannot be read as an array: {error}"
        ) from error


def check_array(facts: Facts, spec: ArraySpec, *, writeable: bool) -> None:
    """Raise `InputError` unless dtype, shape and layout are right.

    The error names the array, what was expected, what came, and the fix.
    """
    expected, shape = spec.type.dtype.numpy, spec.type.static_shape
    fixes = _FIXES.get(facts.library, _NUMPY)
    if facts.dtype != expected:
        raise _fault(spec, f"dtype {expected}", _dtype_name(facts.dtype), fixes.cast_to(spec))
    if facts.shape != shape:
        raise _fault(spec, f"shape {shape}", f"shape {facts.shape}", _reshape(facts, spec))
    if not facts.is_contiguous:
        got = f"strides {facts.strides} for shape {shape}"
        raise _fault(spec, "a C-contiguous array", got, fixes.contiguous.format(spec.name))
    if writeable and not facts.is_writeable:
        fix = fixes.copy.format(spec.name)
        raise _fault(spec, "a writeable array", "a read-only one", fix)


@dataclass(frozen=True)
class _Fixes:
    """How a library spells what puts an array right."""

    cast: str
    contiguous: str
    copy: str
    module: str = "np"  # of element types

    def cast_to(self, spec: ArraySpec) -> str:
        dtype = spec.type.dtype.numpy.name
        module = "ml_dtypes" if (self.module, dtype) == ("np", "bfloat16") else self.module
        return self.cast.format(spec.name, f"{module}.{dtype}")


_NUMPY = _Fixes("{}.astype({})", "np.ascontiguousarray({})", "{}.copy()")
_FIXES: Mapping[str, _Fixes] = {
    "torch": _Fixes("{}.to({})", "{}.contiguous()", "{}.clone()", "torch"),
    "cupy": _Fixes("{}.astype({})", "cupy.ascontiguousarray({})", "{}.copy()"),
}


def check_overlap(
    parameters: Sequence[Facts],
    results: Sequence[Facts],
    specs: tuple[Sequence[ArraySpec], Sequence[ArraySpec]],
) -> None:
    """Raise `InputError` where a result's memory meets a parameter's or another result's."""
    first = len(parameters)
    for one, other in _meeting([*parameters, *results]):
        if other >= first and specs[1][other - first].donor != one:
            names = [spec.name for spec in itertools.chain(*specs)]
            raise InputError(
                f"result '{names[other]}' overlaps '{names[one]}' in memory; "
                f"give it its own: out=np.empty_like({names[other]})"
            )


def _meeting(arrays: Sequence[Facts]) -> Iterator[tuple[int, int]]:
    """The places, the smaller first, of contiguous arrays that share a byte."""
    spans = sorted(
        (facts.address, facts.address + facts.nbytes, place)
        for place, facts in enumerate(arrays)
        if facts.nbytes
    )
    around: list[tuple[int, int]] = []  # ends and places of what began before and may go on
    for start, stop, place in spans:
        around = [(end, other) for end, other in around if end > start]
        for _, other in around:
            yield min(place, other), max(place, other)
        around.append((stop, place))


def address(array: Array) -> int:
    """The address of the first element."""
    return int(array.__array_interface__["data"][0])


def _fault(spec: ArraySpec, expected: str, got: str, fix: str) -> InputError:
    return InputError(f"'{spec.name}': expected {expected}, got {got}; fix: {fix}")


def _dtype_name(dtype: np.dtype[Any]) -> str:
    swapped = "" if dtype.isnative else " in the other byte order"
    return f"dtype {dtype.name}{swapped}"


def _reshape(facts: Facts, spec: ArraySpec) -> str:
    shape = spec.type.static_shape
    if prod(facts.shape) == prod(shape):
        if len(shape) == 2 and facts.shape[::-1] == shape:
            turned = _FIXES.get(facts.library, _NUMPY).contiguous
            return f"{turned.format(f'{spec.name}.T')} or {spec.name}.reshape{shape}"
        return f"{spec.name}.reshape{shape}"
    if len(facts.shape) != len(shape):
        return f"an array with {len(shape)} axes"
    return f"an array of this shape, or compile for shape {facts.shape}"


def wrong_count(got: int, expected: Sequence[ArraySpec], what: str) -> InputError:
    """The error for a call with too few or too many arrays."""
    names = ", ".join(f"'{spec.name}'" for spec in expected) or "none"
    return InputError(f"expected {len(expected)} {what} ({names}), got {got}")


def check_specs(parameters: Sequence[ArraySpec], results: Sequence[ArraySpec]) -> None:
    """Raise `InputError` for specs that no array can meet."""
    for spec in (*parameters, *results):
        count = 1
        for size in spec.type.static_shape:
            count *= size
        fits = count * spec.type.dtype.bytes < 2**63
        check(fits, f"'{spec.name}': {spec.type} has more bytes than memory", InputError)
    for spec in results:
        if spec.donor is not None:
            check(0 <= spec.donor < len(parameters), f"'{spec.name}': no such donor", InputError)
            donor = parameters[spec.donor]
            message = f"'{spec.name}': its donor '{donor.name}' is of another type"
            check(donor.type == spec.type, message, InputError)
