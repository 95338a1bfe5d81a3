"""What readers of windows share: the steps of pools, images without a batch, sizes of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ....ops.windows.windows import Padding, padding_pairs
from ....sizes import Size, product

Sizes = int | Sequence[int]


def spread(sizes: Sizes, rank: int) -> tuple[int, ...]:
    """A number for each spatial axis; one number stands for all."""
    found = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return found * rank if len(found) == 1 else found


@dataclass(frozen=True)
class Steps:
    """The windows of a pool, a number for each spatial axis."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    ceil_mode: bool

    @staticmethod
    def of(
        rank: int,
        kernel: Sizes,
        stride: Sizes = (),
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> Steps:
        """As torch's operators have them; without a stride it is the window."""
        window = spread(kernel, rank)
        strides = spread(stride or window, rank)
        return Steps(window, strides, spread(padding, rank), spread(dilation, rank), ceil_mode)

    @property
    def padding(self) -> Padding:
        """What is before and after each axis."""
        return padding_pairs(self.pads, len(self.window))


def batched(rank: int, read: Callable[..., Value]) -> Callable[..., Value]:
    """The function of images of one image too, which has no batch."""

    def of(*given: Value) -> Value:
        if given[0].rank == rank + 2:
            return read(*given)
        return ops.squeeze(read(*(ops.expand_dims(value, 0) for value in given)), 0)

    return of


def numbers(x: Value, rank: int) -> tuple[int, ...]:
    """The sizes of an image, which windows of it must know."""
    sizes = x.shape[x.rank - rank :]
    found = tuple(size for size in sizes if isinstance(size, int))
    shown = " x ".join(map(str, sizes))
    check(len(found) == rank, f"so many windows of an image of {shown}", UnsupportedError)
    return found


def linear_steps(x: Value, rank: int) -> list[Size]:
    """How many elements of an image lie between neighbours along each axis."""
    sizes = x.shape[x.rank - rank :]
    return [product(sizes[axis + 1 :]) for axis in range(rank)]


def columns(x: Value, rank: int) -> Value:
    """Images with their elements along one axis, the last."""
    return ops.reshape(x, (*x.shape[: x.rank - rank], product(x.shape[x.rank - rank :])))


__all__ = ["Sizes", "Steps", "batched", "columns", "linear_steps", "numbers", "spread"]
