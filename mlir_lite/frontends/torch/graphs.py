"""A graph of torch's as an executable that takes tensors and gives tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import fx

from ...driver import Executable, compile
from ...exporters.torch.arrays import array_of
from ...ir import Function
from ...sizes import Size, substitute
from ...types import Array, bf16
from .importer import import_graph
from .shapes import Symbols
from .watches import Watch
from .weights import Weights

# How often weights may be found changed before they are taken for inputs like others.
_MOST_CHANGES = 3
# How many seeds there are; torch's own generator draws one, so that `torch.manual_seed` decides.
_SEEDS = 2**63 - 1


@dataclass(frozen=True)
class Asked:
    """How graphs are to be compiled: which of the user's arguments are weights that may be
    constants, and whether those whose memory is not torch's alone are trusted to change in no other
    way than torch counts."""

    weights: Sequence[int]
    trusted: bool
    options: Mapping[str, Any]  # of `ml.compile`


@dataclass(eq=False)
class Graph:
    """A graph as an executable; `weights` are the places of arguments that may be constants in it.

    `results` says where each comes from: the executable, by order; an argument; or a number.
    """

    function: Function
    tensors: Mapping[int, str]  # the parameters' names by the arguments' places
    weights: Sequence[int]
    sizes: Mapping[int, str]  # names of sizes that are arguments themselves
    results: Sequence[_Result]
    draws: bool  # random numbers, from a seed that is the last parameter
    asked: Asked
    _run: Executable | None = None
    _watches: dict[int, Watch] = field(default_factory=dict)
    _changes: int = 0

    @staticmethod
    def of(
        traced: fx.GraphModule, asked: Asked, values: Mapping[Any, int] = MappingProxyType({})
    ) -> Graph:
        """For sizes that have names, or, of torch's symbols, these values.

        Raises `UnsupportedError` with every operator that cannot be read.
        """
        placeholders = traced.graph.find_nodes(op="placeholder")
        symbols = Symbols({}, values)
        outputs = traced.graph.output_node().args[0]
        made = [
            place
            for place, node in enumerate(outputs)
            if isinstance(node, fx.Node)
            and node.op == "call_function"
            and isinstance(node.meta["val"], torch.Tensor)
        ]
        fn = import_graph(
            "graph", traced, placeholders, {}, symbols, Weights(), made, draws=True
        )
        kinds = [(place, node, node.meta.get("val")) for place, node in enumerate(placeholders)]
        tensors = [place for place, _, val in kinds if isinstance(val, torch.Tensor)]
        names = dict(zip(tensors, (param.name for param in fn.params), strict=False))
        draws = len(fn.params) > len(tensors)
        symbolic = [(place, val) for place, _, val in kinds if isinstance(val, torch.SymInt)]
        sizes = {place: str(symbols.size(val)) for place, val in symbolic}
        of_user = [getattr(node.meta.get("desc"), "idx", place) for place, node, _ in kinds]
        weights = [place for place in tensors if of_user[place] in asked.weights]
        at = {place: order for order, place in enumerate(made)}
        arguments = {node: place for place, node in enumerate(placeholders)}
        results = [
            _result(node, at.get(place), arguments, symbols) for place, node in enumerate(outputs)
        ]
        return Graph(fn, names, weights, sizes, results, draws, asked)

    def __call__(self, *given: Any) -> list[Any]:
        run = self._executable(given)
        arrays = [_array(given[place]) for place in self.tensors if place not in self._watches]
        if self.draws:
            arrays.append(array_of(torch.randint(_SEEDS, ())))
        found = run(*arrays)
        many = found if isinstance(found, tuple) else (found,)
        known = {name: given[place] for place, name in self.sizes.items()}
        return [result.tensor(many, given, known) for result in self.results]

    def _executable(self, given: Sequence[Any]) -> Executable:
        """The executable; made anew where a weight is no longer what it was."""
        if self._run is not None:
            moved = [
                place for place, watch in self._watches.items() if not watch.is_same(given[place])
            ]
            if all(self._watches[place].has_elements_of(given[place]) for place in moved):
                self._watches.update(self._watched(given, moved))
                return self._run
        self._changes += 1
        asked = self.weights if self._changes <= _MOST_CHANGES else ()
        self._watches = self._watched(given, asked)
        constants = {self.tensors[place]: watch.array() for place, watch in self._watches.items()}
        fn = self.function.bind(constants) if constants else self.function
        self._run = compile(fn, **self.asked.options)
        return self._run

    def _watched(self, given: Sequence[Any], places: Sequence[int]) -> dict[int, Watch]:
        """Watches of weights, of those that can be watched."""
        found = ((place, Watch.of(given[place], trusted=self.asked.trusted)) for place in places)
        return {place: watch for place, watch in found if watch is not None}


@dataclass(frozen=True)
class _Result:
    """Where a result comes from: a result of the executable, an argument, or a size.

    `strides` are those that torch goes by where they are not those of row-major order.
    """

    order: int | None = None
    argument: int | None = None
    number: Any = None  # a size, or what torch has put there
    strides: tuple[int, ...] | None = None

    def tensor(
        self, made: Sequence[Array], given: Sequence[Any], sizes: Mapping[str, int]
    ) -> Any:
        if self.argument is not None:
            return given[self.argument]
        if self.order is None:
            return substitute(self.number, sizes) if self.number is not None else None
        return _tensor(made[self.order], self.strides)


def _result(
    node: Any, order: int | None, arguments: Mapping[fx.Node, int], symbols: Symbols
) -> _Result:
    if order is not None:
        val = node.meta["val"]
        known = all(isinstance(step, int) for step in val.stride())
        own = None if val.is_contiguous() or not known else tuple(val.stride())
        return _Result(order, strides=own)
    if node in arguments:
        return _Result(argument=arguments[node])
    if isinstance(node, fx.Node):
        size: Size = symbols.size(node.meta["val"])
        return _Result(number=size)
    return _Result(number=node)


def _array(tensor: torch.Tensor) -> Array:
    """The tensor's memory; of one whose elements do not lie in order a copy."""
    return array_of(tensor.contiguous())


def _tensor(array: Array, strides: Sequence[int] | None) -> torch.Tensor:
    """An array's memory as a tensor; copied where torch wants other strides."""
    own = np.asarray(array)
    if own.dtype == bf16.numpy:
        made = torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    else:
        made = torch.from_numpy(own)
    if strides is None:
        return made
    # Along a step of 0 there is one element, which torch repeats.
    once = made[tuple(slice(None if step else 1) for step in strides)]
    laid = torch.empty_strided(once.shape, tuple(strides), dtype=made.dtype).copy_(once)
    return laid.expand(made.shape)
