"""Arrays from outside, checked against the type that is expected of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import InputError, check
from ..types import Array, TensorType


def checked_array(given: object, type_: TensorType, what: str) -> Array:
    """The array, if its element type and shape are those of `type_`; a named size takes any.

    Nothing is converted: `InputError` says what was expected of `what`, and the line that helps.
    """
    array = np.asarray(given)
    wanted = type_.dtype.numpy
    if array.dtype != wanted:
        raise InputError(f"{what} is {type_}, got {_described(given, array, str(wanted))}")
    fits = array.ndim == type_.rank and all(
        not isinstance(size, int) or size == extent
        for size, extent in zip(type_.shape, array.shape, strict=True)
    )
    check(fits, f"{what} is {type_}, got an array of shape {array.shape}", InputError)
    return array


def _described(given: object, array: Array, wanted: str) -> str:
    """What is given of another element type, and what makes an array of the wanted one of it."""
    if given is None or isinstance(given, str):
        return f"{given!r}"
    if hasattr(given, "dtype"):
        return f"an array of {array.dtype}; write array.astype({wanted!r})"
    of = f" of {array.dtype}" if array.ndim else ""
    return f"a {type(given).__name__}{of}; write np.asarray(x, {wanted!r})"


def unknown_names(given: Iterable[str], have: Iterable[str]) -> str:
    """`'wieght' (near: 'weight'), 'x'`: the names in `given` that are not in `have`, or ""."""
    # `difflib` costs as much to load as a good part of this package, for an error only.
    from difflib import get_close_matches

    known = list(have)
    parts: list[str] = []
    for name in given:
        if name not in known:
            near = ", ".join(map(repr, get_close_matches(name, known)))
            parts.append(f"{name!r} (near: {near})" if near else repr(name))
    return ", ".join(parts)
