"""From a module of torch to what `torch.export` makes of it, and from that to a function."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from ...errors import InputError, UnsupportedError, check
from ...ir import Function
from ..names import unique
from .importer import Given, import_graph
from .shapes import Symbols
from .table import is_read
from .weights import Weights

# What a program may change besides giving results, and what to say of it.
_CHANGES = {
    "BUFFER_MUTATION": "changes its buffer",
    "PARAMETER_MUTATION": "changes its parameter",
    "USER_INPUT_MUTATION": "writes into its input",
}


@dataclass(frozen=True, eq=False)
class TorchProgram:
    """An exported program of core operators; `axes` has names of sizes, by axis, for each input in
    order."""

    exported: Any  # a torch.export.ExportedProgram
    axes: Sequence[Mapping[int, str]]
    name: str

    @staticmethod
    def traced(
        model: torch.nn.Module,
        inputs: Sequence[Any],
        kwargs: Mapping[str, Any],
        dynamic_shapes: Any,
        strict: bool,
    ) -> TorchProgram:
        """What torch finds by calling a module; its errors are torch's own."""
        axes = _named_axes(model, inputs, kwargs, dynamic_shapes)
        exported = torch.export.export(
            model, tuple(inputs), dict(kwargs), dynamic_shapes=dynamic_shapes, strict=strict
        )
        return TorchProgram(_decomposed(exported), axes, type(model).__name__)

    @staticmethod
    def read(source: Any) -> TorchProgram:
        """An exported program, or the file of one; its sizes have no names."""
        if isinstance(source, (str, Path)):
            check(Path(source).is_file(), f"there is no file '{source}'", InputError)
            return TorchProgram(_decomposed(torch.export.load(source)), (), Path(source).stem)
        return TorchProgram(_decomposed(source), (), "main")

    def function(self) -> Function:
        """The function; see `from_torch` for what it has and raises."""
        exported = self.exported
        signature = exported.graph_signature
        _check_pure(self.name, signature)
        placeholders = [node for node in exported.graph.nodes if node.op == "placeholder"]
        symbols = Symbols(self._symbols(signature, placeholders))
        weights = Weights()
        given: dict[str, Given] = {}
        inputs = []
        for node, spec in zip(placeholders, signature.input_specs, strict=True):
            if spec.kind.name == "USER_INPUT":
                inputs.append(node)
            elif spec.target is not None:  # the order of effects has no tensor
                given[node.name] = weights.constant(_tensor(exported, spec), spec.target)
        kinds = [spec.kind.name for spec in signature.output_specs]
        wanted = [place for place, kind in enumerate(kinds) if kind == "USER_OUTPUT"]
        module = exported.graph_module
        tree = exported.call_spec.out_spec
        return import_graph(self.name, module, inputs, given, symbols, weights, wanted, tree=tree)

    def _symbols(self, signature: Any, placeholders: Sequence[Any]) -> Mapping[str, str]:
        """The names of torch's symbols that stand for whole sizes of inputs."""
        kinds = zip(placeholders, signature.input_specs, strict=True)
        inputs = [node for node, spec in kinds if spec.kind.name == "USER_INPUT"]
        found: dict[str, str] = {}
        for node, axes in zip(inputs, self.axes, strict=False):
            for axis, name in axes.items():
                size = node.meta["val"].shape[axis]
                free = size.node.expr.free_symbols if isinstance(size, torch.SymInt) else ()
                if len(free) == 1:  # of a multiple of a size, say, too
                    found.setdefault(str(*free), name)
        return dict(zip(found, unique(found.values()), strict=True))


def function_of(
    model: Any, inputs: Sequence[Any], kwargs: Mapping[str, Any], dynamic_shapes: Any, strict: bool
) -> Function:
    """The function of a module, an exported program, or a file of one; see `from_torch`."""
    if isinstance(model, torch.nn.Module):
        return TorchProgram.traced(model, inputs, kwargs, dynamic_shapes, strict).function()
    kinds = (str, Path, torch.export.ExportedProgram)
    check(
        isinstance(model, kinds),
        "from_torch takes a torch.nn.Module, an exported program or its file, "
        f"not {type(model).__name__}",
        InputError,
    )
    none = not inputs and not kwargs and dynamic_shapes is None
    check(none, "an exported program has its inputs; give nothing beside it", InputError)
    return TorchProgram.read(model).function()


@cache
def decompositions() -> Mapping[Any, Any]:  # of operators of torch, and functions
    """What torch's operators are made of, without those that are read as they are."""
    table = torch.export.default_decompositions().items()
    return {operator: made for operator, made in table if not is_read(operator)}


def _decomposed(exported: Any) -> Any:  # torch.export.ExportedProgram
    """The program in operators that are read, as far as there are."""
    with warnings.catch_warnings():
        # Torch 2.13 warns of what it does itself when it copies its trees.
        warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec", FutureWarning)
        return exported.run_decompositions(dict(decompositions()))


def _tensor(exported: Any, spec: Any) -> torch.Tensor:
    """The data of a parameter, a buffer or a constant of the program."""
    found = exported.state_dict.get(spec.target)
    return exported.constants[spec.target] if found is None else found


def _check_pure(name: str, signature: Any) -> None:
    """`UnsupportedError` for a program that does more than give results."""
    changed = [
        f"{_CHANGES[spec.kind.name]} '{spec.target}'"
        for spec in signature.output_specs
        if spec.kind.name in _CHANGES
    ]
    advice = "; a function changes nothing: model.eval() stops layers from counting"
    check(not changed, f"{name} {', '.join(changed)}{advice}", UnsupportedError)


def _named_axes(
    model: torch.nn.Module, inputs: Sequence[Any], kwargs: Mapping[str, Any], dynamic_shapes: Any
) -> list[Mapping[int, str]]:
    """For each leaf of the arguments, in the order of pytrees, the names of its sizes."""
    arguments = inspect.signature(model.forward).bind(*inputs, **kwargs).arguments
    named: dict[int, Mapping[int, str]] = {}
    if isinstance(dynamic_shapes, (list, tuple)):
        dynamic_shapes = dict(zip(arguments, dynamic_shapes, strict=False))
    if isinstance(dynamic_shapes, Mapping):
        named = {id(tensor): axes for tensor, axes in _pairs(arguments, dynamic_shapes)}
    leaves, _ = pytree.tree_flatten((tuple(inputs), dict(kwargs)))
    return [named.get(id(leaf), {}) for leaf in leaves]


def _pairs(value: Any, spec: Any) -> Iterator[tuple[torch.Tensor, Mapping[int, str]]]:
    """Each tensor in a tree beside the names of its sizes; trees have any type."""
    if spec is None:
        return
    if isinstance(value, torch.Tensor):
        items = spec.items() if isinstance(spec, Mapping) else enumerate(spec)
        roots = ((axis, getattr(dim, "root", dim)) for axis, dim in items)
        names = ((axis, getattr(root, "__name__", "")) for axis, root in roots)
        yield value, {axis: name for axis, name in names if name}
    elif isinstance(value, Mapping):
        for key in value.keys() & spec.keys():
            yield from _pairs(value[key], spec[key])
    elif isinstance(value, (list, tuple)):
        for part, part_spec in zip(value, spec, strict=False):
            yield from _pairs(part, part_spec)
