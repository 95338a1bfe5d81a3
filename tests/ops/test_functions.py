"""The functions that are written with several operations, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlir_lite import ops
from mlir_lite.errors import TypeRuleError
from mlir_lite.ir import Value
from mlir_lite.sizes import Dim
from mlir_lite.types import Array, TensorType, f32, i8, i64

from .traced import run, type_of

_X = np.random.default_rng(0).standard_normal((2, 3, 5))
_M = np.arange(12.0).reshape(3, 4)

_CASES: list[tuple[str, Callable[[Value], Value], Array, Array]] = [
    ("reshape -1", lambda x: x.reshape(5, -1), _X, _X.reshape(5, -1)),
    ("T", lambda x: x.T, _X, _X.T),
    ("negative axes", lambda x: ops.transpose(x, (-1, 0, 1)), _X, _X.transpose(-1, 0, 1)),
    ("swapaxes", lambda x: ops.swapaxes(x, 0, -1), _X, _X.swapaxes(0, -1)),
    ("moveaxis", lambda x: ops.moveaxis(x, -1, 0), _X, np.moveaxis(_X, -1, 0)),
    ("expand_dims", lambda x: ops.expand_dims(x, (0, -1)), _X, np.expand_dims(_X, (0, -1))),
    ("squeeze", lambda x: x[:1, :, None].squeeze(), _X, _X[0]),
    ("squeeze an axis", lambda x: x[:1, :1].squeeze(1), _X, _X[:1, 0]),
    ("flatten", lambda x: x.flatten(), _X, _X.ravel()),
    ("flatten from 1", lambda x: x.flatten(1), _X, _X.reshape(2, 15)),
    ("concat", lambda x: ops.concat([x, x], -1), _X, np.concatenate([_X, _X], -1)),
    ("stack", lambda x: ops.stack([x, x], -1), _X, np.stack([_X, _X], -1)),
    ("split", lambda x: ops.split(x, 5, 2)[3], _X, np.split(_X, 5, 2)[3]),
    ("split by sizes", lambda x: ops.split(x, [1, 4], -1)[1], _X, _X[..., 1:]),
    ("tile", lambda x: ops.tile(x, (2, 1, 3)), _X, np.tile(_X, (2, 1, 3))),
    ("repeat", lambda x: ops.repeat(x, 3, 1), _X, np.repeat(_X, 3, 1)),
    ("flip", lambda x: ops.flip(x), _X, np.flip(_X)),
    ("flip an axis", lambda x: ops.flip(x, 1), _X, np.flip(_X, 1)),
    ("pad", lambda x: ops.pad(x, [(1, 0), (0, 2)]), _M, np.pad(_M, [(1, 0), (0, 2)])),
    ("tril", lambda x: ops.tril(x), _M, np.tril(_M)),
    ("tril above", lambda x: ops.tril(x, 1), _M, np.tril(_M, 1)),
    ("triu below", lambda x: ops.triu(x, -1), _X, np.triu(_X, -1)),
    ("sum", lambda x: x.sum(), _X, np.asarray(_X.sum())),
    ("sum of a negative axis", lambda x: x.sum(-1, keepdims=True), _X, _X.sum(-1, keepdims=True)),
    ("var", lambda x: x.var((0, 2)), _X, _X.var((0, 2))),
    ("std", lambda x: ops.std(x, 1, correction=1), _X, _X.std(1, ddof=1)),
    ("norm_l1", lambda x: ops.norm_l1(x, -1), _X, np.linalg.norm(_X, 1, -1)),
    ("norm_l2", lambda x: ops.norm_l2(x, -1), _X, np.linalg.norm(_X, 2, -1)),
    ("argmax of all", lambda x: x.argmax(), _X, np.asarray(_X.argmax())),
    (
        "argmax of all, its axes kept",
        lambda x: x.argmax(keepdims=True),
        _X,
        np.argmax(_X, keepdims=True),
    ),
    ("argmin", lambda x: x.argmin(-1), _X, np.argmin(_X, -1)),
    ("relu6", lambda x: ops.relu6(x * 9), _X, np.clip(_X * 9, 0, 6)),
    ("hardtanh", lambda x: ops.hardtanh(x), _X, np.clip(_X, -1, 1)),
    ("embedding", lambda x: ops.embedding(np.array([[2, 0]]), x), _M, _M[np.array([[2, 0]])]),
    ("full_like", lambda x: ops.full_like(x, 3), _X, np.full_like(_X, 3)),
    ("zeros_like", lambda x: ops.zeros_like(x), _X, np.zeros_like(_X)),
    ("ones_like", lambda x: ops.ones_like(x), _X, np.ones_like(_X)),
]


@pytest.mark.parametrize(
    ("function", "x", "expected"), [case[1:] for case in _CASES], ids=[case[0] for case in _CASES]
)
def test_function_is_numpys(function: Callable[[Value], Value], x: Array, expected: Array) -> None:
    found = run(function, x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("arguments", [(5,), (0,), (2, 9), (9, 2), (9, 2, -3), (1, 8, 3)])
def test_arange_is_numpys(arguments: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(run(lambda: ops.arange(*arguments)), np.arange(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 0.1), "arange counts in whole numbers, not 0.1"),
        ((Dim.named("n"), 5), "arange starts at a number, not at the size n"),
        ((1, 2, 0), "a step of 0"),
    ],
)
def test_what_arange_cannot_count_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        run(lambda: ops.arange(*arguments))


def test_eye_is_numpys() -> None:
    np.testing.assert_array_equal(run(lambda: ops.eye(3, 5)), np.eye(3, 5, dtype=np.float32))


def test_one_hot_counts_from_the_end_and_leaves_out_what_is_outside() -> None:
    indices = np.array([[0, -1], [2, 3]], np.int8)
    rows = np.vstack([np.eye(3, dtype=np.float32), np.zeros((1, 3), np.float32)])
    expected = rows[np.array([[0, 2], [2, 3]])]
    np.testing.assert_array_equal(run(lambda i: ops.one_hot(i, 3), indices), expected)
    along = run(lambda i: ops.one_hot(i, 3, axis=1, dtype=i64, on=7, off=-1), indices)
    np.testing.assert_array_equal(along, np.moveaxis(expected, -1, 1) * 8 - 1)


_NAMED: list[tuple[Callable[..., Value], tuple[TensorType, ...]]] = [
    (lambda x: x.reshape(-1, 6), (f32["n", 2, 6],)),
    (lambda x: x.reshape(-1, 5), (f32["n", 10],)),
    (lambda x: x.flatten(), (f32["n", "m", 3],)),
    (lambda x: x.T, (f32["n", "m"],)),
    (lambda x, y: ops.concat([x, y]), (f32["n", 3], f32["m", 3])),
    (lambda x, y: x + y, (f32["n", 1, "m"], f32["n", 4, 1])),
    (lambda x: ops.pad(x, [(1, 2), (0, 0)]), (f32["n", "m"],)),
    (lambda x: ops.pad(x, [(1, 2), (0, 0)], "edge"), (f32["n", "m"],)),
    (lambda x: ops.flip(x), (f32["n", 3],)),
    (lambda x: ops.tile(x, (2, 3)), (f32["n", 3],)),
    (lambda x: ops.repeat(x, 2, 0), (f32["n", 3],)),
    (lambda x: ops.split(x, 2)[1], (f32[4, "n"],)),
    (lambda x: ops.stack([x, x]), (f32["n", 3],)),
    (lambda x: x.mean(0), (f32["n", "m"],)),
    (lambda x: x.argmax(0), (f32["n", "m"],)),
    (lambda x: ops.tril(x), (f32["n", "m"],)),
    (lambda x: ops.cumsum(x, 0), (f32["n", 3],)),
    (lambda x, i: ops.gather(x, i, 1), (f32["n", "m"], i64["k", 2])),
    (lambda x, i: ops.gather_nd(x, i), (f32["n", "m"], i64["k", 1])),
    (lambda x, i, u: ops.scatter_nd(x, i, u), (f32["n", "m"], i64["k", 1], f32["k", "m"])),
    (lambda i: ops.one_hot(i, 4), (i8["n"],)),
    (lambda x: ops.arange(x.shape[0]) + ops.arange(3, 3 + 2 * x.shape[0], 2), (i64["n"],)),
    (lambda x: x[::2] + ops.arange(0, x.shape[0], 2), (i64["n"],)),
    (lambda x: x + ops.arange(5, 5 - 3 * x.shape[0], -3), (i64["n"],)),
]


@pytest.mark.parametrize(("function", "types"), _NAMED)
def test_a_type_of_named_sizes_is_that_of_their_values(
    function: Callable[..., Value], types: tuple[TensorType, ...]
) -> None:
    sizes = {"n": 8, "m": 7, "k": 5}
    static = type_of(function, *(type_.substitute(sizes) for type_ in types))
    assert type_of(function, *types).substitute(sizes) == static


_BAD: list[tuple[Callable[..., Value], tuple[TensorType, ...], str]] = [
    (lambda x: x.reshape(4), (f32[2, 3],), r"\(2, 3\) holds 6 elements, \(4\) 4"),
    (lambda x: x.reshape(-1, -1), (f32[2, 3],), "two sizes"),
    (lambda x: x.reshape(7, -1), (f32[2, 3],), r"holds 6 elements"),
    (lambda x: x.transpose(0, 0), (f32[2, 3],), "no order of the axes"),
    (lambda x: x.sum(2), (f32[2, 3],), "no axis 2 in a tensor of rank 2"),
    (lambda x: x.sum((0, -2)), (f32[2, 3],), "repeated"),
    (lambda x: x.squeeze(0), (f32[2, 3],), r"axis 0 of \(2, 3\) is not 1"),
    (lambda x, y: ops.concat([x, y]), (f32[2, 3], f32[2, 4]), "differ beside axis 0"),
    (lambda x: ops.split(x, 2)[0], (f32[3],), "3 does not divide into 2 parts"),
    (lambda x: ops.split(x, [1, 1])[0], (f32[3],), "make 2, not 3"),
    (lambda x: ops.pad(x, [(-4, 0)]), (f32[3],), "is left with -1"),
    (lambda x: ops.pad(x, [(1, 0)], "mirror"), (f32[3],), "mode 'mirror' is none of"),
    (lambda x: ops.broadcast(x, (2, 4)), (f32[3],), r"\(3\) does not broadcast to \(2, 4\)"),
    (lambda x: x.mean(), (i64[3],), "takes floats, not i64"),
    (lambda x: x.argmax(0), (f32[0],), "no argmax of no elements"),
    (lambda x, i: ops.gather(x, i), (f32[3], f32[2]), "takes integers, not f32"),
    (lambda x, i: ops.gather(x, i), (f32[0], i64[2]), "an axis of no elements"),
    (lambda x, i: ops.gather_nd(x, i), (f32[3], i64[2, 2]), "tuples of 2 indices"),
    (
        lambda x, i, u: ops.scatter_nd(x, i, u, "mean"),
        (f32[3], i64[2, 1], f32[2]),
        "the reduction 'mean' is none of none, add",
    ),
    (lambda x, i, u: ops.scatter_nd(x, i, u), (f32[3], i64[2, 1], f32[3]), "updates of shape"),
]


@pytest.mark.parametrize(("function", "types", "message"), _BAD)
def test_what_breaks_a_type_rule_is_said(
    function: Callable[..., Value], types: tuple[TensorType, ...], message: str
) -> None:
    with pytest.raises(TypeRuleError, match=message):
        type_of(function, *types)
