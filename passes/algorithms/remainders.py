"""What a transposed convolution in steps is along one axis: a convolution for each remainder of a
result's place, with taps of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...ops.windows.conv_transpose import ConvTranspose


@dataclass(frozen=True)
class Part:
    """Along one axis, the results whose place has one remainder: `count` of them, the `taps` that
    reach them in the order of a convolution, and the padding it takes."""

    count: int
    taps: range
    padding: tuple[int, int]


def parts_of(op: ConvTranspose, axis: int, size: int) -> list[Part]:
    """Result `s * q + r` has the sum over taps `t` of element `q + (r + low - t) / s`, where that
    is whole."""
    taps, step = op.weight.type.static_shape[2 + axis], op.strides[axis]
    low, _ = op.padding[axis]
    (inner,) = op.x.type.static_shape[1 + axis : 2 + axis]
    found = []
    for remainder in range(step):
        count = -(-(size - remainder) // step)
        own = range((remainder + low) % step, taps, step)
        if not own or count <= 0:
            found.append(Part(max(0, count), range(0), (0, 0)))
            continue
        # The last tap, the first of the convolution, reads this element for the first result.
        first = (remainder + low - own[-1]) // step
        high = first + count + len(own) - 1 - inner
        found.append(Part(count, own[::-1], (-first, high)))
    return found


def margins_of(along: Sequence[Sequence[Part]]) -> tuple[list[int], list[int]]:
    """How much of padding all remainders need at the start and at the end of each axis."""
    starts, ends = (
        [max(0, *(part.padding[end] for part in parts)) for parts in along] for end in (0, 1)
    )
    return starts, ends
