"""The table of all operations, and of the functions behind `Value`'s operators and methods."""

from __future__ import annotations

from ..ir import Op, OpTable
from .algorithms.depthwise import OPS as DEPTHWISE
from .algorithms.dots import OPS as DOTS
from .algorithms.panels import OPS as PANELS
from .algorithms.strassen import OPS as STRASSEN
from .algorithms.winograd import OPS as WINOGRAD
from .algorithms.winograd_blocked import OPS as WINOGRAD_BLOCKED
from .base.broadcast import OPS as BROADCAST
from .base.cast import OPS as CAST
from .base.cast import cast
from .base.constant import OPS as CONSTANT
from .base.constant import constant
from .base.extent import OPS as EXTENT
from .elementwise.activation import OPS as ACTIVATION
from .elementwise.arithmetic import OPS as ARITHMETIC
from .elementwise.arithmetic import add, divide, floor_divide, mod, multiply, power, subtract
from .elementwise.compare import OPS as COMPARE
from .elementwise.compare import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    not_equal,
)
from .elementwise.gate import OPS as GATE
from .elementwise.select import OPS as SELECT
from .elementwise.select import clip
from .elementwise.tf32 import OPS as TF32
from .elementwise.trigonometry import OPS as TRIGONOMETRY
from .elementwise.unary import OPS as UNARY
from .elementwise.unary import absolute, negative
from .images.grid_sample import OPS as GRID_SAMPLE
from .images.resize import OPS as RESIZE
from .linalg.factor import OPS as LINALG_FACTOR
from .linalg.ragged_ridge import OPS as RAGGED_RIDGE
from .linalg.spectral import OPS as LINALG_SPECTRAL
from .linalg.systems import OPS as LINALG_SOLVE
from .linalg.triangle import OPS as LINALG_TRIANGLE
from .linalg.values import OPS as LINALG_VALUES
from .nn.attention import OPS as ATTENTION
from .nn.attention_gradient import OPS as ATTENTION_GRADIENT
from .nn.batch_norm import OPS as BATCH_NORM
from .nn.blocked_attention import OPS as BLOCKED_ATTENTION
from .nn.losses import OPS as LOSSES
from .nn.norm import OPS as NORM
from .nn.softmax import OPS as SOFTMAX
from .products.matmul import OPS as MATMUL
from .products.matmul import matmul
from .random import OPS as RANDOM
from .reductions.cumulative import OPS as CUMULATIVE
from .reductions.cumulative import cumprod
from .reductions.extreme import OPS as EXTREME
from .reductions.extreme import argmax, argmin
from .reductions.recurrence import OPS as RECURRENCE
from .reductions.reduce import OPS as REDUCE
from .reductions.reduce import all as all_
from .reductions.reduce import any as any_
from .reductions.reduce import max as max_
from .reductions.reduce import mean, prod
from .reductions.reduce import min as min_
from .reductions.reduce import sum as sum_
from .reductions.statistics import OPS as STATISTICS
from .reductions.statistics import std, var
from .regions.checkpoint import OPS as CHECKPOINT
from .regions.control import OPS as CONTROL
from .regions.group import OPS as GROUP
from .shapes.creation import OPS as CREATION
from .shapes.getitem import getitem
from .shapes.index import OPS as INDEX
from .shapes.index import gather_elements, gather_nd
from .shapes.join import OPS as JOIN
from .shapes.scatter import OPS as SCATTER
from .shapes.shape import OPS as SHAPE
from .shapes.shape import flatten, reshape, squeeze, transpose
from .shapes.slice import OPS as SLICE
from .sorting.sort import OPS as SORT
from .sparse.matmul import OPS as SPARSE_MATMUL
from .sparse.matmul import sparse_product
from .sparse.row_reduce import OPS as SPARSE_ROW_REDUCE
from .sparse.sampled import OPS as SPARSE_SAMPLED
from .sparse.transposed import OPS as SPARSE_TRANSPOSED
from .windows.conv import OPS as CONV
from .windows.conv import conv
from .windows.conv_gradient import OPS as CONV_GRADIENT
from .windows.conv_transpose import OPS as CONV_TRANSPOSE
from .windows.conv_transpose import conv_transpose
from .windows.pool import OPS as POOL
from .windows.window_sum import OPS as WINDOW_SUM
from .windows.window_taps import OPS as WINDOW_TAPS

_FAMILIES: tuple[tuple[type[Op], ...], ...] = (
    CONSTANT,
    EXTENT,
    CREATION,
    RANDOM,
    UNARY,
    TRIGONOMETRY,
    ACTIVATION,
    GATE,
    ARITHMETIC,
    COMPARE,
    SELECT,
    CAST,
    TF32,
    BROADCAST,
    SHAPE,
    SLICE,
    JOIN,
    INDEX,
    SCATTER,
    REDUCE,
    STATISTICS,
    EXTREME,
    SORT,
    CUMULATIVE,
    RECURRENCE,
    MATMUL,
    CONV,
    CONV_TRANSPOSE,
    CONV_GRADIENT,
    DEPTHWISE,
    PANELS,
    DOTS,
    WINOGRAD,
    WINOGRAD_BLOCKED,
    STRASSEN,
    POOL,
    WINDOW_SUM,
    WINDOW_TAPS,
    RESIZE,
    GRID_SAMPLE,
    SOFTMAX,
    NORM,
    BATCH_NORM,
    LOSSES,
    ATTENTION, ATTENTION_GRADIENT,
    BLOCKED_ATTENTION,
    CONTROL,
    LINALG_FACTOR,
    LINALG_VALUES,
    LINALG_TRIANGLE,
    LINALG_SOLVE,
    LINALG_SPECTRAL,
    RAGGED_RIDGE,
    SPARSE_MATMUL,
    SPARSE_SAMPLED,
    SPARSE_TRANSPOSED,
    SPARSE_ROW_REDUCE,
    CHECKPOINT,
    GROUP,
)

TABLE = OpTable(
    classes={cls.name: cls for family in _FAMILIES for cls in family},
    functions={
        "absolute": absolute,
        "add": add,
        "all": all_,
        "any": any_,
        "argmax": argmax,
        "argmin": argmin,
        "bitwise_and": bitwise_and,
        "bitwise_not": bitwise_not,
        "bitwise_or": bitwise_or,
        "bitwise_xor": bitwise_xor,
        "cast": cast,
        "clip": clip,
        "conv": conv,
        "conv_transpose": conv_transpose,
        "cumprod": cumprod,
        "divide": divide,
        "equal": equal,
        "flatten": flatten,
        "floor_divide": floor_divide,
        "gather_elements": gather_elements,
        "gather_nd": gather_nd,
        "getitem": getitem,
        "greater": greater,
        "greater_equal": greater_equal,
        "less": less,
        "less_equal": less_equal,
        "matmul": matmul,
        "max": max_,
        "mean": mean,
        "min": min_,
        "mod": mod,
        "multiply": multiply,
        "negative": negative,
        "not_equal": not_equal,
        "power": power,
        "prod": prod,
        "reshape": reshape,
        "sparse_product": sparse_product,
        "squeeze": squeeze,
        "std": std,
        "subtract": subtract,
        "sum": sum_,
        "transpose": transpose,
        "var": var,
    },
    lift=constant,
)
