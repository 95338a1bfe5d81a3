"""Sizes and types as torch's shape tracing has them: expressions of SymPy over symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import Any

import torch
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from ...errors import UnsupportedError, check
from ...exporters.torch.arrays import TORCH_TYPES
from ...sizes import Dim, Size
from ...types import DType, TensorType

DTYPES: Mapping[torch.dtype, DType] = {theirs: ours for ours, theirs in TORCH_TYPES.items()}

_FUNCTIONS: Mapping[str, Callable[[Size, Size], Size]] = {
    "Add": lambda a, b: a + b,
    "Mul": lambda a, b: a * b,
    "FloorDiv": lambda a, b: a // b,
    "CleanDiv": lambda a, b: a // b,
    "Mod": lambda a, b: a - a // b * b,
    "PythonMod": lambda a, b: a - a // b * b,
}


def element_type(dtype: torch.dtype) -> DType:
    """Our element type; `UnsupportedError` for one that the compiler does not have."""
    if dtype not in DTYPES:
        have = ", ".join(map(str, TORCH_TYPES))
        raise UnsupportedError(f"the element type {dtype}; the compiler has {have}")
    return DTYPES[dtype]


class Symbols:
    """What sizes that torch knows by symbols are called here.

    `given` names symbols; others are called `d0`, `d1`, … as they are met. `values` are those of
    SymPy's symbols, where sizes are numbers.
    """

    def __init__(
        self, given: Mapping[str, str], values: Mapping[Any, int] = MappingProxyType({})
    ) -> None:
        self._names = dict(given)
        self._values = values

    def size(self, size: Any) -> Size:  # int or torch.SymInt
        """A size of torch's; `UnsupportedError` for one that is no polynomial or floor quotient."""
        if isinstance(size, int):
            return int(size)
        of_data = "a number or a size is made of data, and sizes are known before the data here"
        check(not free_unbacked_symbols(size), of_data, UnsupportedError)
        return self._expression(size.node.expr.subs(self._values))

    def number(self, number: Any) -> float | None:  # torch.SymFloat
        """A float that torch makes of sizes, if they are numbers."""
        found = number.node.expr.subs(self._values)
        return float(found) if found.is_number else None

    def type_of(self, tensor: torch.Tensor) -> TensorType:
        """The type of a tensor of torch's, or of what stands for one in a trace."""
        shape = tuple(self.size(entry) for entry in tensor.shape)
        return TensorType(shape, element_type(tensor.dtype))

    def _expression(self, expr: Any) -> Size:  # of SymPy, which has no static types
        if expr.is_Integer:
            return int(expr)
        if expr.is_Symbol:
            return Dim.named(self._name(str(expr)))
        function = _FUNCTIONS.get(type(expr).__name__)
        if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
            function, args = _FUNCTIONS["Mul"], (expr.base,) * int(expr.exp)
        elif function is not None:
            args = expr.args
        else:
            raise UnsupportedError(f"the size {expr}, which is no sum, product or quotient")
        return reduce(function, map(self._expression, args))

    def _name(self, symbol: str) -> str:
        if symbol not in self._names:
            taken = set(self._names.values())
            fresh = (f"d{number}" for number in range(len(taken) + 1))
            self._names[symbol] = next(name for name in fresh if name not in taken)
        return self._names[symbol]
