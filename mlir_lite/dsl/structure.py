"""Values in tuples, lists and dictionaries, as Python functions take and give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar, cast

import numpy as np

from ..errors import TypeRuleError
from ..ir import Operand, Value, is_scalar
from ..ops.base.promote import as_value

S = TypeVar("S")


def leaves(entry: object) -> Iterator[object]:
    """What a structure holds, in order: everything that is no tuple, list or dictionary."""
    match entry:
        case None:
            return
        case tuple() | list():
            for part in entry:
                yield from leaves(part)
        case Mapping():
            for part in entry.values():
                yield from leaves(part)
        case _:
            yield entry


def values_of(entry: object, what: str) -> list[Value]:
    """The values in a structure; numbers and arrays become constants."""
    found: list[Value] = []
    for leaf in leaves(entry):
        if not isinstance(leaf, (Value, np.ndarray)) and not is_scalar(leaf):
            raise TypeRuleError(f"{what} is a value or a tuple of values, not {leaf!r}")
        found.append(as_value(cast(Operand, leaf)))
    return found


def filled(entry: S, values: Iterable[object]) -> S:
    """The same structure holding other things."""
    given = iter(values)
    return cast(S, _map(entry, lambda _: next(given)))


def same_form(one: object, other: object) -> bool:
    """Whether two structures differ in their values at most."""
    return repr(_map(one, lambda _: 0)) == repr(_map(other, lambda _: 0))


def form_text(entry: object) -> str:
    """A structure for a message, its values shown as their types: `(tensor<4xf32>, None)`."""
    return str(_map(entry, lambda leaf: _Shown(str(getattr(leaf, "type", leaf)))))


class _Shown(str):
    def __repr__(self) -> str:
        return str(self)


def _map(entry: object, leaf: Callable[[object], object]) -> object:
    match entry:
        case None:
            return None
        case tuple():
            return tuple(_map(part, leaf) for part in entry)
        case list():
            return [_map(part, leaf) for part in entry]
        case Mapping():
            return {key: _map(part, leaf) for key, part in entry.items()}
    return leaf(entry)
