"""Operators that no function of tensors of known sizes can be, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping

_RANDOM = (
    "it draws random numbers; model.eval() leaves dropout out, others can be inputs of the model"
)
_OF_DATA = (
    "it makes a number or a size of data, and sizes are known before the data here; torch.where "
    "and masks keep the shape"
)


REFUSALS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "aten.bernoulli",
            "aten.multinomial",
            "aten.native_dropout",
            "aten.normal",
            "aten.rand",
            "aten.rand_like",
            "aten.randint",
            "aten.randint_like",
            "aten.randn",
            "aten.randn_like",
            "aten.randperm",
        ),
        _RANDOM,
    ),
    **dict.fromkeys(
        (
            "aten.masked_select",
            "aten.nonzero",
            "aten.unique_consecutive",
            "aten._unique2",
        ),
        _OF_DATA,
    ),
}
