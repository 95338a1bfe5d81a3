"""Where wide accesses may be: at multiples of their own size, proven from the alignment that
buffers state and from the divisors of indices.

    %x: align(16) f32[64, 8]        x[i, j * 4] lies at a multiple of 16 bytes; x[i, j] may not
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import gcd

from ...errors import VerifyError
from ...expr import Apply, Bounds, Const, Expr, Var, simplify, substitute_vars
from ...expr.simplify import linear_sum
from ..instructions.table import INSTRUCTIONS
from ..nodes import Buffer, Call, Kernel, Space
from ..traverse import walk
from .dependence import plain_lets, static_bounds

WIDEST = 16  # bytes that one thread of a card reads or writes at once


def divisor(expr: Expr, known: Mapping[str, int]) -> int:
    """A number that divides an index, the largest that can be told; 0 for zero itself. `known`
    has divisors of variables."""
    match expr:
        case Const(value=value):
            return abs(int(value))
        case Var(name=name):
            return known.get(name, 1)
        case Apply(function="mul", args=(left, right)):
            return divisor(left, known) * divisor(right, known)
        case Apply(function="neg", args=(value,)):
            return divisor(value, known)
        case Apply(function="add" | "sub" | "min" | "max" | "mod", args=(left, right)):
            return gcd(divisor(left, known), divisor(right, known))
        case Apply(function="select", args=(_, left, right)):
            return gcd(divisor(left, known), divisor(right, known))
        case Apply(function="floordiv", args=(left, Const(value=by))) if by > 0:
            whole = divisor(left, known)
            return whole // int(by) if whole % int(by) == 0 else 1
        case Apply(function="xor", args=(left, right)):
            return _power_of_two(gcd(divisor(left, known), divisor(right, known)))
    return 1


def _power_of_two(number: int) -> int:
    """The largest power of two that divides a number."""
    return number & -number


def place_divisor(
    buffer: Buffer, indices: Sequence[Expr], bounds: Bounds, known: Mapping[str, int]
) -> int:
    """A number that divides the place of an element in its memory; 0 for the first element."""
    at = tuple(indices)
    if buffer.layout is not None:
        at = tuple(simplify(part, bounds) for part in buffer.layout.apply(at))
    terms = linear_sum(zip(at, buffer.strides, strict=True), bounds)
    return gcd(
        *(factor * (1 if term is None else divisor(term, known)) for term, factor in terms.items())
    )


def alignment_of(buffer: Buffer) -> int:
    """The bytes that a buffer's address is a multiple of."""
    if buffer.space is Space.SHARED:
        return max(WIDEST, buffer.alignment)
    return buffer.alignment or buffer.dtype.bytes


def with_needed_alignment(kernel: Kernel) -> Kernel:
    """The kernel, asking its callers for no more than what its wide accesses need."""
    needed: dict[str, int] = {}
    for _, buffer, _, wanted in _wide(kernel):
        if wanted > buffer.dtype.bytes:
            needed[buffer.name] = max(needed.get(buffer.name, 0), wanted)
    params = tuple(
        replace(param, alignment=needed.get(param.name, 0)) for param in kernel.params
    )
    return replace(kernel, params=params)


def check_alignment(kernel: Kernel) -> None:
    """`VerifyError` where the address of a wide access is not proven to be a multiple of what its
    instruction asks for."""
    bounds, lets = static_bounds(kernel.body), plain_lets(kernel.body)
    for call, buffer, indices, wanted in _wide(kernel):
        at = tuple(substitute_vars(part, lets) for part in indices)
        place = place_divisor(buffer, at, bounds, {}) * buffer.dtype.bytes
        found = gcd(place, alignment_of(buffer))
        if found % wanted:
            raise VerifyError(
                f"kernel '{kernel.name}': '{call.callee}' needs a multiple of {wanted} bytes, "
                f"'{buffer.name}' is there at one of {found}"
            )


def _wide(kernel: Kernel) -> Iterator[tuple[Call, Buffer, tuple[Expr, ...], int]]:
    """The windows in memory of calls that ask for an alignment."""
    for stmt in walk(kernel.body):
        if not isinstance(stmt, Call) or stmt.callee not in INSTRUCTIONS:
            continue
        wanted = INSTRUCTIONS[stmt.callee].alignment
        for window in stmt.windows:
            buffer = kernel.buffers[window.buffer]
            if wanted and buffer.space in (Space.GLOBAL, Space.SHARED):
                yield stmt, buffer, window.offsets, wanted
