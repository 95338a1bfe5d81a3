"""Element types and arrays as torch has them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch

from ...types import Array, DType, bf16, bool_, f16, f32, f64, i8, i16, i32, i64, u8

TORCH_TYPES: Mapping[DType, torch.dtype] = MappingProxyType(
    {
        f64: torch.float64,
        f32: torch.float32,
        f16: torch.float16,
        bf16: torch.bfloat16,
        i64: torch.int64,
        i32: torch.int32,
        i16: torch.int16,
        i8: torch.int8,
        u8: torch.uint8,
        bool_: torch.bool,
    }
)


def tensor_of(array: Array, device: str = "cpu") -> torch.Tensor:
    """A tensor on a device with a copy of an array's elements."""
    own = np.array(array, order="C")
    if own.dtype == bf16.numpy:  # which torch does not take from NumPy
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16).to(device)
    return torch.from_numpy(own).to(device)


def array_of(tensor: torch.Tensor) -> Array:
    """The elements of a tensor as an array."""
    here = tensor.detach().cpu()
    if here.dtype == torch.bfloat16:
        narrow: Array = here.view(torch.int16).numpy().view(bf16.numpy)
        return narrow
    array: Array = here.numpy()
    return array
