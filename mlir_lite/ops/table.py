"""The table of all operations, and of the functions behind `Value`'s operators and methods."""

from __future__ import annotations

from ..ir import Op, OpTable
from .activation import OPS as ACTIVATION
from .arithmetic import OPS as ARITHMETIC
from .arithmetic import add, divide, floor_divide, mod, multiply, power, subtract
from .attention import OPS as ATTENTION
from .attention_gradient import OPS as ATTENTION_GRADIENT
from .batch_norm import OPS as BATCH_NORM
from .blocked_attention import OPS as BLOCKED_ATTENTION
from .broadcast import OPS as BROADCAST
from .cast import OPS as CAST
from .cast import cast
from .checkpoint import OPS as CHECKPOINT
from .compare import OPS as COMPARE
from .compare import (
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
from .constant import OPS as CONSTANT
from .constant import constant
from .control import OPS as CONTROL
from .conv import OPS as CONV
from .conv import conv
from .conv_gradient import OPS as CONV_GRADIENT
from .conv_transpose import OPS as CONV_TRANSPOSE
from .conv_transpose import conv_transpose
from .creation import OPS as CREATION
from .cumulative import OPS as CUMULATIVE
from .cumulative import cumprod
from .depthwise import OPS as DEPTHWISE
from .dots import OPS as DOTS
from .extreme import OPS as EXTREME
from .extreme import argmax, argmin
from .gate import OPS as GATE
from .getitem import getitem
from .grid_sample import OPS as GRID_SAMPLE
from .group import OPS as GROUP
from .index import OPS as INDEX
from .index import gather_elements, gather_nd
from .join import OPS as JOIN
from .linalg_factor import OPS as LINALG_FACTOR
from .linalg_solve import OPS as LINALG_SOLVE
from .linalg_spectral import OPS as LINALG_SPECTRAL
from .linalg_triangle import OPS as LINALG_TRIANGLE
from .linalg_values import OPS as LINALG_VALUES
from .losses import OPS as LOSSES
from .matmul import OPS as MATMUL
from .matmul import matmul
from .norm import OPS as NORM
from .panels import OPS as PANELS
from .pool import OPS as POOL
from .ragged_ridge import OPS as RAGGED_RIDGE
from .random import OPS as RANDOM
from .recurrence import OPS as RECURRENCE
from .reduce import OPS as REDUCE
from .reduce import all as all_
from .reduce import any as any_
from .reduce import max as max_
from .reduce import mean, prod
from .reduce import min as min_
from .reduce import sum as sum_
from .resize import OPS as RESIZE
from .scatter import OPS as SCATTER
from .select import OPS as SELECT
from .select import clip
from .shape import OPS as SHAPE
from .shape import flatten, reshape, squeeze, transpose
from .slice import OPS as SLICE
from .softmax import OPS as SOFTMAX
from .sort import OPS as SORT
from .statistics import OPS as STATISTICS
from .statistics import std, var
from .strassen import OPS as STRASSEN
from .tf32 import OPS as TF32
from .trigonometry import OPS as TRIGONOMETRY
from .unary import OPS as UNARY
from .unary import absolute, negative
from .window_sum import OPS as WINDOW_SUM
from .window_taps import OPS as WINDOW_TAPS
from .winograd import OPS as WINOGRAD
from .winograd_blocked import OPS as WINOGRAD_BLOCKED

_FAMILIES: tuple[tuple[type[Op], ...], ...] = (
    CONSTANT,
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
        "squeeze": squeeze,
        "std": std,
        "subtract": subtract,
        "sum": sum_,
        "transpose": transpose,
        "var": var,
    },
    lift=constant,
)
