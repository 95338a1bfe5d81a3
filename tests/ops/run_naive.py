"""Runs an operation's `body` or `kernel` in the tile interpreter, without the compiler's lowering.

The interpreter is strict where a machine would be silent: a read outside of a tensor is an error,
unless it stands in the arm of a `select` that is not picked.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from mlir_lite.expr import INDEX, Expr, Load, Var, index
from mlir_lite.ir import Op, Value, result_types
from mlir_lite.sizes import static
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Block, Buffer, Kernel, Kind, Loop, Ref, Store
from mlir_lite.types import Array, TensorType, dtype_of

from .sample import Argument, Sample


@dataclass(frozen=True)
class Operand:
    """What a body sees of an operand: its elements are loads of a named buffer."""

    type: TensorType
    buffer: str

    def __getitem__(self, at: Expr | tuple[Expr, ...]) -> Expr:
        return Load(self.type.dtype, self.buffer, at if isinstance(at, tuple) else (at,))


def run_body(sample: Sample) -> tuple[Array, ...]:
    """The results of `op.body` at all indices."""
    op = sample.op
    operands, arrays = _operands(op, sample.arguments)
    results = []
    for position, type_ in enumerate(result_types(op)):
        at = _variables(type_.rank)
        bodies = op.body(at, *operands)
        body = bodies[position] if isinstance(bodies, tuple) else bodies
        assert body.dtype == type_.dtype, f"the body gives {body.dtype}, the type is {type_}"
        results.append(_evaluated(body, type_.static_shape, arrays))
    return tuple(results)


def run_own_kernel(sample: Sample) -> tuple[Array, ...]:
    """The results of the kernel that the operation brings."""
    kernel = sample.op.kernel("kernel")
    _, arrays = _operands(sample.op, sample.arguments)
    with np.errstate(all="ignore"):
        found = run_kernel(kernel, arrays)
    return tuple(found[name] for name in kernel.outputs)


def fault_found(sample: Sample) -> bool:
    """Whether `op.fault` holds anywhere."""
    operands, arrays = _operands(sample.op, sample.arguments)
    shape = static(sample.op.fault_shape)
    found = sample.op.fault(_variables(len(shape)), *operands)
    assert found is not None, f"{sample.op.name} has no faults"
    return bool(_evaluated(found[0], shape, arrays).any())


def _variables(rank: int) -> tuple[Expr, ...]:
    return tuple(Var(INDEX, f"at{axis}") for axis in range(rank))


def _evaluated(expr: Expr, shape: tuple[int, ...], arrays: dict[str, Array]) -> Array:
    block: Block = (Store(Ref("out", _variables(len(shape))), expr),)
    for axis in reversed(range(len(shape))):
        block = (Loop(f"at{axis}", index(0), index(shape[axis]), block, Kind.PARALLEL),)
    params = (
        *(Buffer(name, dtype_of(array), array.shape) for name, array in arrays.items()),
        Buffer("out", expr.dtype, shape),
    )
    if prod(shape) == 0:
        return np.zeros(shape, expr.dtype.numpy)
    with np.errstate(all="ignore"):
        return run_kernel(Kernel("body", params, ("out",), block), arrays)["out"]


def _operands(op: Op, arguments: tuple[Argument, ...]) -> tuple[list[Any], dict[str, Array]]:
    """What the body sees of each operand field, and the arrays behind the buffers."""
    operands: list[Any] = []  # an Operand, a tuple of them or None, as the fields are
    arrays: dict[str, Array] = {}

    def bound(buffer: str, value: Value, array: Array) -> Operand:
        arrays[buffer] = array
        return Operand(value.type, buffer)

    for name, argument in zip(op.operand_fields, arguments, strict=True):
        entry = getattr(op, name)
        if argument is None:
            operands.append(None)
        elif isinstance(argument, tuple):
            pairs = enumerate(zip(entry, argument, strict=True))
            operands.append(tuple(bound(f"{name}{k}", v, array) for k, (v, array) in pairs))
        else:
            operands.append(bound(name, entry, argument))
    return operands, arrays
