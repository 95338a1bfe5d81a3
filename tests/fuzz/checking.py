"""A program checked in one way; one that fails is shown small, as text and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from mlir_lite import MlirLiteError

from . import derived, ways
from .judge import Truth
from .programs import Program
from .shrink import shrunk
from .ways import Way

WAYS: Mapping[str, Way] = MappingProxyType({**ways.WAYS, **derived.WAYS})


def wrong(program: Program, way: str, *, special: bool = False) -> str:
    """What is wrong with a program run this way, or nothing."""
    truth = Truth(program.fn, program.arrays, special=special)
    try:
        return WAYS[way](program, truth)
    except (MlirLiteError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def check(program: Program, way: str, *, special: bool = False) -> None:
    """Fail with the smallest program found that is still wrong, if this one is."""
    found = wrong(program, way, special=special)
    if not found:
        return
    small = shrunk(program, lambda other: bool(wrong(other, way, special=special)))
    raise AssertionError(
        f"@{program.fn.name}, {way}: {found}\n"
        f"made small: {wrong(small, way, special=special)}\n{small.fn}\n{_shown(small)}"
    )


def _shown(program: Program) -> str:
    """The first elements of each parameter."""
    return "\n".join(
        f"{param.name} = {np.array2string(array.ravel()[:9], separator=', ')} of {param.type}"
        for param, array in zip(program.fn.params, program.arrays, strict=True)
    )
