"""What the reader of an operator sees of a node: its operands, its attributes, its version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ...errors import ParseError, UnsupportedError, check
from ...ir import ConstantData, Function, Node, Scalar, Value, run_reference
from ...ops.base.extent import Extent
from ...sizes import Dim, Shape, Size
from ...types import Array, DType
from .model import Attribute, OnnxGraph, OnnxNode
from .sizes import MAX_KNOWN, Operand, Sizes, as_value

# Constants are evaluated while reading only where a shape needs them; weights are larger.
_MAX_EVALUATED = 1 << 20


class ValueNeeded(UnsupportedError):
    """A shape depends on the value of these inputs."""

    def __init__(self, inputs: frozenset[str], message: str = "") -> None:
        super().__init__(message)
        self.inputs = inputs


@dataclass(frozen=True, eq=False)
class Call:
    """One node with its operands; an optional operand that is left out is None.

    `enter` gives the results of a branch or of a loop's body for its inputs, read where the node
    stands. `attempt` gives what is read so, or None where a node in it cannot be read.
    """

    node: OnnxNode
    version: int
    operands: tuple[Operand | None, ...]
    enter: Callable[[OnnxGraph, Sequence[Operand]], tuple[Operand, ...]]
    attempt: Callable[[Callable[[], tuple[Operand, ...]]], tuple[Operand, ...] | None]

    @property
    def count(self) -> int:
        """How many operands are given."""
        return sum(operand is not None for operand in self.operands)

    def has(self, position: int) -> bool:
        return position < len(self.operands) and self.operands[position] is not None

    def operand(self, position: int) -> Operand:
        check(self.has(position), f"operand {position} is missing", ParseError)
        found = self.operands[position]
        assert found is not None
        return found

    def value(self, position: int) -> Value:
        return as_value(self.operand(position))

    def optional(self, position: int) -> Value | None:
        return self.value(position) if self.has(position) else None

    def shape(self, position: int) -> Shape:
        return self.operand(position).shape

    def dtype(self, position: int) -> DType:
        return self.operand(position).dtype

    def wants(self, output: int) -> bool:
        """Whether the model uses that output."""
        return output < len(self.node.outputs) and self.node.outputs[output] != ""

    # Operands whose value decides shapes

    def integers(self, position: int) -> tuple[Size, ...]:
        """The elements of an integer operand; `ValueNeeded` where they are not known yet."""
        operand = self.operand(position)
        check(operand.dtype.is_integer, f"operand {position} is {operand.dtype}", ParseError)
        if isinstance(operand, Sizes):
            return operand.flat()
        array = self.known(position).reshape(-1)
        check(array.size <= MAX_KNOWN, f"operand {position} has {array.size} elements", ParseError)
        return tuple(int(entry) for entry in array)

    def integer(self, position: int) -> Size:
        entries = self.integers(position)
        check(len(entries) == 1, f"operand {position} is not one number", ParseError)
        return entries[0]

    def known(self, position: int) -> Array:
        """The value of an operand that depends on constants only."""
        operand = self.operand(position)
        return operand.array() if isinstance(operand, Sizes) else constant_value(operand)

    def scalar(self, position: int, *, finite: bool = True) -> Scalar:
        """The one number of an operand that depends on constants only."""
        array = self.known(position)
        ok = array.size == 1 and (not finite or bool(np.isfinite(array).all()))
        check(ok, f"operand {position} is not one number", ParseError)
        found: Scalar = array.reshape(()).item()
        return found

    # Attributes

    def attribute(self, name: str) -> Attribute:
        return self.node.attributes.get(name)

    def int_(self, name: str, default: int | None = None) -> int:
        found = self.node.attributes.get(name, default)
        check(isinstance(found, int), f"the attribute '{name}' is no integer", ParseError)
        assert isinstance(found, int)
        return found

    def float_(self, name: str, default: float | None = None) -> float:
        found = self.node.attributes.get(name, default)
        check(isinstance(found, float), f"the attribute '{name}' is no number", ParseError)
        assert isinstance(found, float)
        return found

    def text(self, name: str, default: str) -> str:
        found = self.node.attributes.get(name, default)
        check(isinstance(found, str), f"the attribute '{name}' is no text", ParseError)
        assert isinstance(found, str)
        return found

    def ints(self, name: str) -> tuple[int, ...] | None:
        found = self.node.attributes.get(name)
        if found is None:
            return None
        ok = isinstance(found, tuple) and all(isinstance(entry, int) for entry in found)
        check(ok, f"the attribute '{name}' is no list of integers", ParseError)
        assert isinstance(found, tuple)
        return tuple(int(entry) for entry in found)

    def floats(self, name: str) -> tuple[float, ...]:
        found = self.node.attributes.get(name, ())
        check(isinstance(found, tuple), f"the attribute '{name}' is no list", ParseError)
        assert isinstance(found, tuple)
        return tuple(float(entry) for entry in found)

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.node.attributes.get(name, ())
        check(isinstance(found, tuple), f"the attribute '{name}' is no list", ParseError)
        assert isinstance(found, tuple)
        return tuple(str(entry) for entry in found)

    def tensor(self, name: str) -> ConstantData | None:
        found = self.node.attributes.get(name)
        ok = found is None or isinstance(found, ConstantData)
        check(ok, f"the attribute '{name}' is no tensor", ParseError)
        return found if isinstance(found, ConstantData) else None

    def graph(self, name: str) -> OnnxGraph:
        found = self.node.attributes.get(name)
        check(isinstance(found, OnnxGraph), f"the attribute '{name}' is no graph", ParseError)
        assert isinstance(found, OnnxGraph)
        return found


Results: TypeAlias = Operand | tuple[Operand, ...]
Reader: TypeAlias = Callable[[Call], Results]


def constant_value(value: Value) -> Array:
    """The value, computed in NumPy; `ValueNeeded` where it depends on inputs."""
    nodes, inputs = _dependencies(value)
    if inputs:
        raise ValueNeeded(inputs)
    for node in nodes:
        if isinstance(node.op, Extent) and isinstance(node.op.size, Dim):
            message = f"the size {node.op.size} must be a number here; import with shapes="
            raise UnsupportedError(message)
        for result in node.results:
            elements = result.type.elements
            small = isinstance(elements, int) and elements <= _MAX_EVALUATED
            check(small, f"a shape depends on a tensor of type {result.type}", UnsupportedError)
    return run_reference(Function("constant", (), tuple(nodes), (value,)), ())[0]


def _dependencies(value: Value) -> tuple[list[Node], frozenset[str]]:
    """The nodes that a value needs, in order, and the inputs among them."""
    ordered: dict[Node, None] = {}
    inputs: set[str] = set()
    pending: list[tuple[Value, bool]] = [(value, False)]
    while pending:
        entry, done = pending.pop()
        if entry.node is None:
            inputs.add(entry.name)
        elif done:
            ordered[entry.node] = None
        elif entry.node not in ordered:
            pending.append((entry, True))
            pending.extend((operand, False) for operand in entry.node.op.operands)
    return list(ordered), frozenset(inputs)
