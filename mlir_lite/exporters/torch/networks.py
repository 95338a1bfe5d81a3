"""Operations of networks that torch has whole: softmax, norms, losses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from ...ir import Op
from ...ops.nn.losses import CrossEntropy
from ...ops.nn.norm import BatchNorm, LayerNorm, RmsNorm
from ...ops.nn.softmax import LogSoftmax, Softmax
from .site import Call, Tensor, with_op


def _layer_norm(op: LayerNorm, x: Tensor, scale: Tensor | None, bias: Tensor | None) -> Tensor:
    return F.layer_norm(x, op.x.type.static_shape[op.axis :], scale, bias, op.epsilon)


def _rms_norm(op: RmsNorm, x: Tensor, scale: Tensor | None) -> Tensor:
    return F.rms_norm(x, op.x.type.static_shape[op.axis :], scale, op.epsilon)


def _batch_norm(
    op: BatchNorm, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    """Channels are torch's axis 1."""
    first = torch.movedim(x, op.axis, 1)
    y = F.batch_norm(first, mean, variance, scale, bias, eps=op.epsilon)
    return torch.movedim(y, 1, op.axis)


def _cross_entropy(op: CrossEntropy, logits: Tensor, labels: Tensor) -> Tensor:
    """Classes are torch's axis 1, or the only one."""
    first = torch.movedim(logits, op.axis, 1) if op.logits.rank > 1 else logits
    return F.cross_entropy(
        first,
        labels.to(torch.int64),
        ignore_index=op.ignore,
        reduction="none",
        label_smoothing=op.smoothing,
    )


CALLS: Mapping[type[Op], Call] = {
    Softmax: with_op(lambda op, x: torch.softmax(x, op.axis)),
    LogSoftmax: with_op(lambda op, x: torch.log_softmax(x, op.axis)),
    LayerNorm: with_op(_layer_norm),
    RmsNorm: with_op(_rms_norm),
    BatchNorm: with_op(_batch_norm),
    CrossEntropy: with_op(_cross_entropy),
}
