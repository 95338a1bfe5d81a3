"""Graph IR: ordered SSA of pure tensor operations. What is computed, not how."""

from .builder import Builder, OpTable, live_nodes, parameter
from .constant import INLINE_BYTES, ConstantData, InFile, InMemory
from .constant_op import Constant
from .current import BUILDER, current_builder
from .evaluate import run_reference
from .function import Function, inline, users_of
from .op import Element, Op, Types, constructor, multi_constructor, op, result_types, results_of
from .resources import resources_of
from .rewrite import Pattern, Replacement, rewrite, rewrite_all, transform
from .value import Axes, Key, Node, Operand, Scalar, Value, is_scalar
from .vjp import Pullback, vjp

__all__ = [
    "BUILDER",
    "INLINE_BYTES",
    "Axes",
    "Builder",
    "Constant",
    "ConstantData",
    "Element",
    "Function",
    "InFile",
    "InMemory",
    "Key",
    "Node",
    "Op",
    "OpTable",
    "Operand",
    "Pattern",
    "Pullback",
    "Replacement",
    "Scalar",
    "Types",
    "Value",
    "constructor",
    "current_builder",
    "inline",
    "is_scalar",
    "live_nodes",
    "multi_constructor",
    "op",
    "parameter",
    "resources_of",
    "result_types",
    "results_of",
    "rewrite",
    "rewrite_all",
    "run_reference",
    "transform",
    "users_of",
    "vjp",
]
