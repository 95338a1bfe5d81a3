"""Weights that are constants of an executable, and how a change of one is seen.

Torch counts changes of a tensor, but none through `tensor.data`. So a weight shares its memory with
a copy that torch makes at the first write, whoever writes: to the writer, whose weight from then on
lies elsewhere. An address that is the same is a weight that is the same.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...exporters.torch.arrays import array_of
from ...types import Array
from .shapes import element_type

# What memory holds, without the permission to write, which would make the copy. Torch's own tests
# of such copies have no other name for it.
_address = torch._C._data_address


@dataclass(frozen=True)
class Watch:
    """A weight as it was: the copy, and where it lies; or how often torch has seen it change."""

    weight: torch.Tensor
    seen: Any  # an address; with it a count where the weight is trusted

    @staticmethod
    def of(weight: torch.Tensor, *, trusted: bool) -> Watch | None:
        """None for memory that is not torch's alone, as of a file: unless it is trusted."""
        try:
            copy = torch._lazy_clone(weight.detach())
        except RuntimeError:
            return Watch(weight.detach(), _count(weight)) if trusted else None
        return Watch(copy, _address(copy))

    def is_same(self, weight: torch.Tensor) -> bool:
        """Whether nobody has written into the weight, nor put it elsewhere."""
        if isinstance(self.seen, tuple):
            return bool(self.seen == _count(weight))
        return bool(_address(weight) == self.seen)

    def has_elements_of(self, weight: torch.Tensor) -> bool:
        """Whether the elements are the same after all: who reads may move a weight, too."""
        return bool(torch.equal(self.weight, weight))

    def array(self) -> Array:
        """The elements, where they lie."""
        if isinstance(self.seen, tuple) or self.weight.numel() == 0:
            return array_of(self.weight)
        dtype = element_type(self.weight.dtype).numpy
        steps = [step * dtype.itemsize for step in self.weight.stride()]
        last = sum((n - 1) * step for n, step in zip(self.weight.shape, steps, strict=True))
        memory = (ctypes.c_byte * (last + dtype.itemsize)).from_address(self.seen)
        memory.owner = self.weight  # which lives as long as the array does
        return np.ndarray(tuple(self.weight.shape), dtype, memory, 0, tuple(steps))


def _count(weight: torch.Tensor) -> tuple[int, int]:
    return weight._version, weight.data_ptr()
