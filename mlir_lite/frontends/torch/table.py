"""Which reader reads an operator of torch, by its name: `aten.add` is that of all overloads that
have no line of their own, as `aten.max.dim` has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .readers import (
    activations,
    adaptive_pools,
    attention,
    casts,
    convolutions,
    creation,
    elementwise,
    gradients,
    images,
    indexing,
    linear_algebra,
    movement,
    norms,
    pools,
    products,
    random,
    recurrent,
    reductions,
    sorting,
)
from .readers.typed import AnyReader
from .refusals import REFUSALS

READERS: Mapping[str, AnyReader] = {
    **elementwise.READERS,
    **casts.READERS,
    **activations.READERS,
    **reductions.READERS,
    **products.READERS,
    **attention.READERS,
    **norms.READERS,
    **gradients.READERS,
    **convolutions.READERS,
    **pools.READERS,
    **adaptive_pools.READERS,
    **images.READERS,
    **recurrent.READERS,
    **movement.READERS,
    **indexing.READERS,
    **sorting.READERS,
    **creation.READERS,
    **random.READERS,
    **linear_algebra.READERS,
}


def name_of(target: Any) -> str:
    """An operator's name; targets are torch's `OpOverload`s, or any function."""
    return str(target) if hasattr(target, "_schema") else getattr(target, "__name__", str(target))


def reader_of(target: Any) -> AnyReader | None:
    """The reader of an operator, of all its overloads or of this one."""
    name = name_of(target)
    return READERS.get(name) or READERS.get(name.rpartition(".")[0])


def refusal(target: Any) -> str:
    """Why no reader reads an operator."""
    name = name_of(target)
    return REFUSALS.get(name.rpartition(".")[0], "there is no reader for it")


def is_read(target: Any) -> bool:
    """Whether the operator stays as it is, rather than be made of others."""
    return reader_of(target) is not None and not name_of(target).endswith(("out", "_"))
