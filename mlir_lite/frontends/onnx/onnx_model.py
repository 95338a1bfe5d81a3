"""The door: a model file that gives a `Function` for the input shapes and values one has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ...errors import InputError, UnsupportedError, check
from ...ir import ConstantData, Function
from ...sizes import Dim, Shape, Size, size, substitute
from ...types import Array
from ..names import identifier, unique
from .call import ValueNeeded
from .fit import SizesDiffer
from .importer import import_graph
from .model import OnnxFile, OnnxInput, read_model
from .table import is_read

if TYPE_CHECKING:
    import onnx

ModelSource: TypeAlias = "str | Path | bytes | onnx.ModelProto"
Shapes: TypeAlias = Mapping[str, Sequence[int | str | Dim]]
Values: TypeAlias = Mapping[str, Array]

# How often a size that fits only one way is put in, before the model is taken to be wrong.
_MOST_ATTEMPTS = 16


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A model file, read; `function` gives the program for some or all sizes and values known.

    `names` gives the parameter that stands for each input, by the file's own name; names that
    the text form cannot print (with ':' or '/') are changed.
    """

    file: OnnxFile
    names: Mapping[str, str]

    @staticmethod
    def read(source: ModelSource) -> OnnxModel:
        """Raises `ParseError` for what is no valid model, `UnsupportedError` for other formats."""
        file = read_model(source, is_read)
        inputs = [entry.name for entry in file.graph.inputs]
        return OnnxModel(file, dict(zip(inputs, unique(inputs), strict=True)))

    @property
    def inputs(self) -> tuple[OnnxInput, ...]:
        return self.file.graph.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs' names, in the order of the function's results."""
        return self.file.graph.outputs

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.file.metadata

    @property
    def static(self) -> frozenset[str]:
        """The inputs whose value decides a shape, by the file's names."""
        try:
            self.function()
        except ValueNeeded as needed:
            return needed.inputs
        except UnsupportedError:
            pass
        return frozenset()

    def function(self, shapes: Shapes | None = None, values: Values | None = None) -> Function:
        """The program; inputs in `values` become constants, the others are its parameters.

        `shapes` may give an input's sizes as numbers or names; what it leaves out is as the file
        says, with names `d0`, `d1`, … for sizes that have none. Where the operands of a node fit
        only if a size is a multiple (of 32, say) or a number, the parameter's type says so:
        `[32*height]`.

        Raises `UnsupportedError` with all nodes that cannot be read, `ParseError` for a wrong
        model, `InputError` for a shape or a value that does not fit its input.
        """
        given = {} if values is None else values
        sizes = self._shapes({} if shapes is None else shapes, given)
        constants = {
            entry.name: _known(entry, given[entry.name])
            for entry in self.inputs
            if entry.name in given
        }
        for _ in range(_MOST_ATTEMPTS):
            inputs = [
                (self.names[entry.name], entry, sizes[entry.name])
                for entry in self.inputs
                if entry.name not in given
            ]
            try:
                return import_graph(self.file, inputs, constants)
            except SizesDiffer as error:
                if not error.substitution:
                    raise
                sizes = {
                    name: tuple(substitute(entry, error.substitution) for entry in shape)
                    for name, shape in sizes.items()
                }
        return import_graph(self.file, inputs, constants)

    def _shapes(self, shapes: Shapes, values: Values) -> Mapping[str, Shape]:
        """The shape of every input, its unknown sizes named."""
        for name in (*shapes, *values):
            have = ", ".join(self.names)
            check(name in self.names, f"there is no input '{name}'; there are {have}", InputError)
        names = _SizeNames(self.inputs)
        found: dict[str, Shape] = {}
        for entry in self.inputs:
            if entry.name in values:
                continue
            if entry.name in shapes:
                found[entry.name] = _chosen(entry, shapes[entry.name])
                continue
            check(
                entry.shape is not None,
                f"the file does not say how many axes '{entry.name}' has; "
                f"import with shapes={{'{entry.name}': (…)}}",
                UnsupportedError,
            )
            found[entry.name] = tuple(names.size(dim) for dim in entry.shape or ())
        return found


class _SizeNames:
    """Names for the sizes of the inputs: the file's own, or fresh ones."""

    def __init__(self, inputs: Sequence[OnnxInput]) -> None:
        named = dict.fromkeys(
            dim for entry in inputs for dim in entry.shape or () if isinstance(dim, str)
        )
        plain = [identifier(name).replace(".", "_") for name in named]
        self._names = dict(zip(named, unique(plain), strict=True))
        self._fresh = 0

    def size(self, dim: int | str | None) -> Size:
        if isinstance(dim, int):
            return dim
        if isinstance(dim, str):
            return Dim.named(self._names[dim])
        while (name := f"d{self._fresh}") in self._names.values():
            self._fresh += 1
        self._fresh += 1
        return Dim.named(name)


def _chosen(entry: OnnxInput, shape: Sequence[int | str | Dim]) -> Shape:
    """The user's shape for an input, checked against the file's."""
    chosen = tuple(size(dim) for dim in shape)
    declared = entry.shape
    fits = declared is None or (
        len(declared) == len(chosen)
        and all(
            not isinstance(want, int) or isinstance(have, Dim) or want == have
            for want, have in zip(declared, chosen, strict=True)
        )
    )
    check(fits, f"the input '{entry.name}' has the shape {declared}, not {chosen}", InputError)
    return chosen


def _known(entry: OnnxInput, value: Array) -> ConstantData:
    """An input whose value is given."""
    array = np.asarray(value)
    check(
        array.dtype == entry.dtype.numpy,
        f"the input '{entry.name}' takes {entry.dtype}, not {array.dtype}",
        InputError,
    )
    _chosen(entry, array.shape)
    return ConstantData.of(array, entry.name)


def from_onnx(
    source: ModelSource, *, shapes: Shapes | None = None, values: Values | None = None
) -> Function:
    """The function of an ONNX model: a path, its bytes, or an `onnx.ModelProto`.

    See `OnnxModel.function` for `shapes`, `values` and the errors. An input whose value decides
    a shape must be given in `values`; the error names it.
    """
    return OnnxModel.read(source).function(shapes, values)
