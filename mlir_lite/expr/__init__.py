"""Scalar and index expressions: what an operation computes at one index.

The same nodes say an operation's meaning (`Op.body`) and stand in Tile IR statements.
"""

from .combiners import COMBINERS, Combiner
from .functions import FUNCTIONS, ScalarFunction, cast_array
from .nodes import (
    FALSE,
    INDEX,
    TRUE,
    Apply,
    Cast,
    Const,
    Expr,
    Load,
    Reduce,
    Var,
    all_of,
    apply,
    boolean,
    cast,
    const,
    index,
    select,
    to_index,
)
from .simplify import Bounds, affine, bounds_of, simplify
from .traverse import (
    contains_reduce,
    has_loads,
    loads_of,
    rewrite_expr,
    substitute_vars,
    vars_of,
    walk_expr,
)

__all__ = [
    "COMBINERS",
    "FUNCTIONS",
    "INDEX",
    "FALSE",
    "TRUE",
    "Apply",
    "Bounds",
    "Cast",
    "Combiner",
    "Const",
    "Expr",
    "Load",
    "Reduce",
    "ScalarFunction",
    "Var",
    "affine",
    "all_of",
    "apply",
    "boolean",
    "bounds_of",
    "cast",
    "cast_array",
    "const",
    "contains_reduce",
    "index",
    "has_loads",
    "loads_of",
    "rewrite_expr",
    "select",
    "simplify",
    "substitute_vars",
    "to_index",
    "vars_of",
    "walk_expr",
]
