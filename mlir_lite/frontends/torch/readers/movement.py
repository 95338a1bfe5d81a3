"""Operators that give parts of tensors, put parts together, and lay elements out anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import ConstantData, Value
from ....ops.base.constant import constant
from ....ops.shapes.slice import slice_axes, slice_axis
from ....sizes import Dim, Size, product
from ....types import TensorType
from ..promote import joined
from .typed import Reader, Typed


def reshaped(wanted: TensorType, x: Value, *_: object, **__: object) -> Value:
    """The elements in another shape."""
    return x if x.shape == wanted.shape else ops.reshape(x, wanted.shape)


def expand(wanted: TensorType, x: Value, *_: object, **__: object) -> Value:
    """Axes of size 1 repeated, and new ones in front."""
    return ops.broadcast(x, wanted.shape)


def permute(x: Value, dims: Sequence[int]) -> Value:
    """Axes in another order."""
    return ops.transpose(x, [dim % x.rank for dim in dims])


def transpose(x: Value, first: int, second: int) -> Value:
    """Two axes exchanged."""
    return x if x.rank == 0 else ops.swapaxes(x, first, second)


def transposed_matrix(x: Value) -> Value:
    """A matrix transposed; a vector as it is."""
    return ops.transpose(x)


def _start(bound: Size | None, extent: Size) -> Size:
    """Where a slice begins: from the end if it is negative, and inside."""
    start: Size = 0 if bound is None else bound
    if isinstance(start, int) and start < 0:
        start = start + extent
    if isinstance(start, int):
        start = max(0, start)
        start = min(start, extent) if isinstance(extent, int) else start
    return start


def sliced(
    wanted: TensorType,
    x: Value,
    dim: int = 0,
    start: Size | None = None,
    _end: Size | None = None,
    step: int = 1,
) -> Value:
    """A part of one axis; torch has found its size."""
    axis = dim % x.rank
    return slice_axis(x, axis, _start(start, x.shape[axis]), wanted.shape[axis], step)


def select(x: Value, dim: int, index: Size | Value) -> Value:
    """One place of an axis, which goes."""
    axis = dim % x.rank
    if isinstance(index, Value):
        return ops.gather(x, index, axis)
    place = index + x.shape[axis] if isinstance(index, int) and index < 0 else index
    return ops.squeeze(slice_axis(x, axis, place, 1), axis)


def unbind(x: Value, dim: int = 0) -> tuple[Value, ...]:
    """Every place of an axis."""
    count = x.shape[dim % x.rank]
    check(isinstance(count, int), f"as many tensors as {count}", UnsupportedError)
    assert isinstance(count, int)
    return tuple(select(x, dim, place) for place in range(count))


def split(x: Value, sizes: Size | Sequence[Size], dim: int = 0) -> tuple[Value, ...]:
    """Parts of an axis: of this size, the last maybe smaller, or of these sizes."""
    axis = dim % x.rank
    extent = x.shape[axis]
    if not isinstance(sizes, (int, Dim)):
        return ops.split(x, list(sizes), axis)
    known = isinstance(extent, int) and isinstance(sizes, int)
    check(known, f"parts of {sizes} of the size {extent}", UnsupportedError)
    assert isinstance(extent, int) and isinstance(sizes, int)
    starts = range(0, extent, sizes) if extent else range(1)
    return tuple(slice_axis(x, axis, at, min(sizes, extent - at)) for at in starts)


def concat(xs: Sequence[Value], dim: int = 0) -> Value:
    """Tensors one after another; torch lets empty vectors go with any."""
    kept = [x for x in xs if x.shape != (0,)] or list(xs[:1])
    return ops.concat(joined(kept), dim)


def stack(xs: Sequence[Value], dim: int = 0) -> Value:
    """Tensors along a new axis."""
    return ops.stack(joined(xs), dim)


def squeeze(wanted: TensorType, x: Value, *_: object) -> Value:
    """Axes of size 1 left out: those that torch found."""
    return ops.reshape(x, wanted.shape)


def flip(x: Value, dims: Sequence[int]) -> Value:
    """Axes turned round."""
    return ops.flip(x, tuple(dims)) if dims else x


def roll(x: Value, shifts: int | Sequence[int], dims: int | Sequence[int] = ()) -> Value:
    """Elements moved along axes, round the end; without axes, along all elements."""
    by = [shifts] if isinstance(shifts, int) else list(shifts)
    over = [dims] if isinstance(dims, int) else list(dims)
    if over:
        return ops.roll(x, by, tuple(over))
    return ops.reshape(ops.roll(ops.reshape(x, (product(x.shape),)), by[0], 0), x.shape)


def repeat(wanted: TensorType, x: Value, repeats: Sequence[Size]) -> Value:
    """The whole repeated along each axis."""
    own = (1,) * (len(repeats) - x.rank) + x.shape
    apart = [size for pair in zip([1] * len(own), own, strict=True) for size in pair]
    spread = [size for pair in zip(repeats, own, strict=True) for size in pair]
    return ops.reshape(ops.broadcast(ops.reshape(x, apart), spread), wanted.shape)


def repeat_each(x: Value, repeats: int, dim: int | None = None, **_: object) -> Value:
    """Every element repeated along an axis."""
    if dim is None:
        return ops.repeat(ops.reshape(x, (product(x.shape),)), repeats, 0)
    return ops.repeat(x, repeats, dim)


def _widths(x: Value, pads: Sequence[Size]) -> list[tuple[Size, Size]]:
    """Pairs for each axis; torch counts them from the last one."""
    pairs = list(zip(pads[::2], pads[1::2], strict=True))
    return [(0, 0)] * (x.rank - len(pairs)) + pairs[::-1]


def pad_constant(x: Value, pads: Sequence[Size], value: float = 0) -> Value:
    """A border of one number; a negative width cuts."""
    widths = _widths(x, pads)
    cut = [(_cut(low), _cut(high)) for low, high in widths]
    sizes = [size - low - high for size, (low, high) in zip(x.shape, cut, strict=True)]
    x = slice_axes(x, [low for low, _ in cut], sizes)
    wide = [tuple(0 if _cut(w) else w for w in pair) for pair in widths]
    number = float(value) if x.dtype.is_float else int(value)
    return ops.pad(x, [(low, high) for low, high in wide], "constant", number)


def _cut(width: Size) -> int:
    return -width if isinstance(width, int) and width < 0 else 0


def pad(
    x: Value, pads: Sequence[Size], mode: str = "constant", value: float | None = None
) -> Value:
    """A border: of a number, or of what is inside."""
    if mode == "constant":
        return pad_constant(x, pads, value or 0)
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    return ops.pad(x, _widths(x, pads), names[mode])


def diagonal(x: Value, offset: int = 0, first: int = 0, second: int = 1) -> Value:
    """The diagonal of two axes, as a new last axis."""
    return ops.diagonal(x, offset, first, second)


def slice_scatter(
    x: Value,
    source: Value,
    dim: int = 0,
    start: Size | None = None,
    _end: Size | None = None,
    step: int = 1,
) -> Value:
    """The tensor with a part of one axis replaced."""
    axis = dim % x.rank
    extent, count = x.shape[axis], source.shape[axis]
    first = _start(start, extent)
    if step == 1:
        last = first + count
        before, after = slice_axis(x, axis, 0, first), slice_axis(x, axis, last, extent - last)
        parts = [part for part in (before, source, after) if part.shape[axis] != 0]
        return ops.concat(parts, axis)
    check(isinstance(extent, int) and isinstance(count, int), "steps of named sizes",
          UnsupportedError)
    assert isinstance(first, int) and isinstance(count, int)
    places = first + step * np.arange(count)
    moved = ops.scatter_nd(
        ops.moveaxis(x, axis, 0),
        constant(ConstantData.of(places[:, None])),
        ops.moveaxis(ops.cast(source, x.dtype), axis, 0),
    )
    return ops.moveaxis(moved, 0, axis)


def pixel_shuffle(x: Value, factor: int) -> Value:
    """Channels laid out as finer images."""
    *lead, channels, height, width = x.shape
    deep = channels // (factor * factor)
    apart = ops.reshape(x, (*lead, deep, factor, factor, height, width))
    n = len(lead)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return ops.reshape(ops.transpose(apart, order), (*lead, deep, height * factor, width * factor))


def pixel_unshuffle(x: Value, factor: int) -> Value:
    """Finer images laid out as channels."""
    *lead, channels, height, width = x.shape
    apart = ops.reshape(x, (*lead, channels, height // factor, factor, width // factor, factor))
    n = len(lead)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    shape = (*lead, channels * factor * factor, height // factor, width // factor)
    return ops.reshape(ops.transpose(apart, order), shape)


def as_strided(
    wanted: TensorType, x: Value, size: Sequence[int], stride: Sequence[int], offset: int = 0
) -> Value:
    """Elements of a tensor, which lies in row-major order, at a start and strides."""
    places = np.zeros(wanted.static_shape, np.int64) + offset
    for axis, (count, step) in enumerate(zip(size, stride, strict=True)):
        places += (np.arange(count) * step).reshape(-1, *(1,) * (len(size) - axis - 1))
    flat = ops.reshape(x, (product(x.shape),))
    return ops.gather(flat, constant(ConstantData.of(places)), 0)


_RESHAPED = Typed(reshaped)

READERS: Mapping[str, Reader | Typed] = {
    "aten._reshape_alias": _RESHAPED,
    "aten._unsafe_view": _RESHAPED,
    "aten.as_strided": Typed(as_strided),
    "aten.cat": concat,
    "aten.constant_pad_nd": pad_constant,
    "aten.diagonal": diagonal,
    "aten.expand": Typed(expand),
    "aten.flip": flip,
    "aten.pad": pad,
    "aten.permute": permute,
    "aten.pixel_shuffle": pixel_shuffle,
    "aten.pixel_unshuffle": pixel_unshuffle,
    **{f"aten.reflection_pad{n}d": lambda x, pads: pad(x, pads, "reflect") for n in (1, 2, 3)},
    **{f"aten.replication_pad{n}d": lambda x, pads: pad(x, pads, "replicate") for n in (1, 2, 3)},
    "aten.repeat": Typed(repeat),
    "aten.repeat_interleave.self_int": repeat_each,
    "aten.roll": roll,
    "aten.select": select,
    "aten.slice": Typed(sliced),
    "aten.slice_scatter": slice_scatter,
    "aten.split": split,
    "aten.split_with_sizes": split,
    "aten.squeeze": Typed(squeeze),
    "aten.stack": stack,
    "aten.t": transposed_matrix,
    "aten.transpose": transpose,
    "aten.unbind": unbind,
    "aten.unsqueeze": _RESHAPED,
    "aten.view.default": _RESHAPED,
}
