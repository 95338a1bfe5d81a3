"""From the nodes of an ONNX graph to a `Function`: the walk, and what it reports.

Named sizes of the inputs stay named. Every node that cannot be read is collected, so that one
error names them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import ParseError, TypeRuleError, UnsupportedError, check
from ...ir import Builder, ConstantData, Function, Value, current_builder, parameter
from ...location import Location
from ...ops.table import TABLE
from ...sizes import Shape
from ...types import TensorType
from ..names import identifier
from .call import Call, ValueNeeded
from .fit import Equation, SizesDiffer, aligned, beside
from .model import OnnxFile, OnnxGraph, OnnxInput, OnnxNode
from .readers.constant import constant_operand
from .refusals import refusal
from .sizes import Operand, as_value
from .table import READERS


class _Skipped(Exception):
    """A branch has results that cannot be had, which is reported elsewhere."""


@dataclass(frozen=True)
class Problem:
    """A node that cannot be read, and why."""

    op_type: str
    version: int | None
    node: str
    reason: str

    def kind(self) -> str:
        version = "" if self.version is None else f" (version {self.version})"
        return f"{self.op_type}{version}"


@dataclass(frozen=True, eq=False)
class Walk:
    """One pass over the nodes; `problems` and `inputs_needed` grow on the way.

    `inputs` gives the file's name of an input by that of its parameter.
    """

    file: str
    inputs: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    inputs_needed: set[str] = field(default_factory=set)

    def graph(
        self, graph: OnnxGraph, outer: Mapping[str, Operand | None]
    ) -> tuple[Operand | None, ...]:
        """The graph's results; None stands for one that cannot be had."""
        scope: dict[str, Operand | None] = dict(outer)
        for name, data in graph.initializers.items():
            scope[name] = constant_operand(data)
        for node in graph.nodes:
            with current_builder().at(Location(self.file, 0, node.name)):
                results = self._node(node, scope)
            scope.update(zip(node.outputs, results, strict=False))
        missing = [name for name in graph.outputs if name not in scope]
        check(not missing, f"{self.file}: nobody gives {missing}", ParseError)
        return tuple(scope[name] for name in graph.outputs)

    def _node(
        self, node: OnnxNode, scope: Mapping[str, Operand | None]
    ) -> Sequence[Operand | None]:
        """The node's results, None for each if it cannot be read."""
        absent: Sequence[Operand | None] = (None,) * len(node.outputs)
        unknown = [name for name in node.inputs if name and name not in scope]
        check(not unknown, f"{self.file}: node '{node.name}' uses {unknown}", ParseError)
        version = node.version
        known = {} if node.domain else READERS.get(node.op_type, {})
        reader = None if version is None else known.get(version)
        if reader is None or version is None:
            self._report(node, refusal(node.domain, node.op_type))
            return absent
        if any(name and scope[name] is None for name in node.inputs):
            return absent
        operands = tuple(scope[name] if name else None for name in node.inputs)

        try:
            results = reader(self._call(node, version, operands, scope))
        except _Skipped:
            return absent
        except ValueNeeded as error:
            self._report(node, self._value_needed(error))
            return absent
        except SizesDiffer as error:
            raise SizesDiffer(f"{self._place(node)}: {error}", error.equations) from None
        except UnsupportedError as error:
            self._report(node, str(error))
            return absent
        except ParseError as error:
            raise ParseError(f"{self._place(node)}: {error}") from None
        except (ValueError, IndexError, ArithmeticError) as error:
            # What NumPy refuses to do to a known shape, or to a constant, is the model's mistake.
            raise ParseError(f"{self._place(node)}: {error}") from error
        except TypeRuleError as error:
            raise self._type_error(node, operands, str(error)) from None
        found = results if isinstance(results, tuple) else (results,)
        wanted = [name for name in node.outputs[len(found) :] if name]
        check(not wanted, f"{self._place(node)} has no outputs {wanted}", ParseError)
        return found

    def _call(
        self,
        node: OnnxNode,
        version: int,
        operands: tuple[Operand | None, ...],
        scope: Mapping[str, Operand | None],
    ) -> Call:
        """What a reader is given: the node with its operands, and ways into its regions."""

        def enter(part: OnnxGraph, given: Sequence[Operand]) -> tuple[Operand, ...]:
            results = self.graph(part, {**scope, **dict(zip(part.parameters, given, strict=True))})
            found = tuple(result for result in results if result is not None)
            if len(found) < len(results):
                raise _Skipped
            return found

        def attempt(read: Callable[[], tuple[Operand, ...]]) -> tuple[Operand, ...] | None:
            before = len(self.problems)
            try:
                return read()
            except _Skipped:
                del self.problems[before:]
                return None

        return Call(node, version, operands, enter, attempt)

    def _value_needed(self, error: ValueNeeded) -> str:
        """What to say of a shape that depends on values; the inputs that decide it are noted."""
        if not error.inputs <= self.inputs.keys():
            return "a shape depends on what a loop computes"
        needed = {self.inputs[param] for param in error.inputs}
        self.inputs_needed.update(needed)
        names = ", ".join(f"'{name}'" for name in sorted(needed))
        return f"a shape depends on the value of {names}; give it with values="

    def _place(self, node: OnnxNode) -> str:
        return f"{self.file}, node '{node.name}' ({node.op_type})"

    def _report(self, node: OnnxNode, reason: str) -> None:
        kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        self.problems.append(Problem(kind, node.version, node.name, reason))

    def _type_error(
        self, node: OnnxNode, operands: Sequence[Operand | None], message: str
    ) -> Exception:
        """A broken type rule: the model's mistake, unless a named size hides the truth."""
        shapes = [operand.shape for operand in operands if operand is not None]
        text = f"{self._place(node)}: {message}"
        if all(isinstance(entry, int) for shape in shapes for entry in shape):
            return ParseError(text)
        return SizesDiffer(f"{text}; import with shapes=", _equations(node, shapes))

    def check_complete(self) -> None:
        """Report every node that could not be read."""
        if not self.problems:
            return
        lines = [f"{self.file} needs what is not supported:"]
        by_kind: dict[tuple[str, str], list[str]] = {}
        for problem in self.problems:
            by_kind.setdefault((problem.kind(), problem.reason), []).append(problem.node)
        for (kind, reason), nodes in by_kind.items():
            shown = ", ".join(f"'{name}'" for name in nodes[:3])
            more = ", …" if len(nodes) > 3 else ""
            lines.append(f"  {kind} x{len(nodes)} at {shown}{more}: {reason}")
        text = "\n".join(lines)
        if self.inputs_needed:
            raise ValueNeeded(frozenset(self.inputs_needed), text)
        raise UnsupportedError(text)


def _equations(node: OnnxNode, shapes: Sequence[Shape]) -> Sequence[Equation]:
    """The sizes that this operator wants equal."""
    axis = node.attributes.get("axis")
    if node.op_type == "Concat" and isinstance(axis, int):
        return beside(shapes, axis)
    if node.op_type == "MatMul" and min(map(len, shapes)) >= 2:
        inner = (shapes[0][-1], shapes[1][-2])
        return [inner, *aligned([shape[:-2] for shape in shapes])]
    return aligned(shapes)


def import_graph(
    file: OnnxFile,
    inputs: Sequence[tuple[str, OnnxInput, Shape]],
    values: Mapping[str, ConstantData],
) -> Function:
    """The function of the graph: `inputs` are its parameters, `values` the inputs that are known.

    Each of `inputs` is the parameter's name, the input, and its shape.

    Raises `UnsupportedError` with every node that cannot be read, `ParseError` for a wrong model.
    """
    walk = Walk(file.path, {name: entry.name for name, entry, _ in inputs})
    builder = Builder(TABLE)
    params = [parameter(name, TensorType(shape, entry.dtype)) for name, entry, shape in inputs]
    scope: dict[str, Operand | None] = {
        entry.name: param for (_, entry, _), param in zip(inputs, params, strict=True)
    }
    with builder.active():
        scope.update((name, constant_operand(data)) for name, data in values.items())
        results = walk.graph(file.graph, scope)
        walk.check_complete()
        found: list[Value] = [as_value(result) for result in results if result is not None]
    return builder.finish(identifier(file.graph.name) or "main", params, found)
