"""Attention in the form that torch's own kernels are for: `(batch, heads, length, width)`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F

from ...ir import Op, Value
from ...ops.nn.attention import Attention
from .site import Call, Site, Tensor


def _attention(
    site: Site,
    op: Attention,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
) -> Tensor:
    shape = op.infer().static_shape
    batch = shape[:-2]
    shared = _is_shared(op, batch)
    *outer, heads = (*batch[:-2], math.prod(batch[-2:])) if shared else batch or (1,)
    lead = (math.prod(outer), heads)
    own = (lead[0], batch[-2]) if shared else lead
    kept = (*batch[:-1], 1) if shared else batch
    y = F.scaled_dot_product_attention(
        _flat(op.queries, queries, batch, lead),
        _flat(op.keys, keys, kept, own),
        _flat(op.values, values, kept, own),
        _mask(site, op, mask, batch, lead),
        is_causal=op.causal and mask is None,
        scale=op.scale,
        enable_gqa=shared,
    )
    return torch.reshape(y, shape)


def _is_shared(op: Attention, batch: tuple[int, ...]) -> bool:
    """Whether heads have keys and values together: `(b, h, r, s, d)` and `(b, h, 1, t, d)`."""
    if len(batch) < 2 or batch[-1] == 1:
        return False
    one = (*batch[:-1], 1)
    return all(value.type.static_shape[:-2] == one for value in (op.keys, op.values))


def _flat(value: Value, tensor: Tensor, batch: tuple[int, ...], lead: tuple[int, int]) -> Tensor:
    """Repeated along the leading axes, which are then made two."""
    own = value.type.static_shape
    spread = tensor if own[:-2] == batch else tensor.expand(*batch, *own[-2:])
    return torch.reshape(spread, (*lead, *own[-2:]))


def _mask(
    site: Site,
    op: Attention,
    mask: Tensor | None,
    batch: tuple[int, ...],
    lead: tuple[int, int],
) -> Tensor | None:
    """What is added to the scores; torch takes no mask beside its own causal one."""
    if op.mask is None or mask is None:
        return None
    own = op.mask.type.static_shape
    own = (1,) * (len(batch) + 2 - len(own)) + own
    if lead == batch:
        flat = torch.reshape(mask, own)
    elif math.prod(own[:-2]) == 1:
        flat = torch.reshape(mask, (1, 1, *own[-2:]))
    else:
        flat = torch.reshape(mask.expand(*batch, *own[-2:]), (*lead, *own[-2:]))
    if not op.causal:
        return flat
    lengths = (value.type.static_shape[-2] for value in (op.queries, op.keys))
    seen = np.tril(np.ones(tuple(lengths), np.bool_))
    return torch.where(site.constant(seen), flat, -math.inf)


CALLS: Mapping[type[Op], Call] = {Attention: _attention}
