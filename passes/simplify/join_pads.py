"""A sum of padded tensors that lie side by side is a concatenation: the gradient of a cut in parts.

    %0 = pad %a {low = [0, 0], high = [0, 3]} : tensor<2x5xf32>
    %1 = pad %b {low = [0, 2], high = [0, 0]} : tensor<2x5xf32>
    %2 = add %0, %1 : tensor<2x5xf32>        ->        %2 = concat [%a, %b] {axis = 1}
"""

from __future__ import annotations

from dataclasses import dataclass

from ...ir import Value, rewrite
from ...ops.elementwise.arithmetic import Add
from ...ops.shapes.join import concat
from ...ops.shapes.slice import Pad


@dataclass(frozen=True)
class _Part:
    """What is padded with zeros along one axis, and where it begins there."""

    x: Value
    axis: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.x.type.static_shape[self.axis]


@rewrite(Add)
def join_pads(op: Add) -> Value | None:
    """pad(a, ..) + pad(b, ..)  ->  concat(a, b), where each is zero in the other's place"""
    parts = [*_parts(op.lhs), *_parts(op.rhs)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len({part.axis for part in known}) != 1:
        return None
    known.sort(key=lambda part: part.start)
    axis, size = known[0].axis, op.lhs.shape[known[0].axis]
    starts, ends = [part.start for part in known], [part.end for part in known]
    if [*starts, size] != [0, *ends]:
        return None
    return concat([part.x for part in known], axis)


def _parts(value: Value) -> list[_Part | None]:
    """The parts of a sum; None for what is none."""
    match value.op:
        case Add(lhs=lhs, rhs=rhs):
            return [*_parts(lhs), *_parts(rhs)]
        case Pad(x=x, low=low, high=high, mode="constant", value=added) if not added:
            pairs = list(zip(low, high, strict=True))
            axes = [axis for axis, pair in enumerate(pairs) if pair != (0, 0)]
            starts = [low[axis] for axis in axes]
            if x.type.is_static and len(axes) == 1 and isinstance(starts[0], int):
                return [_Part(x, axes[0], starts[0])] if starts[0] >= 0 else [None]
    return [None]
