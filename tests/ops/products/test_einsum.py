"""einsum gives what NumPy's gives, is differentiable, and says what is wrong with an equation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import TypeRuleError, Value, f32, f64

from ..sample import normal

CASES: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
    ("ij,jk->ik", ((3, 4), (4, 5))),
    ("ij,jk", ((3, 4), (4, 5))),
    ("bij,bkj->bik", ((2, 3, 4), (2, 5, 4))),
    ("bhid,bhjd->bhij", ((2, 3, 4, 5), (2, 3, 6, 5))),
    ("bqhd,bkhd->bhqk", ((2, 3, 4, 5), (2, 6, 4, 5))),
    ("...ij,...jk->...ik", ((2, 1, 3, 4), (7, 4, 5))),
    ("i,j->ij", ((3,), (4,))),
    ("i,i->", ((5,), (5,))),
    ("ij->ji", ((3, 4),)),
    ("ba", ((3, 4),)),
    ("ii->i", ((4, 4),)),
    ("ii", ((4, 4),)),
    ("bii,bi->b", ((2, 3, 3), (2, 3))),
    ("iji->j", ((3, 2, 3),)),
    ("ij,ij->ij", ((3, 4), (1, 4))),
    ("abc,cd,be->ade", ((2, 3, 4), (4, 5), (3, 6))),
    ("ij,kl->", ((2, 3), (4, 5))),
    ("...->...", ((2, 3),)),
    ("i...,i->...", ((3, 2, 4), (3,))),
    ("ij,jk->ik", ((0, 4), (4, 5))),
    ("ij,jk->ik", ((3, 0), (0, 5))),
)


@pytest.mark.parametrize(("equation", "shapes"), CASES, ids=lambda case: str(case))
def test_as_numpy(equation: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    arrays = [normal(shape, f64, at) for at, shape in enumerate(shapes)]
    taking: dict[int, Callable[..., Value]] = {
        1: lambda a: ml.einsum(equation, a),
        2: lambda a, b: ml.einsum(equation, a, b),
        3: lambda a, b, c: ml.einsum(equation, a, b, c),
    }
    fn = ml.function(*(f64[shape] for shape in shapes))(taking[len(shapes)])
    np.testing.assert_allclose(ml.evaluate(fn, *arrays), np.einsum(equation, *arrays), atol=1e-12)


def test_a_product_of_matrices_is_one() -> None:
    fn = ml.function(f32["b", 3, 4], f32["b", 5, 4])(lambda x, y: ml.einsum("bij,bkj->bik", x, y))
    assert fn.result_types == (f32["b", 3, 5],)
    assert [node.op.name for node in fn.nodes].count("matmul") == 1


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("ij->ij", "takes 1 operands, got 2"),
        ("ij,jk->il", "no operand has the axis 'l'"),
        ("ij,jk->ii", "the result has 'i' twice"),
        ("ij,jkl->ik", r"operand 1, \(4, 5\), has 2 axes, 'jkl' names 3"),
        ("ij,ki->jk", "the axis 'i' has the sizes 3 and 5"),
        ("i1,jk->ik", "'i1' is not letters"),
    ],
)
def test_a_wrong_equation(equation: str, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message) as caught:

        @ml.function(f32[3, 4], f32[4, 5])
        def wrong(x: Value, y: Value) -> Value:
            return ml.einsum(equation, x, y)

    assert "test_einsum.py" in str(caught.value)
