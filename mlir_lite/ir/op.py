"""The base class of operations, and what is derived from a class: operands, attributes, keys.

An operation is a frozen dataclass decorated with `@op`. Fields typed `Value`, `Value | None` or
`tuple[Value, ...]` are operands, all others are attributes.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, ParamSpec, Protocol, TypeAlias, TypeVar, dataclass_transform

from ..expr import Expr
from ..sizes import Shape
from ..tile.nodes import Kernel
from ..types import Array, TensorType
from .constant import ConstantData
from .current import current_builder
from .value import Value

Types: TypeAlias = TensorType | tuple[TensorType, ...]
P = ParamSpec("P")
T = TypeVar("T", bound="type[Op]")


class Element(Protocol):
    """What a `body` sees of an operand: its type, and its element at an index."""

    @property
    def type(self) -> TensorType:
        """The operand's type, of known sizes."""
        ...

    def __getitem__(self, at: Expr | tuple[Expr, ...]) -> Expr: ...


class Op:
    """An operation. Its meaning is `body` (the value at one index) or `decompose`.

    `reference` (NumPy, the oracle) and `body` are two definitions on purpose: each tests the other.
    """

    name: ClassVar[str]
    operand_fields: ClassVar[tuple[str, ...]]
    attribute_fields: ClassVar[tuple[str, ...]]
    pure: ClassVar[bool] = True
    fallible: ClassVar[bool] = False  # whether `reference` may raise `RunError` for some data

    def infer(self) -> Types:
        """The result type(s); `TypeRuleError` where the operands do not fit."""
        raise NotImplementedError(f"{self.name} has no type rule")

    # The signatures of these differ by operation: one parameter per operand field.

    def reference(self, *operands: Any, **_: Any) -> Any:
        """The result(s) as NumPy arrays."""
        raise NotImplementedError(f"{self.name} has no reference")

    def body(self, *args: Any, **_: Any) -> Any:
        """`body(at, *operands)`: the value of the result(s) at index `at`, as an expression."""
        raise NotImplementedError(f"{self.name} has no body")

    def decompose(self, *args: Any, **_: Any) -> Any:
        """`decompose(*operands)`: the same result(s) written with other operations."""
        raise NotImplementedError(f"{self.name} has no decomposition")

    def kernel(self, name: str) -> Kernel:
        """Naive Tile IR written by hand, for what no body can say.

        Its parameters are named as the operand fields, then "out" (of several: "out0", "out1", …).
        """
        raise NotImplementedError(f"{self.name} has no kernel")

    def block_kernel(self, name: str) -> Kernel:
        """As `kernel`, for a machine whose blocks of threads have no library that `kernel` calls:
        parallel loops inside of parallel ones say what the threads of a block may do at once."""
        raise NotImplementedError(f"{self.name} has no kernel for blocks")

    @property
    def stores_once(self) -> bool:
        """Whether the `kernel` stores each element of its one result once, and in vectors, so that
        what follows element by element is best computed there."""
        return False

    def gradient(self, *args: Any, **_: Any) -> Any:
        """`gradient(*results, *result_gradients)`: a gradient for each operand field.

        Written with operations, so that it has gradients too; a tuple for a field of several
        values. None stands for zero, among what is given (of several results) and what is returned.
        An operation without one that has a decomposition gets that one's.
        """
        raise NotImplementedError(f"{self.name} has no gradient")

    def saving(self) -> Op | None:
        """The operation with the same results and after them further ones that its gradient reads.

        Reverse mode emits it in place of this one, and asks it for the gradient; that of a further
        result is None where only these results are used. None where nothing needs to be saved.
        """
        return None

    def fault(self, *args: Any, **_: Any) -> tuple[Expr, str] | None:
        """`fault(at, *operands)`: a condition on the data that is an error, and what to say.

        `at` runs over `fault_shape`.
        """
        return None

    @property
    def fault_shape(self) -> Shape:
        """The index space in which `fault` is asked: that of the first result, if not said."""
        return result_types(self)[0].shape

    def failure(self, at: tuple[Expr, ...], *results: Any) -> tuple[Expr, str] | None:
        """As `fault`, on the results: what the operation itself found wrong with the data.

        `at` runs over the last result.
        """
        return None

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        """The operation that does the same to operands whose axes are permuted by `perm`.

        `op.permuted(perm)(transpose(x, perm)) == transpose(op(x), perm)`; the caller replaces the
        operands. None where there is no such operation.
        """
        return None

    @classmethod
    def has(cls, method: str) -> bool:
        """Whether the class defines `body`, `decompose`, `gradient` … itself."""
        return getattr(cls, method) is not getattr(Op, method)

    # Kept, because every pass asks for these of every operation.

    @cached_property
    def operands(self) -> tuple[Value, ...]:
        """All operands in order, absent optional ones left out."""
        found: list[Value] = []
        for name in self.operand_fields:
            entry = getattr(self, name)
            if isinstance(entry, Value):
                found.append(entry)
            elif entry is not None:
                found.extend(entry)
        return tuple(found)

    @property
    def attributes(self) -> dict[str, object]:
        """The attributes by name, in the order of the fields."""
        return {name: getattr(self, name) for name in self.attribute_fields}

    def map_operands(self, visit: Callable[[Value], Value]) -> Op:
        """The same operation on other values."""
        return self.rebuild(visit, lambda attribute: attribute)

    def rebuild(
        self, operand: Callable[[Value], Value], attribute: Callable[[object], object]
    ) -> Op:
        """The same operation with operands and attributes replaced; itself if none changes."""
        changed: dict[str, object] = {}
        for name in self.operand_fields:
            entry = getattr(self, name)
            if isinstance(entry, Value):
                new: object = operand(entry)
            elif entry is None:
                new = None
            else:
                new = tuple(operand(value) for value in entry)
                if all(a is b for a, b in zip(new, entry, strict=True)):
                    new = entry
            if new is not entry:
                changed[name] = new
        for name in self.attribute_fields:
            entry = getattr(self, name)
            new = attribute(entry)
            if new is not entry:
                changed[name] = new
        if not changed:
            return self
        for name in (*self.operand_fields, *self.attribute_fields):
            changed.setdefault(name, getattr(self, name))
        # Every `@op` class is a dataclass, which the base class cannot say.
        made: Op = typing.cast(Any, type(self))(**changed)
        return made

    def arguments(self, values: Mapping[Value, Any]) -> list[Any]:
        """Per operand field what stands for it in `values`: one entry, a tuple, or None."""
        picked: list[Any] = []
        for name in self.operand_fields:
            entry = getattr(self, name)
            if isinstance(entry, Value):
                picked.append(values[entry])
            elif entry is None:
                picked.append(None)
            else:
                picked.append(tuple(values[value] for value in entry))
        return picked

    def key(self) -> object:
        """Equal keys, equal operations on the same values: what common subexpressions are."""
        return self._key

    @cached_property
    def _key(self) -> object:
        parts: list[object] = [type(self)]
        for name in self.operand_fields:
            entry = getattr(self, name)
            parts.append(entry if isinstance(entry, Value) or entry is None else tuple(entry))
        parts.extend(attribute_key(getattr(self, name)) for name in self.attribute_fields)
        return tuple(parts)


def attribute_key(entry: object) -> object:
    """What tells attributes apart, where the equality of Python does not."""
    if isinstance(entry, ConstantData):
        return entry.key()
    if isinstance(entry, tuple):
        if all(type(part) is int for part in entry):  # a shape or such: as it is
            return entry
        return tuple([attribute_key(part) for part in entry])
    # 1, 1.0 and True are equal in Python, not here; NaN equals itself here.
    return (type(entry), repr(entry) if isinstance(entry, float) else entry)


def _is_operand(hint: object) -> bool:
    if hint is Value:
        return True
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return Value in args
    return origin is tuple and bool(args) and args[0] is Value


@dataclass_transform(frozen_default=True, eq_default=False)
def op(cls: T) -> T:
    """Make a class an operation: a frozen dataclass with its operand and attribute fields found."""
    built = dataclass(frozen=True, eq=False, repr=False)(cls)
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(typing.cast(Any, built))]
    built.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower().rstrip("_")
    built.operand_fields = tuple(name for name in names if _is_operand(hints[name]))
    built.attribute_fields = tuple(name for name in names if not _is_operand(hints[name]))
    return typing.cast(T, built)


def constructor(cls: Callable[P, Op]) -> Callable[P, Value]:
    """The function that emits this operation into the current Builder and gives its one result."""

    def construct(*args: P.args, **kwargs: P.kwargs) -> Value:
        return current_builder().emit(cls(*args, **kwargs))[0]

    construct.__doc__ = cls.__doc__
    construct.__name__ = construct.__qualname__ = getattr(cls, "name", "construct")
    return construct


def multi_constructor(cls: Callable[P, Op]) -> Callable[P, tuple[Value, ...]]:
    """As `constructor`, for an operation with several results."""

    def construct(*args: P.args, **kwargs: P.kwargs) -> tuple[Value, ...]:
        return current_builder().emit(cls(*args, **kwargs))

    construct.__doc__ = cls.__doc__
    construct.__name__ = construct.__qualname__ = getattr(cls, "name", "construct")
    return construct


def results_of(value: Array | tuple[Array, ...]) -> tuple[Array, ...]:
    """One result or several, as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def result_types(op_: Op) -> tuple[TensorType, ...]:
    """The types of an operation's results by its type rule, as a tuple."""
    types_ = op_.infer()
    return types_ if isinstance(types_, tuple) else (types_,)
