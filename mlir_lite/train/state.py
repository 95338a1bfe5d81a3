"""The arrays that each step of a training overwrites, where it runs: on the host, or on a card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from ..backends.cuda.card.device_array import DeviceArray
from ..backends.cuda.card.here import to_device
from ..memory import aligned_copy
from ..types import Array

Placed: TypeAlias = Array | DeviceArray


class State(Mapping[str, Placed]):
    """Arrays by name, as a step compiled for `target` takes them and gives them back."""

    def __init__(self, arrays: Mapping[str, Array], target: str) -> None:
        on_card = target.partition(":")[0] == "cuda"
        self._arrays: dict[str, Placed] = {
            name: to_device(array) if on_card else aligned_copy(array)
            for name, array in arrays.items()
        }

    def __getitem__(self, name: str) -> Placed:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def on_host(self, names: Iterable[str]) -> dict[str, Array]:
        """These arrays: those of the host themselves, those of a card as copies."""
        return {name: on_host(self._arrays[name]) for name in names}

    def put(self, name: str, array: Array) -> None:
        """Overwrite an array by another of its type."""
        have = self._arrays[name]
        if isinstance(have, DeviceArray):
            self._arrays[name] = to_device(array)
        else:
            have[...] = array


def on_host(array: Placed) -> Array:
    """An array of the host, or a copy of one that is on a card."""
    return array.numpy() if isinstance(array, DeviceArray) else array
