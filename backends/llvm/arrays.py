"""The careful check of arrays at the border, in Python, with errors that say what to do.

Compiled code checks the common case in nanoseconds; whatever it does not recognise comes here.
Nothing is converted: an array of another dtype or layout is an error that names the one-line fix.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError, check
from ...types import Array, TensorType


@dataclass(frozen=True)
class ArraySpec:
    """What an executable expects of one parameter or promises of one result.

    The type is static. `donor`, on a result, is the index of the parameter whose array the result
    overwrites and becomes.
    """

    name: str
    type: TensorType
    donor: int | None = None


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


def check_array(array: Array, spec: ArraySpec, *, writeable: bool) -> None:
    """Raise `InputError` unless dtype, shape and layout are right.

    The error names the array, what was expected, what came, and the fix.
    """
    expected, shape = spec.type.dtype.numpy, spec.type.static_shape
    if array.dtype != expected:
        fix = f"{spec.name}.astype(np.{expected})"
        if expected.name == "bfloat16":
            fix = f"{spec.name}.astype(ml_dtypes.bfloat16)"
        raise _fault(spec, f"dtype {expected}", _dtype_name(array), fix)
    if array.shape != shape:
        raise _fault(spec, f"shape {shape}", f"shape {array.shape}", _reshape(array, spec))
    if not array.flags.c_contiguous:
        got = f"strides {array.strides} for shape {shape}"
        raise _fault(spec, "a C-contiguous array", got, f"np.ascontiguousarray({spec.name})")
    if writeable and not array.flags.writeable:
        raise _fault(spec, "a writeable array", "a read-only one", f"{spec.name}.copy()")


def check_overlap(
    parameters: Sequence[Array],
    results: Sequence[Array],
    specs: tuple[Sequence[ArraySpec], Sequence[ArraySpec]],
) -> None:
    """Raise `InputError` where a result's memory meets a parameter's or another result's."""
    names = [spec.name for spec in itertools.chain(*specs)]
    arrays = [*parameters, *results]
    for index in range(len(parameters), len(arrays)):
        donor = specs[1][index - len(parameters)].donor
        for other in range(index):
            if other != donor and _overlap(arrays[index], arrays[other]):
                raise InputError(
                    f"result '{names[index]}' overlaps '{names[other]}' in memory; "
                    f"give it its own: out=np.empty_like({names[index]})"
                )


def _overlap(first: Array, second: Array) -> bool:
    """Whether two contiguous arrays share a byte."""
    a, b = address(first), address(second)
    if first.nbytes == 0 or second.nbytes == 0:
        return False
    return a < b + second.nbytes and b < a + first.nbytes


def address(array: Array) -> int:
    """The address of the first element."""
    return int(array.__array_interface__["data"][0])


def _fault(spec: ArraySpec, expected: str, got: str, fix: str) -> InputError:
    return InputError(f"'{spec.name}': expected {expected}, got {got}; fix: {fix}")


def _dtype_name(array: Array) -> str:
    swapped = "" if array.dtype.isnative else " in the other byte order"
    return f"dtype {array.dtype.name}{swapped}"


def _reshape(array: Array, spec: ArraySpec) -> str:
    shape = spec.type.static_shape
    if array.size == int(np.prod(shape, dtype=np.int64)):
        if array.ndim == 2 and array.shape[::-1] == shape:
            return f"np.ascontiguousarray({spec.name}.T) or {spec.name}.reshape{shape}"
        return f"{spec.name}.reshape{shape}"
    if array.ndim != len(shape):
        return f"an array with {len(shape)} axes"
    return f"an array of this shape, or compile for shape {array.shape}"


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
