"""Calls of torch for every operator that is read, each with inputs at which it is compared."""

from __future__ import annotations

from frontends.torch.cases import (
    creation,
    elementwise,
    gradients,
    images,
    indexing,
    movement,
    networks,
    norms,
    products,
    reductions,
    windows,
)
from frontends.torch.cases.tensors import Calls

CALLS: Calls = {
    **elementwise.CALLS,
    **reductions.CALLS,
    **products.CALLS,
    **networks.CALLS,
    **norms.CALLS,
    **windows.CALLS,
    **gradients.CALLS,
    **images.CALLS,
    **movement.CALLS,
    **indexing.CALLS,
    **creation.CALLS,
}
