"""The backend of `torch.compile`: graphs that torch traces, compiled and run on its tensors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import fx
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func

from ...driver import Executable, compile
from ...errors import UnsupportedError
from ...exporters.torch.arrays import array_of
from ...ir import Function
from ...sizes import Size, substitute
from ...types import Array, bf16
from .importer import import_graph
from .partition import partitioned
from .program import decompositions
from .shapes import Symbols
from .weights import Weights

# How often weights may be found changed before they are taken for inputs like others.
_MOST_CHANGES = 3
# How many seeds there are; torch's own generator draws one, so that `torch.manual_seed` decides.
_SEEDS = 2**63 - 1


def compile_graph(
    graph: fx.GraphModule, inputs: Sequence[Any], *, freeze: bool, **options: Any
) -> Any:
    """What torch calls in the place of `graph`: forward, and backward where gradients are asked.

    `freeze` makes constants of weights while no gradients are; other options are those of
    `ml.compile`.
    """
    static = [
        place
        for place, node in enumerate(graph.graph.find_nodes(op="placeholder"))
        if "_dynamo_static_input_type" in node.meta.get("tensor_dict", {})
    ]

    def inference(traced: fx.GraphModule, _: Sequence[Any]) -> Any:
        return _compiled(traced, static if freeze else [], options)

    def training(traced: fx.GraphModule, _: Sequence[Any]) -> Any:
        return _compiled(traced, [], options)

    compiler = aot_autograd(
        fw_compiler=training,
        bw_compiler=training,
        inference_compiler=inference,
        partition_fn=partitioned,
        decompositions=dict(decompositions()),
        keep_inference_input_mutations=False,
    )
    return compiler(graph, inputs)


def _compiled(traced: fx.GraphModule, static: Sequence[int], options: Mapping[str, Any]) -> Any:
    """The graph compiled; torch's own way of running it where something is not supported."""
    try:
        return make_boxed_func(_Graph.of(traced, static, options))
    except UnsupportedError as error:
        if _has_symbols(traced):
            return make_boxed_func(_OfSizes(traced, static, options))
        return make_boxed_func(_itself(traced, error))


def _itself(traced: fx.GraphModule, error: UnsupportedError) -> fx.GraphModule:
    """Torch's own way of running a graph, with a warning that says why."""
    warnings.warn(f"torch runs this graph itself: {error}", RuntimeWarning, stacklevel=2)
    return traced


def _has_symbols(traced: fx.GraphModule) -> bool:
    """Whether sizes that are not numbers come in."""
    found = (node.meta.get("val") for node in traced.graph.find_nodes(op="placeholder"))
    return any(isinstance(val, torch.SymInt) for val in found)


@dataclass(eq=False)
class _OfSizes:
    """A graph that cannot be read while its sizes have names only: read anew for every sizes."""

    traced: fx.GraphModule
    static: Sequence[int]
    options: Mapping[str, Any]
    _known: dict[tuple[int, ...], Any] = field(default_factory=dict)

    def __call__(self, *given: Any) -> Any:
        placeholders = self.traced.graph.find_nodes(op="placeholder")
        vals = [node.meta.get("val") for node in placeholders]
        sizes = {
            val.node.expr: value
            for val, value in zip(vals, given, strict=True)
            if isinstance(val, torch.SymInt)
        }
        key = tuple(sizes.values())
        if key not in self._known:
            self._known[key] = self._read(sizes)
        return self._known[key](*given)

    def _read(self, sizes: Mapping[Any, int]) -> Any:
        try:
            return _Graph.of(self.traced, self.static, self.options, sizes)
        except UnsupportedError as error:
            return _itself(self.traced, error)


@dataclass(eq=False)
class _Graph:
    """A graph as an executable; `frozen` are the places of arguments that are constants in it.

    `results` says where each comes from: the executable, by order; an argument; or a number.
    """

    function: Function
    tensors: Mapping[int, str]  # the parameters' names by the arguments' places
    frozen: Sequence[int]
    sizes: Mapping[int, str]  # names of sizes that are arguments themselves
    results: Sequence[_Result]
    draws: bool  # random numbers, from a seed that is the last parameter
    options: Mapping[str, Any]
    _run: Executable | None = None
    _seen: list[tuple[int, int]] = field(default_factory=list)
    _changes: int = 0

    @staticmethod
    def of(
        traced: fx.GraphModule,
        static: Sequence[int],
        options: Mapping[str, Any],
        values: Mapping[Any, int] = MappingProxyType({}),
    ) -> _Graph:
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
        frozen = [place for place in tensors if of_user[place] in static]
        at = {place: order for order, place in enumerate(made)}
        arguments = {node: place for place, node in enumerate(placeholders)}
        results = [
            _result(node, at.get(place), arguments, symbols) for place, node in enumerate(outputs)
        ]
        return _Graph(fn, names, frozen, sizes, results, draws, options)

    def __call__(self, *given: Any) -> list[Any]:
        run = self._executable(given)
        arrays = [_array(given[place]) for place in self.tensors if place not in self.frozen]
        if self.draws:
            arrays.append(array_of(torch.randint(_SEEDS, ())))
        found = run(*arrays)
        many = found if isinstance(found, tuple) else (found,)
        known = {name: given[place] for place, name in self.sizes.items()}
        return [result.tensor(many, given, known) for result in self.results]

    def _executable(self, given: Sequence[Any]) -> Executable:
        """The executable; made anew where a weight is no longer what it was."""
        weights = [given[place] for place in self.frozen]
        seen = [(weight._version, weight.data_ptr()) for weight in weights]
        if self._run is not None and seen == self._seen:
            return self._run
        self._changes += 1
        if self._changes > _MOST_CHANGES:
            self.frozen, seen = [], []
        constants = {self.tensors[place]: array_of(given[place]) for place in self.frozen}
        fn = self.function.bind(constants) if constants else self.function
        self._run, self._seen = compile(fn, **self.options), seen
        return self._run


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
    return torch.empty_strided(made.shape, tuple(strides), dtype=made.dtype).copy_(made)
