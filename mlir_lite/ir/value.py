"""Values and nodes: the SSA graph. Both are immutable and compared by identity."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import check
from ..location import UNKNOWN, Location
from ..sizes import Dim, Shape, Size
from ..types import DType, TensorType
from .current import current_builder
from .traced import Traced

if TYPE_CHECKING:
    from .op import Op

Scalar: TypeAlias = int | float | bool


class Node:
    """One operation in a function, with its results and the user's source line."""

    __slots__ = ("location", "op", "results")

    def __init__(self, op: Op, types: Sequence[TensorType], location: Location = UNKNOWN) -> None:
        self.op = op
        self.location = location
        self.results: tuple[Value, ...] = tuple(
            Value(type_, node=self, position=position) for position, type_ in enumerate(types)
        )


class Value(Traced):
    """A tensor in a function: a parameter (no node) or a result of a node.

    Operators and methods emit operations into the current Builder, with NumPy's broadcasting and
    names; a Python scalar takes the array's element type.
    """

    __slots__ = ("name", "node", "position", "type")

    def __init__(
        self, type_: TensorType, *, node: Node | None = None, position: int = 0, name: str = ""
    ) -> None:
        self.type = type_
        self.node = node
        self.position = position
        self.name = name

    @property
    def op(self) -> Op | None:
        """The operation that gives this value; None for a parameter."""
        return None if self.node is None else self.node.op

    @property
    def shape(self) -> Shape:
        """The sizes of its axes: numbers, or names and sums of them that a call decides."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """The type of its elements."""
        return self.type.dtype

    @property
    def rank(self) -> int:
        """The number of its axes."""
        return len(self.type.shape)

    ndim = rank

    def __repr__(self) -> str:
        return f"<Value {self.name or 'of ' + self.op.name if self.op else self.name}: {self.type}>"

    def __len__(self) -> int:
        check(self.rank > 0, "a scalar has no len()")
        first = self.shape[0]
        check(isinstance(first, int), f"len() of the named size {first}")
        return cast(int, first)

    def __iter__(self) -> object:
        return iter([self[position] for position in range(len(self))])

    # Arithmetic

    def __add__(self, other: Operand) -> Value:
        return _emit("add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return _emit("add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return _emit("subtract", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return _emit("subtract", other, self)

    def __mul__(self, other: Operand) -> Value:
        return NotImplemented if _answers(other) else _emit("multiply", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return _emit("multiply", other, self)

    def __truediv__(self, other: Operand) -> Value:
        return _emit("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return _emit("divide", other, self)

    def __floordiv__(self, other: Operand) -> Value:
        return _emit("floor_divide", self, other)

    def __rfloordiv__(self, other: Operand) -> Value:
        return _emit("floor_divide", other, self)

    def __mod__(self, other: Operand) -> Value:
        return _emit("mod", self, other)

    def __rmod__(self, other: Operand) -> Value:
        return _emit("mod", other, self)

    def __pow__(self, other: Operand) -> Value:
        return _emit("power", self, other)

    def __rpow__(self, other: Operand) -> Value:
        return _emit("power", other, self)

    def __matmul__(self, other: Operand) -> Value:
        return NotImplemented if _answers(other) else _emit("matmul", self, other)

    def __rmatmul__(self, other: Operand) -> Value:
        return _emit("matmul", other, self)

    def __neg__(self) -> Value:
        return _emit("negative", self)

    def __abs__(self) -> Value:
        return _emit("absolute", self)

    # Comparison and logic

    def __lt__(self, other: Operand) -> Value:
        return _emit("less", self, other)

    def __le__(self, other: Operand) -> Value:
        return _emit("less_equal", self, other)

    def __gt__(self, other: Operand) -> Value:
        return _emit("greater", self, other)

    def __ge__(self, other: Operand) -> Value:
        return _emit("greater_equal", self, other)

    def __and__(self, other: Operand) -> Value:
        return _emit("bitwise_and", self, other)

    __rand__ = __and__

    def __or__(self, other: Operand) -> Value:
        return _emit("bitwise_or", self, other)

    __ror__ = __or__

    def __xor__(self, other: Operand) -> Value:
        return _emit("bitwise_xor", self, other)

    __rxor__ = __xor__

    def __invert__(self) -> Value:
        return _emit("bitwise_not", self)

    def __getitem__(self, key: Key | tuple[Key, ...]) -> Value:
        return _emit("getitem", self, key)

    # Methods of numpy.ndarray

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The sum over axes, by default all: `ml.sum`."""
        return _emit("sum", self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The mean over axes, by default all: `ml.mean`."""
        return _emit("mean", self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axes = None, keepdims: bool = False, correction: int = 0) -> Value:
        """The variance over axes, by default all: `ml.var`."""
        return _emit("var", self, axis=axis, keepdims=keepdims, correction=correction)

    def std(self, axis: Axes = None, keepdims: bool = False, correction: int = 0) -> Value:
        """The standard deviation over axes, by default all: `ml.std`."""
        return _emit("std", self, axis=axis, keepdims=keepdims, correction=correction)

    def any(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """Whether any element over axes, by default all, is true: `ml.any`."""
        return _emit("any", self, axis=axis, keepdims=keepdims)

    def all(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """Whether all elements over axes, by default all, are true: `ml.all`."""
        return _emit("all", self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The largest element over axes, by default all; NaN wins: `ml.max`."""
        return _emit("max", self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The smallest element over axes, by default all; NaN wins: `ml.min`."""
        return _emit("min", self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Axes = None, keepdims: bool = False) -> Value:
        """The product over axes, by default all: `ml.prod`."""
        return _emit("prod", self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Value:
        """Where the largest element along an axis is, or in all: `ml.argmax`."""
        return _emit("argmax", self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Value:
        """Where the smallest element along an axis is, or in all: `ml.argmin`."""
        return _emit("argmin", self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Size | tuple[Size, ...]) -> Value:
        """The same elements in another shape; -1 stands for what is left: `ml.reshape`."""
        return _emit("reshape", self, _flat(shape))

    def transpose(self, *perm: int | tuple[int, ...]) -> Value:
        """The axes in this order, by default reversed: `ml.transpose`."""
        return _emit("transpose", self, _flat(perm) or None)

    @property
    def T(self) -> Value:
        """The axes in reverse order."""
        return _emit("transpose", self, None)

    def flatten(self, start: int = 0) -> Value:
        """The axes from `start` on as one: `ml.flatten`."""
        return _emit("flatten", self, start)

    def squeeze(self, axis: Axes = None) -> Value:
        """Without axes of size 1, by default all such: `ml.squeeze`."""
        return _emit("squeeze", self, axis)

    def astype(self, dtype: DType) -> Value:
        """Converted to another element type: `ml.cast`."""
        return _emit("cast", self, dtype)

    def clip(self, minimum: Scalar | None = None, maximum: Scalar | None = None) -> Value:
        """The elements moved into limits; None is none: `ml.clip`."""
        return _emit("clip", self, minimum, maximum)


# With `Array`'s open element type, Value's comparisons would overlap with NumPy's for mypy.
Operand: TypeAlias = Value | Scalar | Dim | NDArray[np.generic]
Axes: TypeAlias = int | tuple[int, ...] | None
Key: TypeAlias = int | slice | EllipsisType | Value | NDArray[np.generic] | None


def _flat(items: tuple[object, ...]) -> tuple[object, ...]:
    """`f(2, 3)` and `f((2, 3))` alike."""
    if len(items) == 1 and isinstance(items[0], (tuple, list, np.ndarray)):
        return tuple(items[0])
    return items


def _emit(function: str, *args: object, **options: object) -> Value:
    """Call the table's function of that name in the current Builder."""
    return current_builder().table.call(function, *args, **options)


def _answers(other: object) -> bool:
    """Whether the right operand has the operator, as NumPy asks: a sparse matrix does."""
    return getattr(other, "__array_ufunc__", other) is None


def is_scalar(value: object) -> bool:
    """Whether this is a Python or NumPy number that takes an array's element type."""
    return isinstance(value, (int, float, bool, np.bool_, np.number)) and np.ndim(value) == 0
