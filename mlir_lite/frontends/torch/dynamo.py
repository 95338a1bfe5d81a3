"""The backend of `torch.compile`: graphs that torch traces, compiled, or left to torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import fx
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func

from ...errors import InputError, UnsupportedError, check
from .graphs import Asked, Graph
from .partition import partitioned
from .program import decompositions


def compile_graph(
    graph: fx.GraphModule, inputs: Sequence[Any], *, freeze: bool | Literal["all"], **options: Any
) -> Any:
    """What torch calls in the place of `graph`: forward, and backward where gradients are asked.

    `freeze` makes constants of weights while no gradients are, of those that can be watched, or of
    all; other options are those of `ml.compile`.
    """
    known = freeze in (True, False, "all")
    check(known, f'freeze is True, False or "all", not {freeze!r}', InputError)
    static = [
        place
        for place, node in enumerate(graph.graph.find_nodes(op="placeholder"))
        if "_dynamo_static_input_type" in node.meta.get("tensor_dict", {})
    ]

    def inference(traced: fx.GraphModule, _: Sequence[Any]) -> Any:
        return _compiled(traced, Asked(static if freeze else [], freeze == "all", options))

    def training(traced: fx.GraphModule, _: Sequence[Any]) -> Any:
        return _compiled(traced, Asked([], False, options))

    compiler = aot_autograd(
        fw_compiler=training,
        bw_compiler=training,
        inference_compiler=inference,
        partition_fn=partitioned,
        decompositions=dict(decompositions()),
        keep_inference_input_mutations=False,
    )
    return compiler(graph, inputs)


def _compiled(traced: fx.GraphModule, asked: Asked) -> Any:
    """The graph compiled; torch's own way of running it where something is not supported."""
    try:
        return make_boxed_func(Graph.of(traced, asked))
    except UnsupportedError as error:
        if _has_symbols(traced):
            return make_boxed_func(_OfSizes(traced, asked))
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
    asked: Asked
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
            return Graph.of(self.traced, self.asked, sizes)
        except UnsupportedError as error:
            return _itself(self.traced, error)
