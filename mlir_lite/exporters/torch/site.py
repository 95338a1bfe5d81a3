"""Where calls of torch are written down: a graph of `torch.fx`, and the data that it refers to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from keyword import iskeyword
from typing import Any, TypeAlias

import torch
from torch import fx

from ...ir import Function, Value
from ...types import Array
from .arrays import tensor_of

# A tensor that the program will have: torch's functions take it as they take tensors, and what
# they are asked for is noted in the graph.
Tensor: TypeAlias = Any
Tensors: TypeAlias = tuple[Tensor, ...]
# Writes down the calls for an operation: of the site, the operation, and its operands.
Call: TypeAlias = Callable[..., Tensor]


def plain(function: Callable[..., Tensor]) -> Call:
    """The call of a function of the operands alone."""
    return lambda site, op, *operands: function(*operands)


def with_op(function: Callable[..., Tensor]) -> Call:
    """The call of a function of the operation and its operands."""
    return lambda site, op, *operands: function(op, *operands)


class Site:
    """A program in the making, whose data lie on `device`.

    `export` makes a program of a function, for the operations that run one again and again.
    """

    def __init__(self, device: str, export: Callable[[Function], fx.GraphModule]) -> None:
        self.device = device
        self.graph = fx.Graph()
        self.data = torch.nn.Module()
        self.values: dict[Value, Tensor] = {}  # what stands for each value so far
        self.uses: Counter[Value] = Counter()  # of each value, by operations and as results
        self._export = export
        self._tracer = fx.proxy.GraphAppendingTracer(self.graph)
        self._numbers = count()
        self._named: set[str] = set()

    def params(self, values: Sequence[Value]) -> Tensors:
        """Parameters of the program, one for each of these values."""
        return tuple(self._proxy(self.graph.placeholder(self._name(value))) for value in values)

    def _name(self, value: Value) -> str:
        """The value's own where Python can have it, else one that nothing else has."""
        own = value.name if value.name.isidentifier() and not iskeyword(value.name) else "arg"
        name = own if own not in self._named else f"{own}_{next(self._numbers)}"
        self._named.add(name)
        return name

    def constant(self, array: Array) -> Tensor:
        """Data of the program's own."""
        name = f"constant{next(self._numbers)}"
        self.data.register_buffer(name, tensor_of(array, self.device))
        return self._proxy(self.graph.get_attr(name))

    def program(self, fn: Function) -> Tensor:
        """A program within the program, to be given to a function that runs it."""
        name = f"{fn.name}{next(self._numbers)}"
        self.data.add_module(name, self._export(fn))
        return self._proxy(self.graph.get_attr(name))

    def call(self, function: Callable[..., object], *args: object) -> Tensor:
        """A call of a function that is not torch's."""
        return self._tracer.create_proxy("call_function", function, args, {})

    def finish(self, name: str, results: Sequence[Tensor]) -> fx.GraphModule:
        """The program with these results, as a tuple."""
        self.graph.output(tuple(result.node for result in results))
        self.graph.eliminate_dead_code()  # products whose bias is added on the way
        return fx.GraphModule(self.data, self.graph, class_name=name)

    def _proxy(self, node: fx.Node) -> Tensor:
        return fx.Proxy(node, self._tracer)
