"""How elementwise operations compute: what the derived tests leave open."""

from __future__ import annotations

import pytest

from mlir_lite.expr import INDEX, Apply, Expr, Var, walk_expr
from mlir_lite.ir import parameter
from mlir_lite.ops.base.elements import Elementwise
from mlir_lite.ops.elementwise.arithmetic import Maximum
from mlir_lite.ops.elementwise.gate import Gelu, Mish
from mlir_lite.types import DType, bf16, f16

from ..run_naive import Operand


@pytest.mark.parametrize("dtype", [f16, bf16])
@pytest.mark.parametrize("cls", [Gelu, Mish, Maximum])
def test_half_width_floats_are_computed_in_f32(cls: type[Elementwise], dtype: DType) -> None:
    names = cls.operand_fields
    op = cls(*(parameter(name, dtype[3]) for name in names))
    at: tuple[Expr, ...] = (Var(INDEX, "i"),)
    body = op.body(at, *(Operand(dtype[3], name) for name in names))
    computed = [node for node in walk_expr(body) if isinstance(node, Apply)]
    assert computed
    assert all(dtype not in (node.dtype, node.args[0].dtype) for node in computed)
