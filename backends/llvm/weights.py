"""The arrays of constants: made once for all executables of a function, whatever sizes they have.

A server that meets a hundred lengths of its requests has a hundred executables of one model. Most
pack a weight in the same way; it is told by what the data is made of, so that the second one does
not even make it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar
from weakref import WeakValueDictionary

from ...ir import ConstantData
from ...memory import HUGE_PAGE, aligned_copy, return_freed, side_by_side
from ...types import Array, TensorType
from .machine.threads import default_threads

K = TypeVar("K")
Key: TypeAlias = tuple[str, Hashable]

_LARGE = 4 << 20  # bytes: what making less takes is not worth giving back
_MANY = 32  # times as much in all as the largest: then several threads make them


@dataclass(frozen=True)
class Weights:
    """Arrays that executables hold, by type and by what their data is made of: they go with the
    last executable that reads them."""

    _arrays: WeakValueDictionary[Key, Array] = field(default_factory=WeakValueDictionary)

    def materialised(
        self, constants: Mapping[str, ConstantData], slots: Sequence[tuple[str, TensorType]]
    ) -> tuple[Array, ...]:
        """The arrays of these slots, aligned; equal data once, what others have not made anew."""
        keys = {name: (str(type_), constants[name].source.origin()) for name, type_ in slots}
        had = {key: self._arrays.get(key) for key in keys.values()}
        new = {
            keys[name]: (constants[name], type_)
            for name, type_ in slots
            if had[keys[name]] is None
        }
        made = _made(new)
        self._arrays.update(made)
        found = {key: array for key, array in had.items() if array is not None} | made
        return tuple(found[keys[name]] for name, _ in slots)


def materialise(
    constants: Mapping[str, ConstantData], slots: Sequence[tuple[str, TensorType]]
) -> tuple[Array, ...]:
    """The arrays of these slots, for one executable alone; equal data once."""
    keys = {name: constants[name].key() for name, _ in slots}
    made = _made({keys[name]: (constants[name], type_) for name, type_ in slots})
    return tuple(made[keys[name]] for name, _ in slots)


def _made(
    wanted: Mapping[K, tuple[ConstantData, TensorType]],
) -> dict[K, Array]:
    """The arrays of this data, several at a time.

    A large part of the whole is made first and alone: what making it takes for a while is then
    little beside what follows. The small ones lie side by side: a call that reads them all would
    wait for a page table's entry every 4 KiB otherwise.
    """
    wanted = dict(sorted(wanted.items(), key=lambda item: -item[1][1].nbytes))
    alone = max(_LARGE, sum(type_.nbytes for _, type_ in wanted.values()) // 32)

    def make(entry: tuple[ConstantData, TensorType]) -> Array:
        data, type_ = entry
        array = data.array().astype(type_.dtype.numpy, copy=False)
        return array.reshape(type_.static_shape)

    made: dict[K, Array] = {}
    for key, entry in wanted.items():
        if entry[1].nbytes > alone:
            made[key] = aligned_copy(make(entry))
            return_freed()
    rest = [key for key in wanted if key not in made]
    small = {key: wanted[key][1] for key in rest if wanted[key][1].nbytes < HUGE_PAGE}
    places = side_by_side([(type_.static_shape, type_.dtype.numpy) for type_ in small.values()])
    others = [key for key in rest if key not in small]
    # What a thread of its own frees is never given back: some of the largest arrays, for each.
    sizes = [wanted[key][1].nbytes for key in others]
    many = sum(sizes) >= _MANY * max(sizes, default=0)
    with ThreadPoolExecutor(default_threads()) as executor:  # NumPy copies without the lock
        each = executor.map if many else map
        copies = each(lambda key: aligned_copy(make(wanted[key])), others)
        for key, place in zip(small, places, strict=True):
            place[...] = make(wanted[key])
            made[key] = place
        made |= zip(others, copies, strict=True)
    return_freed()
    return made
