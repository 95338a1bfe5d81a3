"""A small table of operations that together have every kind of field there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlir_lite.errors import check
from mlir_lite.ir import Builder, ConstantData, Function, Op, OpTable, Value, op, parameter
from mlir_lite.location import UNKNOWN, Location
from mlir_lite.sizes import Dim, Size
from mlir_lite.types import DType, TensorType, bf16, bool_, f32, u8


@op
class Matmul(Op):
    """Matrix product."""

    lhs: Value
    rhs: Value

    def infer(self) -> TensorType:
        (m, k), (other, n) = self.lhs.shape, self.rhs.shape
        check(k == other, f"the inner sizes {k} and {other} differ")
        return self.lhs.type.with_shape((m, n))


@op
class Concat(Op):
    """Operands side by side."""

    operands_: tuple[Value, ...]
    axis: int = 0

    def infer(self) -> TensorType:
        shape = list(self.operands_[0].shape)
        total: Size = 0
        for value in self.operands_:
            total = total + value.shape[self.axis]
        shape[self.axis] = total
        return self.operands_[0].type.with_shape(shape)


@op
class Everything(Op):
    """An attribute of each type."""

    x: Value
    bias: Value | None = None
    count: int = 1
    scale: float = 1.0
    flag: bool = False
    mode: str = "edge"
    dtype: DType | None = None
    sizes: tuple[int | Dim, ...] = ()
    mixed: tuple[int | float | bool | str | tuple[float, ...] | None, ...] = ()

    def infer(self) -> TensorType:
        return self.x.type if self.dtype is None else self.x.type.with_dtype(self.dtype)


@op
class Halves(Op):
    """Two results."""

    x: Value

    def infer(self) -> tuple[TensorType, TensorType]:
        return self.x.type, self.x.type


@op
class Constant(Op):
    """A constant."""

    value: ConstantData

    def infer(self) -> TensorType:
        return self.value.type


@op
class Group(Op):
    """One region."""

    inputs: tuple[Value, ...]
    region: Function
    kind: str = ""

    def infer(self) -> tuple[TensorType, ...]:
        return self.region.result_types


@op
class Cond(Op):
    """Two regions."""

    predicate: Value
    x: Value
    then: Function
    otherwise: Function

    def infer(self) -> tuple[TensorType, ...]:
        return self.then.result_types


@op
class Show(Op):
    """No result, only an effect."""

    pure = False
    x: Value

    def infer(self) -> tuple[TensorType, ...]:
        return ()


def _no_lift(data: ConstantData) -> Value:
    raise NotImplementedError


CLASSES: tuple[type[Op], ...] = (
    Matmul, Concat, Everything, Halves, Constant, Group, Cond, Show
)  # fmt: skip
TABLE = OpTable({cls.name: cls for cls in CLASSES}, {}, _no_lift)

HERE = Location("/home/user/classifier.py", 6)
Emit = Callable[[Op], tuple[Value, ...]]


def build(
    name: str,
    params: Sequence[Value],
    body: Callable[[Emit], Sequence[Value]],
    *,
    static: frozenset[str] = frozenset(),
    location: Location = UNKNOWN,
) -> Function:
    """The function whose results `body(emit)` gives."""
    builder = Builder(TABLE)
    with builder.at(location):
        results = body(builder.emit)
    return builder.finish(name, params, results, static=static)


def everything() -> Function:
    """A function with every kind of field in it."""
    x, flag = parameter("x", f32["n", 4]), parameter("input:0", bool_[()])
    n = Dim.named("n")

    def inner(value: Value) -> Function:
        p = parameter("x", value.type)
        return build("", (p,), lambda emit: emit(Everything(p, scale=0.5)), location=HERE)

    def body(emit: Emit) -> Sequence[Value]:
        (first,) = emit(Concat((x, x, x), axis=1))
        a, b = emit(Halves(first))
        (c,) = emit(
            Everything(
                a, b, -3, 1e-05, True, 'a "b"\n\x1bé\\', u8, (n * 2, 3, n // 4),
                (1, 1.0, True, "x", None, (float("nan"), float("-inf"))),
            )
        )  # fmt: skip
        (d,) = emit(Everything(b, None, dtype=bf16))
        emit(Show(d))
        (small,) = emit(Constant(ConstantData.of(np.array([[1, 2], [3, 4]], np.int64))))
        (large,) = emit(Constant(ConstantData.of(np.zeros(5000, np.float32), "fc/w:0")))
        (group,) = emit(Group((c, d), inner(c), "pointwise"))
        (cond,) = emit(Cond(flag, group, inner(c), inner(c)))
        return (cond, d, small, large)

    return build("main", (x, flag), body, static=frozenset({"input:0"}), location=HERE)


def describe(fn: Function) -> Any:
    """A function as nested tuples: equal for functions that are equal but for identity."""
    numbers: dict[Value, int] = {}

    def define(values: Sequence[Value]) -> list[tuple[str, str]]:
        for value in values:
            numbers[value] = len(numbers)
        return [(value.name, str(value.type)) for value in values]

    def part(entry: object) -> object:
        match entry:
            case Function():
                return describe(entry)
            case ConstantData():
                return (entry.key(), entry.name)
            case tuple():
                return tuple(map(part, entry))
        return (type(entry), repr(entry))

    params = define(fn.params)
    nodes = []
    for node in fn.nodes:
        operands = [
            tuple(numbers[v] for v in entry) if isinstance(entry, tuple) else numbers.get(entry)
            for entry in (getattr(node.op, field) for field in node.op.operand_fields)
        ]
        attributes = {name: part(value) for name, value in node.op.attributes.items()}
        nodes.append((node.op.name, operands, attributes, define(node.results), node.location))
    return fn.name, params, nodes, [numbers[value] for value in fn.results], fn.static
