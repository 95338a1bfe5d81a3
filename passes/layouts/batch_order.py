"""Whether the convolutions of a function run with the batch last: where there are few channels, and
examples enough to fill the vectors that these would leave half empty."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ...ir import Constant, Function, Op
from ...ops.windows.conv import Conv
from ...ops.windows.conv_gradient import ConvWeightGradient
from ...ops.windows.conv_transpose import ConvTranspose
from ...ops.windows.windows import batch_of, channels_of, spatial_of
from ...sizes import static
from ...target import Target
from ...types import DType, f32
from ..schedule.cost.register_tiles import (
    FMAS_PER_CYCLE,
    ProductSizes,
    product_cycles,
    tiles_by_cycles,
)

WORTH = 0.9  # of the cycles channels-last: what gains less is left in the usual order


def batch_is_last(fn: Function, target: Target) -> bool:
    """Whether that is cheaper for all convolutions together, whose filters come at run time.

    Constant ones are packed, or transformed, for images that are channels-last. A graphics card has
    no vectors to fill.
    """
    if target.gpu is not None:
        return False
    found = [node.op for node in fn.nodes if isinstance(node.op, _Convolution)]
    works = [_work_of(op) for op in found]
    known = [work for work in works if work is not None]
    if not known or len(known) < len(works):
        return False
    usual = sum(work.channels_last(target) for work in known)
    return sum(work.batch_last(target) for work in known) < WORTH * usual


_Convolution = (Conv, ConvTranspose, ConvWeightGradient)


@dataclass(frozen=True)
class _Work:
    """Multiplications of each pixel of `batch` images with each tap of each pair of channels."""

    batch: int
    pixels: int
    inner: int
    outer: int
    taps: int
    dtype: DType
    of_weight: bool  # summed over all images and pixels

    def channels_last(self, target: Target) -> float:
        """Cycles in vectors of channels."""
        if self.of_weight:
            return _product(self.inner * self.taps, self.batch * self.pixels, self.outer, self,
                            target)
        return _product(self.batch * self.pixels, self.inner * self.taps, self.outer, self, target)

    def batch_last(self, target: Target) -> float:
        """Cycles in vectors of examples."""
        if self.of_weight:
            vectors = -(-self.batch // target.lanes(self.dtype))
            sums = self.outer * self.inner * self.taps
            return sums * self.pixels * vectors / FMAS_PER_CYCLE
        work = _product(self.outer, self.inner * self.taps, self.batch, self, target)
        return self.pixels * work


def _product(rows: int, depth: int, columns: int, work: _Work, target: Target) -> float:
    sizes = ProductSizes(rows, depth, columns, work.dtype)
    tile = next(iter(tiles_by_cycles(sizes, target)))
    return depth * product_cycles(rows, columns, tile)


def _work_of(op: Op) -> _Work | None:
    """The work of a convolution that may run with the batch last."""
    match op:
        case Conv(x=x, weight=weight, layout="nchw", groups=1):
            taps, y = weight.type.static_shape[2:], op.infer()
        case ConvTranspose(x=y_value, weight=weight, layout="nchw", groups=1):
            taps, x, y = weight.type.static_shape[2:], y_value, op.infer()
        case ConvWeightGradient(x=x, dy=dy, layout="nchw", groups=1):
            taps, y = op.kernel_size, dy.type
        case _:
            return None
    known = x.type.is_static and y.is_static and x.dtype == f32 and bool(y.elements)
    if not known or any(isinstance(value.op, Constant) for value in op.operands[1:]):
        return None
    small = x.type if isinstance(op, ConvTranspose) else y
    return _Work(
        batch=static((batch_of(y.shape, "nchw"),))[0],
        pixels=prod(static(spatial_of(small.shape, "nchw"))),
        inner=static((channels_of(x.shape, "nchw"),))[0],
        outer=static((channels_of(y.shape, "nchw"),))[0],
        taps=prod(taps),
        dtype=x.dtype,
        of_weight=isinstance(op, ConvWeightGradient),
    )
