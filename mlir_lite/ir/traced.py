"""What a value that is being traced is not: a number, an array to write into, or something with a
truth of its own. Each mistake gets an error that says what to write instead. And what `==` is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..errors import TypeRuleError
from ..other_names import method_advice
from .current import BUILDER, current_builder

# NumPy's functions behind the operators of arrays, and ours.
_OPERATORS: Mapping[str, str] = MappingProxyType(
    {
        **{name: name for name in ("add", "subtract", "multiply", "divide", "floor_divide")},
        **{name: name for name in ("power", "matmul", "less", "less_equal", "greater")},
        **{name: name for name in ("greater_equal", "bitwise_and", "bitwise_or", "bitwise_xor")},
        **{name: name for name in ("equal", "not_equal")},
        "remainder": "mod",
    }
)


class Traced:
    """The base of `Value`: it has a type and no numbers."""

    __slots__ = ()

    def __array_ufunc__(self, function: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """`array + value`, and all else that NumPy would compute."""
        name = _OPERATORS.get(function.__name__)
        if name is not None and method == "__call__" and not options:
            return current_builder().table.call(name, *inputs)
        return _refuse(
            f"np.{function.__name__} computes arrays, not traced values; the operations are in ml, "
            "as ml.exp(x), and in what a value offers, as x.sum(axis=0)"
        )

    def __array__(self, *_: object, **__: object) -> object:
        return _refuse(
            "a traced value is no array: it has no elements until the function runs; a sparse "
            "matrix of SciPy's meets it as ml.sparse.csr(m)"
        )

    # A type checker knows what there is, and would take anything for granted if it saw this.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            advice = "" if name.startswith("_") else method_advice(name)
            raise AttributeError(f"a traced value has no attribute '{name}'{advice}")

    def __bool__(self) -> NoReturn:
        _refuse(
            "a traced value has no truth value while the function is being traced; "
            "use ml.where(condition, a, b) or ml.cond(condition, f, g) instead of `if`, "
            "ml.while_loop(condition, step, state) instead of `while`"
        )

    # `Any`, as the elements' comparison is no bool. Passes compare values too, and have them as
    # keys of dictionaries, which look for the very object first: there a value equals itself alone.

    def __eq__(self, other: object) -> Any:
        """Element by element while a function is traced; identity in the compiler."""
        return self._compared("equal", other) if _is_meant(other) else self is other

    def __ne__(self, other: object) -> Any:
        """The opposite."""
        return self._compared("not_equal", other) if _is_meant(other) else self is not other

    def _compared(self, function: str, other: object) -> Any:
        return current_builder().table.call(function, self, other)

    __hash__ = object.__hash__

    def __setitem__(self, key: object, value: object) -> NoReturn:
        _refuse(
            "a traced value is not written into; make a new one: ml.where(mask, new, x), "
            "ml.concat([x[:1], new, x[2:]]), ml.scatter_elements(x, indices, new)"
        )

    def __float__(self) -> NoReturn:
        _refuse(_NO_NUMBER)

    def __int__(self) -> NoReturn:
        _refuse(_NO_NUMBER)

    def __index__(self) -> NoReturn:
        _refuse(_NO_NUMBER)


_NO_NUMBER = (
    "a traced value is no number: it has one when the function runs; compute with it as it is, "
    "index by it as in x[i], and loop by ml.scan or ml.while_loop"
)


def _is_meant(other: object) -> bool:
    """Whether `value == other` is a comparison of elements."""
    if isinstance(other, Traced):
        builder = BUILDER.get()
        return builder is not None and builder.locates
    return isinstance(other, (int, float, np.ndarray, np.generic, list, tuple))


def _refuse(message: str) -> NoReturn:
    raise TypeRuleError(message)
