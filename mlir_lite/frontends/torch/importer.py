"""From the nodes of a graph of torch's to a `Function`: the walk, and what it reports.

Every operator that cannot be read is collected, so that one error names them all, with their lines.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeAlias

import torch
from torch import fx

from ... import ops
from ...errors import PassError, TypeRuleError, UnsupportedError, check
from ...ir import Builder, ConstantData, Function, Value, current_builder, parameter
from ...location import UNKNOWN, Location
from ...ops.base.constant import constant
from ...ops.base.promote import as_value
from ...ops.table import TABLE
from ...sizes import Dim
from ...types import TensorType, f64, i64
from ..names import identifier, unique
from .forms import Form
from .places import place_of
from .promote import Operand, Ratio, converted
from .readers.typed import AnyReader, Drawing, Source, Typed
from .shapes import Symbols, element_type
from .table import name_of, reader_of, refusal
from .weights import Weights

# What stands for a node: tensors, sizes and other numbers, a graph within the graph, or lists.
Given: TypeAlias = Any


class _Absent:
    """Stands for results of an operator that cannot be read, which is reported elsewhere."""


_ABSENT = _Absent()
# A number taken out of a tensor, which stays a tensor here.
_NUMBER = torch.ops.aten._local_scalar_dense.default
# Where and in what order memory holds a tensor is nothing that a value has.
_OF_MEMORY = frozenset({"layout", "device", "pin_memory", "memory_format", "non_blocking"})


@dataclass(frozen=True)
class Problem:
    """An operator that cannot be read, where it stands, and why."""

    operator: str
    place: Location
    reason: str


@dataclass(frozen=True, eq=False)
class Walk:
    """One pass over the nodes; `problems` grows on the way."""

    name: str
    symbols: Symbols
    weights: Weights
    seed: Value | None = None
    problems: list[Problem] = field(default_factory=list)
    _streams: Iterator[int] = field(default_factory=count)

    def graph(
        self, module: fx.GraphModule, given: Sequence[Given], wanted: Sequence[int] | None = None
    ) -> tuple[Given, ...]:
        """The results of a graph, all or those at the places `wanted`, for what its placeholders
        stand for."""
        given_back = module.graph.output_node().args[0]
        places = range(len(given_back)) if wanted is None else wanted
        results = [given_back[place] for place in places]
        scope: dict[fx.Node, Given] = {}
        inputs = iter(given)
        live = _live(module.graph, results)
        for node in module.graph.nodes:
            match node.op:
                case "placeholder":
                    scope[node] = next(inputs)
                case "get_attr":
                    scope[node] = self._attribute(module, node.target)
                case "call_function" if node in live:
                    with current_builder().at(place_of(node)):
                        scope[node] = self._node(node, scope)
        return tuple(self._argument(entry, scope) for entry in results)

    def _attribute(self, module: fx.GraphModule, path: str) -> Given:
        """What the module keeps: a graph, or data."""
        found = operator.attrgetter(path)(module)
        if isinstance(found, torch.Tensor):
            return constant(self.weights.constant(found, path))
        return found

    def _node(self, node: fx.Node, scope: Mapping[fx.Node, Given]) -> Given:
        """What a node gives; `_ABSENT` if it cannot be read."""
        made = node.meta.get("val")
        try:
            if isinstance(made, (bool, float)):
                return made
            if isinstance(made, (torch.SymInt, int)) and node.target is not _NUMBER:
                return self.symbols.size(made)  # torch has done the arithmetic of sizes
            if isinstance(made, torch.SymFloat):
                number = self.symbols.number(made)
                if number is not None:
                    return number
                return _ratio(node.target, self._arguments(node, scope)[0])
            reader = _reader(node.target)
            read = reader is not None and not (isinstance(reader, Drawing) and self.seed is None)
            check(read, refusal(node.target), UnsupportedError)
            wanted = self._types(made)
            args, kwargs = self._arguments(node, scope)
            if _is_absent((*args, *kwargs.values())):
                return _ABSENT
            if isinstance(reader, Typed):
                check(wanted is not None, "its result is no tensor", UnsupportedError)
                result = reader.function(wanted, *args, **kwargs)
            elif isinstance(reader, Drawing):
                assert self.seed is not None
                result = reader.function(Source(self.seed, next(self._streams)), *args, **kwargs)
            else:
                assert reader is not None
                result = reader(*args, **kwargs)
        except (UnsupportedError, TypeRuleError) as error:
            place = place_of(node)
            self.problems.append(Problem(name_of(node.target), place, _reason(error)))
            return _ABSENT
        _check_types(node, result, wanted)
        return result

    def _arguments(
        self, node: fx.Node, scope: Mapping[fx.Node, Given]
    ) -> tuple[list[Given], dict[str, Given]]:
        """What an operator is called with, in the order of its schema."""
        given = {name: self._argument(entry, scope) for name, entry in node.kwargs.items()}
        args = [self._argument(entry, scope) for entry in node.args]
        schema = getattr(node.target, "_schema", None)
        ordered = [] if schema is None else [a for a in schema.arguments if not a.kwarg_only]
        named = [argument.name for argument in ordered[len(args) :]]
        last = max((place for place, name in enumerate(named) if name in given), default=-1)
        for argument in ordered[len(args) : len(args) + last + 1]:
            args.append(given.pop(argument.name, argument.default_value))
        return args, {name: entry for name, entry in given.items() if name not in _OF_MEMORY}

    def _argument(self, entry: Any, scope: Mapping[fx.Node, Given]) -> Given:
        """An argument of a node with what stands for nodes in it."""
        if isinstance(entry, fx.Node):
            return scope[entry]
        if isinstance(entry, (list, tuple)):
            return [self._argument(part, scope) for part in entry]
        return element_type(entry) if isinstance(entry, torch.dtype) else entry

    def _types(self, made: Any) -> Any:
        """The types of what torch says that a node gives: of one tensor, or a list."""
        if isinstance(made, torch.Tensor):
            return self.symbols.type_of(made)
        if isinstance(made, (list, tuple)):
            return [self._types(part) for part in made]
        return None

    def check_complete(self) -> None:
        """`UnsupportedError` with every operator that could not be read."""
        if not self.problems:
            return
        lines = [f"{self.name} needs what is not supported:"]
        by_kind: dict[tuple[str, str], list[Location]] = {}
        for problem in self.problems:
            by_kind.setdefault((problem.operator, problem.reason), []).append(problem.place)
        for (kind, reason), places in by_kind.items():
            shown = list(dict.fromkeys(place.full() for place in places if place != UNKNOWN))
            at = f" at {', '.join(shown[:3])}{', …' if len(shown) > 3 else ''}" if shown else ""
            lines.append(f"  {kind} x{len(places)}{at}: {reason}")
        raise UnsupportedError("\n".join(lines))


def _reason(error: UnsupportedError | TypeRuleError) -> str:
    """What is wrong, without the place, which is told beside it."""
    return str(error).removeprefix(f"{error.where}: ")


def _reader(target: Any) -> AnyReader | None:
    """What reads a node: those that take one of several results have no operator."""
    return _part if target is operator.getitem else reader_of(target)


# Floats that torch makes of sizes, whose arithmetic is done at the call.
_RATIOS: Mapping[object, Callable[..., Value]] = {
    operator.truediv: ops.divide,
    operator.mul: ops.multiply,
    operator.add: ops.add,
    operator.sub: ops.subtract,
    torch.sym_float: lambda x: x,
}


def _ratio(function: Any, operands: Sequence[Operand]) -> Ratio:
    """A float of sizes and of other such floats."""
    check(function in _RATIOS, "it makes a float of sizes", UnsupportedError)
    return Ratio(_RATIOS[function](*(converted(operand, f64) for operand in operands)))


def _part(results: Sequence[Given], place: int) -> Given:
    """One of an operator's results; readers leave out the last ones where only training asks."""
    check(place < len(results), f"its result {place} is not computed", UnsupportedError)
    return results[place]


def _live(graph: fx.Graph, results: Sequence[Any]) -> set[fx.Node]:
    """The nodes that results depend on; the others check what is so for known sizes."""
    found = {entry for entry in results if isinstance(entry, fx.Node)}
    for node in reversed(graph.nodes):
        if node in found:
            found.update(node.all_input_nodes)
    return found


def _is_absent(entry: Given) -> bool:
    if isinstance(entry, (list, tuple)):
        return any(map(_is_absent, entry))
    return entry is _ABSENT


def _check_types(node: fx.Node, result: Given, wanted: Any) -> None:
    """`PassError` where a reader gives another type than torch: a mistake of ours."""
    if isinstance(wanted, list):
        for part, type_ in zip(result, wanted, strict=False):
            _check_types(node, part, type_)
    elif isinstance(wanted, TensorType) and isinstance(result, Value):
        have = result.type
        same = have.dtype == wanted.dtype and have.rank == wanted.rank
        sizes = zip(have.shape, wanted.shape, strict=False)
        same &= all(a == b or isinstance(a, Dim) or isinstance(b, Dim) for a, b in sizes)
        check(same, f"{name_of(node.target)} was read as {have}, and is {wanted}", PassError)


def import_graph(
    name: str,
    module: fx.GraphModule,
    inputs: Sequence[fx.Node],
    known: Mapping[str, ConstantData],
    symbols: Symbols,
    weights: Weights,
    wanted: Sequence[int] | None = None,
    *,
    draws: bool = False,
    tree: Any = None,
) -> Function:
    """The function of a graph: the placeholders `inputs` are its parameters as far as they are
    tensors, `known` has the data of others by their names. Its results are those tensors that the
    graph gives, or that it gives at the places `wanted`. If it may draw random numbers (`draws`), a
    function that does has one more parameter, the last: their seed. `tree` is the form in which a
    module gives what it gives, sizes among it as numbers in tensors.

    Raises `UnsupportedError` with every operator that cannot be read.
    """
    builder = Builder(TABLE)
    tensors = [node for node in inputs if isinstance(node.meta.get("val"), torch.Tensor)]
    names = unique([*(node.name for node in tensors), *(["seed"] if draws else [])])
    seed = parameter(names.pop(), i64[()]) if draws else None
    params = {
        node: parameter(own, symbols.type_of(node.meta["val"]))
        for node, own in zip(tensors, names, strict=True)
    }
    walk = Walk(name, symbols, weights, seed)
    with builder.active():
        given: list[Given] = []
        for node in module.graph.nodes:
            if node.op == "placeholder":
                made = node.meta.get("val")
                if node.name in known:
                    given.append(constant(known[node.name]))
                elif isinstance(made, torch.SymInt):
                    given.append(symbols.size(made))
                elif isinstance(made, torch.SymFloat):
                    raise UnsupportedError(f"{name} is given a float of sizes")
                else:
                    given.append(params.get(node))
        results = walk.graph(module, given, wanted)
        walk.check_complete()
        if tree is not None:
            results = tuple(as_value(r) if isinstance(r, Dim) else r for r in results)
        found = [result for result in results if isinstance(result, Value)]
    fn = builder.finish(identifier(name) or "main", tuple(params.values()), found)
    if tree is not None:
        fn = replace(fn, form=Form.of(tree, results))
    drawn = seed is not None and any(seed in node.op.operands for node in fn.nodes)
    return replace(fn, params=(*fn.params, seed)) if seed is not None and drawn else fn
