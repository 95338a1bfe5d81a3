"""Readers of operators as they were before opset 7, where they differ from later ones by more than
attributes that say nothing of the result (`consumed_inputs`, `is_test`)."""

from __future__ import annotations

from dataclasses import replace

from .... import ops
from ....errors import ParseError, UnsupportedError, check
from ....types import bool_, f16, f32, f64, i8, i16, i32, i64, u8
from ..call import Call, Reader, Results
from ..sizes import normal_axis, number, reshape_target
from .nn import spatial_rank
from .shape import reshaped

_TYPES = {
    "FLOAT": f32,
    "DOUBLE": f64,
    "FLOAT16": f16,
    "BOOL": bool_,
    "UINT8": u8,
    "INT8": i8,
    "INT16": i16,
    "INT32": i32,
    "INT64": i64,
}


def aligned(reader: Reader) -> Reader:
    """The reader of a function of two operands, of which `broadcast` repeats the second along the
    axes of the first from `axis` on, or along the last ones."""

    def read(call: Call) -> Results:
        have, other = call.shape(0), call.shape(1)
        if not call.int_("broadcast", 0):
            check(have == other, f"the shapes {have} and {other} without broadcast=1", ParseError)
            return reader(call)
        if call.attribute("axis") is None or not other:
            return reader(call)
        first = normal_axis(call.int_("axis"), len(have))
        after = len(have) - first - len(other)
        check(after >= 0, f"{len(other)} axes from axis {first} of {len(have)} on", ParseError)
        repeated = reshaped(call.operand(1), (*other, *(1,) * after))
        return reader(replace(call, operands=(call.operand(0), repeated)))

    return read


def prelu(call: Call) -> Results:
    """With one slope, or one for each channel."""
    x, slope = call.value(0), call.value(1)
    if slope.rank == 1 and slope.shape != (1,):
        slope = ops.reshape(slope, (slope.shape[0], *(1,) * spatial_rank(call)))
    return ops.prelu(x, slope)


def cast(call: Call) -> Results:
    """To a type that is given by its name."""
    name = call.text("to", "").upper()
    check(name in _TYPES, f"the element type is '{name}', none of {', '.join(_TYPES)}", ParseError)
    return ops.cast(call.value(0), _TYPES[name])


def reshape(call: Call) -> Results:
    """To a shape that is an attribute."""
    target = reshape_target(call.shape(0), call.ints("shape") or (), keep_zeros=False)
    return reshaped(call.operand(0), target)


def pad(call: Call) -> Results:
    """By widths that are an attribute."""
    rank = len(call.shape(0))
    pads = call.ints("paddings") or ()
    check(len(pads) == 2 * rank, f"{len(pads)} paddings for {rank} axes", ParseError)
    widths = list(zip(pads[:rank], pads[rank:], strict=True))
    fill = call.float_("value", 0.0)
    return ops.pad(call.value(0), widths, call.text("mode", "constant"), fill)


def tile(call: Call) -> Results:
    """Along one axis."""
    x = call.value(0)
    times = number(call.integer(1), "the number of tiles")
    place = normal_axis(number(call.integer(2), "the axis"), x.rank)
    return ops.tile(x, [times if axis == place else 1 for axis in range(x.rank)])


def upsample(call: Call) -> Results:
    """Pixels repeated, by whole factors; `UnsupportedError` for others and for other modes."""
    mode = call.text("mode", "nearest")
    check(mode == "nearest", f"mode '{mode}' before opset 7", UnsupportedError)
    x = call.value(0)
    for axis, name in ((2, "height_scale"), (3, "width_scale")):
        factor = call.float_(name)
        whole = factor >= 1 and factor == int(factor)
        check(whole, f"{name} {factor} is not a whole number", UnsupportedError)
        x = ops.repeat(x, int(factor), axis)
    return x
