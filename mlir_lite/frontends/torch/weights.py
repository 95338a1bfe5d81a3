"""Weights of a model as constants: torch's own memory, not copied."""

from __future__ import annotations

import torch

from ...errors import UnsupportedError, check
from ...exporters.torch.arrays import array_of
from ...ir import ConstantData
from ..names import constant_name
from .shapes import element_type


class Weights:
    """Data of one program; a tensor that has two names is there once."""

    def __init__(self) -> None:
        self._known: dict[object, ConstantData] = {}

    def constant(self, tensor: torch.Tensor, name: str) -> ConstantData:
        """The data of a tensor; `UnsupportedError` for one that is no plain array of numbers."""
        strided = tensor.layout == torch.strided and not tensor.is_quantized
        check(strided, f"the tensor '{name}' is {tensor.layout}", UnsupportedError)
        element_type(tensor.dtype)
        here = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        known = self._known.get(here)
        if known is None or tensor.numel() == 0:
            known = ConstantData.of(array_of(tensor), constant_name(name))
            self._known[here] = known
        return known
