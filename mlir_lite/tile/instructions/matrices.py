"""Instructions on the matrix registers of a CPU, Intel's AMX: up to sixteen rows of 64 bytes each.

    call @tile_zero_f32(acc[0, 0, 0, 0]; 16)
    call @tile_load_bf16(a[0, 0, 0], x[m, k]; 16, 32, 1)
    call @tile_panel_bf16(b[0, 0], w[k, n, 0]; 16)
    call @tdpbf16ps(acc[0, 0, 0, 0], a[0, 0, 0], b[0, 0]; 16, 16)
    call @tile_store_f32(sums[0, 0], acc[0, 0, 0, 0]; 16)

The scalars say how many rows a matrix has, and how much of each; a machine knows these by the
registers, so that all uses of a buffer must agree with its shape (Intel SDM, "Intel AMX").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...expr import INDEX, Expr, Load, Var, cast, const, index
from ...types import DType, bf16, f32, i8, i32, u8
from ..nodes import Accumulate, Block, Buffer, Kind, Loop, Proc, Ref, Stmt, Store

REGISTERS = 8
ROWS, ROW_BYTES = 16, 64
COLUMNS = ROW_BYTES // f32.bytes  # of a matrix of sums


@dataclass(frozen=True)
class MatrixProduct:
    """An instruction that adds a product of matrices of narrow elements to one of sums."""

    name: str
    total: DType
    left: DType
    right: DType

    @property
    def together(self) -> int:
        """Neighbours that are one 32-bit element."""
        return self.total.bytes // self.left.bytes

    @property
    def load_left(self) -> str:
        return f"tile_load_{self.left}"

    @property
    def load_runs(self) -> str:
        return f"tile_runs_{self.left}"

    @property
    def load_right(self) -> str:
        return f"tile_panel_{self.right}"

    @property
    def zero(self) -> str:
        return f"tile_zero_{self.total}"

    @property
    def store(self) -> str:
        return f"tile_store_{self.total}"


# By the instruction that does one row of it in the lanes of a vector.
PRODUCTS: Mapping[str, MatrixProduct] = {
    "vpdpbusd": MatrixProduct("tdpbusd", i32, u8, i8),
    "vpdpbf16ps": MatrixProduct("tdpbf16ps", f32, bf16, bf16),
}


def matrix_procs() -> Iterator[tuple[Proc, str]]:
    """Every one of them, with the name of what it writes."""
    for made in PRODUCTS.values():
        yield _zero(made), "to"
        yield _load(made), "to"
        yield _runs(made), "to"
        yield _panel(made), "to"
        yield _product(made), "acc"
        yield _store(made), "to"


_I, _J, _K, _Q = (Var(INDEX, axis) for axis in "ijkq")
_ROWS, _WIDTH, _APART, _DEPTH = (Var(INDEX, name) for name in ("rows", "width", "apart", "depth"))


def _zero(made: MatrixProduct) -> Proc:
    """`to[i, j] = 0`."""
    body = _loops(((_I, _ROWS), (_J, COLUMNS)), Store(Ref("to", (_I, _J)), const(0, made.total)))
    return Proc(made.zero, (_sums("to", made),), ("rows",), body)


def _load(made: MatrixProduct) -> Proc:
    """`to[i, j] = from[i * apart, j]`."""
    value = Load(made.left, "from", (_I * _APART, _J))
    given = Buffer("from", made.left, (ROWS * ROWS, _width(made.left)))
    return _loaded(made.load_left, made.left, value, given)


def _runs(made: MatrixProduct) -> Proc:
    """`to[i, j] = from[i * apart + j]`: rows that overlap."""
    value = Load(made.left, "from", (_I * _APART + _J,))
    given = Buffer("from", made.left, (ROWS * ROWS + _width(made.left),))
    return _loaded(made.load_runs, made.left, value, given)


def _loaded(name: str, dtype: DType, value: Expr, given: Buffer) -> Proc:
    body = _loops(((_I, _ROWS), (_J, _WIDTH)), Store(Ref("to", (_I, _J)), value))
    to = Buffer("to", dtype, (ROWS, _width(dtype)))
    return Proc(name, (to, given), ("rows", "width", "apart"), body)


def _panel(made: MatrixProduct) -> Proc:
    """`to[k, j * together + q] = from[k, j, q]`."""
    together, dtype = made.together, made.right
    store = Store(Ref("to", (_K, _J * together + _Q)), Load(dtype, "from", (_K, _J, _Q)))
    params = (
        Buffer("to", dtype, (ROWS, _width(dtype))),
        Buffer("from", dtype, (ROWS, COLUMNS, together)),
    )
    body = _loops(((_K, _DEPTH), (_J, COLUMNS), (_Q, together)), store)
    return Proc(made.load_right, params, ("depth",), body)


def _product(made: MatrixProduct) -> Proc:
    """`acc[i, j] += sum over k, q of a[i, k * together + q] * b[k, j * together + q]`. The machine
    adds up the terms of each q first, then these; it flushes denormals, which these loops do not.
    """
    together, total = made.together, made.total
    left = Load(made.left, "a", (_I, _K * together + _Q))
    right = Load(made.right, "b", (_K, _J * together + _Q))
    factors = cast(left, total) * cast(right, total)
    update = Accumulate("sum", (Ref("acc", (_I, _J)),), (factors,))
    axes = ((_I, _ROWS), (_J, COLUMNS), (_K, _DEPTH), (_Q, together))
    params = (
        _sums("acc", made),
        Buffer("a", made.left, (ROWS, _width(made.left))),
        Buffer("b", made.right, (ROWS, _width(made.right))),
    )
    return Proc(made.name, params, ("rows", "depth"), _loops(axes, update))


def _store(made: MatrixProduct) -> Proc:
    """`to[i, j] = from[i, j]`."""
    store = Store(Ref("to", (_I, _J)), Load(made.total, "from", (_I, _J)))
    params = (_sums("to", made), _sums("from", made))
    return Proc(made.store, params, ("rows",), _loops(((_I, _ROWS), (_J, COLUMNS)), store))


def _sums(name: str, made: MatrixProduct) -> Buffer:
    return Buffer(name, made.total, (ROWS, COLUMNS))


def _width(dtype: DType) -> int:
    return ROW_BYTES // dtype.bytes


def _loops(axes: tuple[tuple[Var, Expr | int], ...], stmt: Stmt) -> Block:
    """Nested loops from 0 over these axes, the first outermost."""
    body: Block = (stmt,)
    for axis, extent in reversed(axes):
        stop = index(extent) if isinstance(extent, int) else extent
        body = (Loop(axis.name, index(0), stop, body, Kind.SERIAL),)
    return body
