"""Readers of random numbers. They are functions here: of the seed that the node gives, else of the
name of what it computes, so that each run of a model gives the same ones."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import numpy as np

from .... import ops
from ....errors import ParseError, check
from ....ir import Value
from ....sizes import Shape
from ....types import DType
from ..call import Call, Reader, Results
from ..weights import element_type

Draw = Callable[[int, Shape, float, float, DType], Value]


def _seed(call: Call) -> int:
    if call.attribute("seed") is None:
        return crc32(call.node.outputs[0].encode())
    return int(np.float32(call.float_("seed")).view(np.int32))


def _dtype(call: Call, like: DType | None) -> DType:
    given = call.attribute("dtype")
    if given is None and like is not None:
        return like
    return element_type(call.int_("dtype", 1), "the result")


def drawn(draw: Draw, low: tuple[str, float], high: tuple[str, float]) -> Reader:
    """The reader of numbers of a shape that is an attribute, or the operand's if there is one."""

    def read(call: Call) -> Results:
        like = call.operand(0) if call.has(0) else None
        shape: Shape = like.shape if like is not None else (call.ints("shape") or ())
        dtype = _dtype(call, like.dtype if like is not None else None)
        check(dtype.is_float, f"random numbers of type {dtype}", ParseError)
        first, second = call.float_(*low), call.float_(*high)
        return draw(_seed(call), shape, first, second, dtype)

    return read


def multinomial(call: Call) -> Results:
    """Classes drawn by the logarithms of what is proportional to their probabilities."""
    dtype = element_type(call.int_("dtype", 6), "the result")
    count = call.int_("sample_size", 1)
    return ops.cast(ops.random.categorical(_seed(call), call.value(0), count=count), dtype)


UNIFORM = drawn(
    lambda seed, shape, low, high, dtype: ops.random.uniform(seed, shape, low, high, dtype=dtype),
    ("low", 0.0),
    ("high", 1.0),
)
NORMAL = drawn(
    lambda seed, shape, mean, scale, dtype: ops.random.normal(
        seed, shape, mean, scale, dtype=dtype
    ),
    ("mean", 0.0),
    ("scale", 1.0),
)
