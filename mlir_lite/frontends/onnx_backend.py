"""The backend interface of the package `onnx`, which its own test suite drives.

    from mlir_lite.frontends.onnx_backend import MlirLiteBackend
    outputs = MlirLiteBackend.run_model(model, [x])

A model is compiled for every combination of input shapes that it meets; inputs whose value
decides a shape become constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..driver import compile
from ..errors import InputError, check, missing_extra
from ..ir import Function, results_of
from ..types import Array
from .onnx import OnnxModel
from .onnx.call import ValueNeeded

try:
    import onnx
    from onnx.backend.base import Backend, BackendRep
except ImportError:
    raise missing_extra("onnx", "onnx") from None

Runnable: TypeAlias = Callable[..., Array | tuple[Array, ...]]  # takes the parameters in order
Make: TypeAlias = Callable[[Function], Runnable]

# Of each input the name, the shape and, where the value decides a shape, that value.
_Key: TypeAlias = tuple[tuple[str, tuple[int, ...], bytes], ...]


def compiled(fn: Function) -> Runnable:
    """Machine code for one thread: the models of such suites are too small for more."""
    return compile(fn, threads=1)


class PreparedModel(BackendRep):  # type: ignore[misc]  # the package has no types
    """A model that runs. `make` turns a function of static sizes into what computes it."""

    def __init__(self, model: OnnxModel, make: Make = compiled) -> None:
        self.model = model
        self._make = make
        self._static: dict[_Key, frozenset[str]] = {}  # which values decide shapes, by shapes
        self._made: dict[_Key, Runnable] = {}

    def run(
        self, inputs: Sequence[Array] | Mapping[str, Array] | Array, **_: Any
    ) -> tuple[Array, ...]:
        """The outputs, in the model's order; `inputs` are in its order, or by name.

        The interface allows options that this backend does not have.
        """
        arrays = self._by_name(inputs)
        shapes = _key(arrays, frozenset())
        static = self._static.get(shapes, frozenset())
        runnable = self._made.get(_key(arrays, static))
        if runnable is None:
            fn, static = self.import_for(arrays)
            runnable = self._make(fn)
            self._static[shapes] = static
            self._made[_key(arrays, static)] = runnable
        rest = [array for name, array in arrays.items() if name not in static]
        return tuple(np.asarray(output) for output in results_of(runnable(*rest)))

    def import_for(self, arrays: Mapping[str, Array]) -> tuple[Function, frozenset[str]]:
        """The function for these inputs, and the names of those that became constants."""
        static: frozenset[str] = frozenset()
        while True:
            values = {name: arrays[name] for name in static}
            shapes = {name: array.shape for name, array in arrays.items() if name not in static}
            try:
                return self.model.function(shapes, values), static
            except ValueNeeded as needed:
                if needed.inputs <= static:
                    raise
                static |= needed.inputs

    def _by_name(self, inputs: Sequence[Array] | Mapping[str, Array] | Array) -> dict[str, Array]:
        names = [entry.name for entry in self.model.inputs]
        if isinstance(inputs, Mapping):
            given = dict(inputs)
        else:
            listed = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
            check(len(listed) == len(names), f"{len(listed)} inputs for {names}", InputError)
            given = dict(zip(names, listed, strict=True))
        check(set(given) == set(names), f"inputs {sorted(given)} for {names}", InputError)
        return {name: np.asarray(given[name], order="C") for name in names}


def _key(arrays: Mapping[str, Array], static: frozenset[str]) -> _Key:
    return tuple(
        (name, array.shape, array.tobytes() if name in static else b"")
        for name, array in arrays.items()
    )


class MlirLiteBackend(Backend):  # type: ignore[misc]  # the package has no types
    """Runs models on the CPU. The signatures are the interface's."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **_: Any) -> PreparedModel:
        return PreparedModel(OnnxModel.read(model))

    @classmethod
    def run_model(
        cls, model: Any, inputs: Sequence[Array], device: str = "CPU", **_: Any
    ) -> tuple[Array, ...]:
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Sequence[Array],
        device: str = "CPU",
        outputs_info: object = None,
        *,
        opset_version: int | None = None,
        **_: Any,
    ) -> tuple[Array, ...]:
        """Run one node, by the newest opset the package knows unless one is given."""
        names = [name for name in node.input if name]
        check(len(names) == len(inputs), f"{len(inputs)} inputs for {names}", InputError)
        kind = onnx.helper.np_dtype_to_tensor_dtype
        given = [
            onnx.helper.make_tensor_value_info(name, kind(array.dtype), array.shape)
            for name, array in zip(names, map(np.asarray, inputs), strict=True)
        ]
        results = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "node", given, results)
        version = opset_version or onnx.defs.onnx_opset_version()
        opset = onnx.helper.make_opsetid(node.domain, version)
        model = onnx.helper.make_model(graph, opset_imports=[opset])
        return cls.run_model(model, inputs, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"
