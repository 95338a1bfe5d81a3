"""Derivatives of random programs: of compiled code against those in float64, and these against
finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import mlir_lite as ml
from mlir_lite import Function
from mlir_lite.ir import Builder, inline, run_reference
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array

from .double import doubled
from .judge import Truth
from .programs import Program
from .ways import run

# Gradients of means of many signs cancel: what is left may be this much of the largest off, and
# one that is zero an ε of what the others are.
CANCELLED = 1e-4


def loss_of(fn: Function) -> Function | None:
    """A number that depends on every float result unevenly; None where nothing can be moved."""
    builder = Builder(TABLE)
    with builder.active():
        results = inline(fn, {param: param for param in fn.params})
        parts = []
        for result in results:
            if result.dtype.is_float and 0 not in result.shape:
                wide = ml.cast(result, ml.f64)
                weights = np.cos(np.arange(np.prod(result.type.static_shape, dtype=int)))
                parts.append(ml.mean(wide * weights.reshape(result.type.static_shape)))
        if not parts or not any(param.dtype.is_float for param in fn.params):
            return None
        total = parts[0]
        for part in parts[1:]:
            total = total + part
    return builder.finish(f"{fn.name}_loss", fn.params, [total])


def gradient(program: Program, truth: Truth) -> str:
    """The gradients by compiled code, and by differences along one direction."""
    loss = loss_of(program.fn)
    if loss is None:
        return ""
    derived = ml.value_and_grad(loss)
    arrays = program.arrays
    found = run(derived, arrays, threads=1)
    truth = Truth(derived, arrays)
    largest = max(float(np.max(np.abs(exact), initial=0.0)) for exact in truth.exact[1:])
    wrong = truth.wrong(found, CANCELLED, first=1, floor=1e-7 * largest)
    return wrong or slope_differs(loss, arrays)


def tangent(program: Program, truth: Truth) -> str:
    """Forward mode by compiled code, against float64, and against reverse mode there."""
    loss = loss_of(program.fn)
    if loss is None:
        return ""
    derived = ml.jvp(loss)
    moves = [_direction(array, at) for at, array in enumerate(program.arrays)]
    arrays = (*program.arrays, *(move for move in moves if move is not None))
    truth = Truth(derived, arrays)
    backward = _slope(loss, program.arrays)
    forward = float(truth.exact[1])
    # Numbers in gradients' rules are rounded to f32 before all is made f64.
    if abs(forward - backward) > 1e-6 * max(1.0, abs(forward)):
        return f"forward mode gives {forward}, reverse mode {backward}"
    found = float(run(derived, arrays, threads=1)[1])
    allowed = max(1e-3 * abs(forward), 1e-4, 8 * abs(float(truth.own[1]) - forward))
    return "" if abs(found - forward) <= allowed else f"the tangent is {found}, not {forward}"


def _direction(array: Array, seed: int) -> Array | None:
    if array.dtype.kind in "iub":
        return None
    found = np.random.default_rng(seed).standard_normal(array.shape)
    return np.asarray(found).astype(array.dtype)


def _wide(arrays: Sequence[Array]) -> list[Array]:
    return [array if array.dtype.kind in "iub" else array.astype(np.float64) for array in arrays]


def _slope(loss: Function, arrays: Sequence[Array]) -> float:
    """The derivative along the direction, by reverse mode in float64."""
    _, *gradients = run_reference(doubled(ml.value_and_grad(loss)), _wide(arrays))
    moves = [_direction(array, at) for at, array in enumerate(arrays)]
    floats = [move.astype(np.float64) for move in moves if move is not None]
    return float(sum(np.sum(a * b) for a, b in zip(gradients, floats, strict=True)))


def slope_differs(loss: Function, arrays: Sequence[Array]) -> str:
    """What is wrong with the derivative along a direction; nothing at a kink, where differences
    over two distances do not agree."""
    wide, value = _wide(arrays), doubled(loss)
    moves = [_direction(array, at) for at, array in enumerate(arrays)]

    def at(step: float) -> float:
        moved = [
            array if move is None else array + step * move.astype(np.float64)
            for array, move in zip(wide, moves, strict=True)
        ]
        return float(run_reference(value, moved)[0])

    coarse, fine = ((at(h) - at(-h)) / (2 * h) for h in (2e-6, 1e-6))
    one_sided = (at(1e-6) - at(0.0)) / 1e-6
    found = _slope(loss, arrays)
    scale = max(1e-3, abs(fine))
    if abs(coarse - fine) > 1e-5 * scale or abs(one_sided - fine) > 1e-3 * scale:
        return ""
    if abs(found - fine) <= 1e-4 * scale:
        return ""
    return f"the slope is {found}, by differences {fine}"


WAYS: dict[str, Callable[[Program, Truth], str]] = {"gradient": gradient, "tangent": tangent}
