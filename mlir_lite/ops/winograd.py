"""The three stages of a Winograd convolution, 3×3 and channels-last (Lavin and Gray, 2016).

    v = winograd_input(x)                  [points, tiles, in]
    m = matmul(v, winograd_filter(weight)) [points, tiles, out], one product per point
    y = winograd_output(m)                 [batch, height, width, out]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from ..errors import check
from ..expr import INDEX, Expr, Load, Var, all_of, cast, const, index, select
from ..ir import Op, Value, constructor, op
from ..tile.nodes import Block, Buffer, If, Kernel, Let, Loop, Ref, Stmt, Store
from ..types import Array, DType, TensorType, ceil_div
from .body import computing_type
from .constant import as_constant
from .matmul import matmul
from .promote import check_kind
from .reduce import widened
from .shape import reshape, transpose
from .windows import Padding, counts_of, windows_of
from .winograd_transform import POINTS, TAPS, as_array, transform_of, transformed
