"""Readers of matrix products and convolutions, and of depth that becomes space."""

from __future__ import annotations

from collections.abc import Sequence

from .... import ops
from ....errors import ParseError, check
from ....ir import Value
from ....sizes import Shape, Size, ceil_div
from ..call import Call, Results
from ..sizes import number

PerAxis = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def matmul(call: Call) -> Results:
    """NumPy's matrix product."""
    return ops.matmul(call.value(0), call.value(1))


def einsum(call: Call) -> Results:
    """Sums of products by the equation of the attribute."""
    operands = [call.value(position) for position in range(call.count)]
    return ops.einsum(call.text("equation", ""), *operands)


def gemm(call: Call) -> Results:
    """`alpha A B + beta C`, with A and B transposed where the attributes say so."""
    a, b = call.value(0), call.value(1)
    a = ops.transpose(a) if call.int_("transA", 0) else a
    b = ops.transpose(b) if call.int_("transB", 0) else b
    product = _scaled(ops.matmul(a, b), call.float_("alpha", 1.0))
    c = call.optional(2)
    return product if c is None else ops.add(product, _scaled(c, call.float_("beta", 1.0)))


def _scaled(x: Value, factor: float) -> Value:
    if factor == 1.0:
        return x
    return ops.multiply(x, int(factor) if x.dtype.is_integer else factor)


def spatial(call: Call, name: str, count: int, default: int) -> tuple[int, ...]:
    """An attribute with one number per spatial axis."""
    found = call.ints(name) or (default,) * count
    check(len(found) == count, f"'{name}' has {len(found)} entries for {count} axes", ParseError)
    return found


def spatial_rank(call: Call) -> int:
    """How many axes follow batch and channels; `ParseError` for none."""
    rank = len(call.shape(0)) - 2
    check(rank >= 1, f"an operand of rank {rank + 2} has no spatial axes", ParseError)
    return rank


def padding(
    call: Call,
    sizes: Sequence[Size],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Padding:
    """(low, high) per spatial axis, from `pads` or by the rule that `auto_pad` names."""
    count = len(sizes)
    rule = call.text("auto_pad", "NOTSET")
    if rule == "VALID":
        return ((0, 0),) * count
    if rule == "NOTSET":
        pads = call.ints("pads") or (0,) * (2 * count)
        check(len(pads) == 2 * count, f"{len(pads)} pads for {count} axes", ParseError)
        return tuple(zip(pads[:count], pads[count:], strict=True))
    check(rule in ("SAME_UPPER", "SAME_LOWER"), f"auto_pad is '{rule}'", ParseError)
    found: list[tuple[int, int]] = []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        # As many windows as strides fit, so that the result does not depend on the kernel.
        total = (ceil_div(size, stride) - 1) * stride + (dilation * (k - 1) + 1) - size
        found.append(_halves(max(0, number(total, "the padding")), rule))
    return tuple(found)


def _halves(total: int, rule: str) -> tuple[int, int]:
    """The odd one goes to the side that the rule names."""
    small, large = total // 2, total - total // 2
    return (large, small) if rule == "SAME_LOWER" else (small, large)


def conv(call: Call) -> Results:
    """A convolution, channels first."""
    return convolution(call, call.value(0), call.value(1), call.optional(2))


def convolution(call: Call, x: Value, weight: Value, bias: Value | None) -> Value:
    """A convolution by the node's attributes."""
    kernel, strides, dilations = _windows(call, weight)
    return ops.conv(
        x,
        weight,
        bias,
        strides=strides,
        padding=padding(call, x.shape[2:], kernel, strides, dilations),
        dilations=dilations,
        groups=call.int_("group", 1),
    )


def _windows(call: Call, weight: Value) -> tuple[PerAxis, PerAxis, PerAxis]:
    """The sizes of filters, their strides and their dilations, one number per spatial axis."""
    count = spatial_rank(call)
    check(weight.rank == count + 2, f"a weight of rank {weight.rank}", ParseError)
    strides = spatial(call, "strides", count, 1)
    return weight.type.static_shape[2:], strides, spatial(call, "dilations", count, 1)


def conv_transpose(call: Call) -> Results:
    """The padding is given, or what makes the result as large as `output_shape` or `auto_pad`
    say."""
    x, weight = call.value(0), call.value(1)
    kernel, strides, dilations = _windows(call, weight)
    extra = spatial(call, "output_padding", len(kernel), 0)
    wanted: Sequence[Size] | None = call.ints("output_shape")
    if wanted is None and call.text("auto_pad", "NOTSET").startswith("SAME"):
        wanted = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    if wanted is None:
        pads = padding(call, x.shape[2:], kernel, strides, dilations)
    else:
        reaches = [by * (size - 1) + 1 for size, by in zip(kernel, dilations, strict=True)]
        pads, extra = _padding_to(call, wanted, x.shape[2:], reaches, strides, extra)
    return ops.conv_transpose(
        x,
        weight,
        call.optional(2),
        strides=strides,
        padding=pads,
        output_padding=extra,
        dilations=dilations,
        groups=call.int_("group", 1),
    )


def _padding_to(
    call: Call,
    wanted: Sequence[Size],
    sizes: Sequence[Size],
    reaches: Sequence[int],
    strides: Sequence[int],
    extra: Sequence[int],
) -> tuple[Padding, PerAxis]:
    """The padding, and the output padding if not `extra`, with which a transposed convolution gives
    the `wanted` sizes; `reaches` are those of the filters, with the gaps in them."""
    count = len(sizes)
    check(len(wanted) >= count, f"{len(wanted)} output sizes for {count} axes", ParseError)
    rule = "SAME_UPPER" if call.text("auto_pad", "NOTSET") == "SAME_UPPER" else "SAME_LOWER"
    pads: list[tuple[int, int]] = []
    grown = list(extra)
    for axis, target in enumerate(wanted[-count:]):
        full = (sizes[axis] - 1) * strides[axis] + reaches[axis] + extra[axis]
        total = number(full - target, "the padding")
        grown[axis] += max(0, -total)
        pads.append(_halves(max(0, total), rule))
    return tuple(pads), tuple(grown)


def depth_to_space(call: Call) -> Results:
    """Channels become blocks of space; `mode` says whether the block or the depth is outer."""
    x, block = _image_and_block(call)
    n, c, h, w = x.shape
    depth = c // (block * block)
    split: Shape = (n, block, block, depth, h, w)
    order = (0, 3, 4, 1, 5, 2)
    if call.text("mode", "DCR") == "CRD":
        split, order = (n, depth, block, block, h, w), (0, 1, 4, 2, 5, 3)
    moved = ops.transpose(ops.reshape(x, split), order)
    return ops.reshape(moved, (n, depth, h * block, w * block))


def _image_and_block(call: Call) -> tuple[Value, int]:
    x, block = call.value(0), call.int_("blocksize")
    check(x.rank == 4 and block > 0, "takes an image and a block size", ParseError)
    return x, block


def space_to_depth(call: Call) -> Results:
    """Blocks of space become channels, inside or (`mode` CRD) outside of which the depth lies."""
    x, block = _image_and_block(call)
    n, c, h, w = x.shape
    split = (n, c, h // block, block, w // block, block)
    order = (0, 3, 5, 1, 2, 4) if call.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    moved = ops.transpose(ops.reshape(x, split), order)
    return ops.reshape(moved, (n, c * block * block, h // block, w // block))
