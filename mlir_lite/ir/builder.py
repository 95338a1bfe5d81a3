"""The Builder: emits operations, infers their types, interns equal ones, drops dead ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from ..errors import TypeRuleError, check
from ..location import UNKNOWN, Location, caller_location
from ..types import Array, TensorType, dtype_of
from .constant import ConstantData
from .current import BUILDER
from .function import Function
from .op import Op, result_types
from .schema import with_plain_attributes
from .value import Node, Value


@dataclass(frozen=True)
class OpTable:
    """The operations there are: classes by name, and the functions behind `Value`'s methods.

    `lift` makes a value of an array (used for NumPy arrays that meet a `Value`).
    """

    classes: Mapping[str, type[Op]]
    functions: Mapping[str, Callable[..., Value]]
    lift: Callable[[ConstantData], Value]

    def call(self, function: str, *args: object, **options: object) -> Value:
        """What the function of this name gives; `TypeRuleError` where there is none."""
        check(function in self.functions, f"there is no function '{function}' in this table")
        return self.functions[function](*args, **options)


class Builder:
    """Collects the nodes of one function under construction."""

    def __init__(self, table: OpTable, *, locate: bool = False) -> None:
        """`locate`, for a user's function that is traced: each node carries the line of the call
        that emitted it."""
        self.table = table
        self.location = UNKNOWN
        self.locates = locate
        self._nodes: list[Node] = []
        self._interned: dict[object, tuple[Value, ...]] = {}
        self._captured: dict[int, ConstantData] = {}

    def another(self) -> Builder:
        """A Builder of the same operations, for a function beside this one."""
        return Builder(self.table)

    def captured(self, array: Array) -> ConstantData:
        """The data of an array of the user's as it is now, whatever is written into it later.

        An array that is used again, and has not changed, gives the same data.
        """
        known = self._captured.get(id(array))
        if known is None or not _holds(known, array):
            known = self._captured[id(array)] = ConstantData.captured(array)
        return known

    @contextmanager
    def active(self) -> Iterator[Builder]:
        """Make this the current Builder."""
        token = BUILDER.set(self)
        try:
            yield self
        finally:
            BUILDER.reset(token)

    def at(self, location: Location) -> AbstractContextManager[None]:
        """Give what is emitted inside this location."""
        return _At(self, location)

    def emit(self, op: Op, types: tuple[TensorType, ...] | None = None) -> tuple[Value, ...]:
        """The results of `op`: new ones, or those of an equal operation emitted before. `types`
        are theirs, where they are known and need not be inferred."""
        if self.locates:
            op = self._as_meant(op)
        key = op.key() if op.pure else None
        if key is not None and key in self._interned:
            return self._interned[key]
        location = self._location_now()
        if types is None:
            try:
                types = result_types(op)
            except TypeRuleError as error:
                raise _located(op, error, location) from None
        return self._add(Node(op, types, location), key)

    def _as_meant(self, op: Op) -> Op:
        """The operation with Python's numbers where the user's program has NumPy's."""
        try:
            return with_plain_attributes(op)
        except TypeRuleError as error:
            raise _located(op, error, self._location_now()) from None

    def _location_now(self) -> Location:
        located = self.locates and self.location is UNKNOWN
        return caller_location() if located else self.location

    def again(self, node: Node, op: Op) -> tuple[Value, ...]:
        """The results of `op`, which is the operation of a node of another function, on values of
        the same types. The node itself becomes part of this function if it has the same values."""
        if op is not node.op:
            return self.emit(op, tuple(result.type for result in node.results))
        key = op.key() if op.pure else None
        if key is not None and key in self._interned:
            return self._interned[key]
        return self._add(node, key)

    def _add(self, node: Node, key: object) -> tuple[Value, ...]:
        self._nodes.append(node)
        if key is not None:
            self._interned[key] = node.results
        return node.results

    def finish(
        self,
        name: str,
        params: Sequence[Value],
        results: Sequence[Value],
        *,
        static: frozenset[str] = frozenset(),
    ) -> Function:
        """The function, without the nodes that no result needs."""
        return Function(
            name, tuple(params), live_nodes(self._nodes, results), tuple(results), static
        )

    def remade(
        self, fn: Function, results: Sequence[Value], params: Sequence[Value] | None = None
    ) -> Function:
        """The function `fn` with these results in place of its own, and maybe parameters of other
        types: what else is said of it stays."""
        nodes = live_nodes(self._nodes, results)
        given = fn.params if params is None else tuple(params)
        return replace(fn, params=given, nodes=nodes, results=tuple(results))


class _At:
    """A builder at a location: a class, because passes enter one for each operation."""

    __slots__ = ("_before", "_builder", "_location")

    def __init__(self, builder: Builder, location: Location) -> None:
        self._builder, self._location, self._before = builder, location, builder.location

    def __enter__(self) -> None:
        self._builder.location = self._location

    def __exit__(self, *error: object) -> None:
        self._builder.location = self._before


def _holds(data: ConstantData, array: Array) -> bool:
    """Whether the data is, bit by bit, what an array holds."""
    if data.type != TensorType(tuple(array.shape), dtype_of(array)):
        return False
    mine, theirs = (np.ascontiguousarray(one).reshape(-1) for one in (data.array(), array))
    return bool(np.array_equal(mine.view(np.uint8), theirs.view(np.uint8)))


def live_nodes(nodes: Sequence[Node], results: Sequence[Value]) -> tuple[Node, ...]:
    """The nodes that the results depend on, and those with effects, in order."""
    needed: set[Value] = set(results)
    kept: list[Node] = []
    for node in reversed(nodes):
        if not node.op.pure or any(result in needed for result in node.results):
            kept.append(node)
            needed.update(node.op.operands)
    return tuple(reversed(kept))


def _located(op: Op, error: TypeRuleError, location: Location) -> TypeRuleError:
    """What is wrong with an operation, with the types of its operands and the user's line."""
    operands = ", ".join(str(value.type) for value in op.operands)
    where = "" if location is UNKNOWN else location.full()
    return TypeRuleError(f"'{op.name}' ({operands}): {error}", where)


def parameter(name: str, type_: TensorType) -> Value:
    """A parameter of a function under construction."""
    return Value(type_, name=name)
