"""Factorisations by the threads of a block, where there is no library: as accurate as LAPACK's, the
same bits in any order of threads, faults that name the user's line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg

import mlir_lite as ml
from mlir_lite import Function, RunError, Value, f32, f64
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..on_shim import executable_on
from ..shim import needs_shim
from ..shim_card import ShimCard


@ml.function(f32[2, 40, 40])
def factored(x: Value) -> Value:
    return ml.linalg.cholesky(x)


@ml.function(f32[2, 37, 37], f32[2, 37, 35])
def solved(a: Value, b: Value) -> tuple[Value, ...]:
    """More right sides than a block has, and one alone."""
    return ml.linalg.solve(a, b), ml.linalg.solve(a, b[..., :1])


@ml.function(f64[2, 31, 31], f64[2, 31, 3])
def solved_by_few(a: Value, b: Value) -> Value:
    """Each thread looks at all that may be a pivot."""
    return ml.linalg.solve(a, b)


@ml.function(f64[90, 90], f64[90])
def solved_from_far(a: Value, b: Value) -> Value:
    """The matrix is not brought into the memory of the block first."""
    return ml.linalg.solve(a, b)


@ml.function(f32[2, 50, 40])
def reduced(x: Value) -> tuple[Value, ...]:
    return ml.linalg.qr(x)


@ml.function(f64[20, 45])
def reduced_wide(x: Value) -> tuple[Value, ...]:
    return ml.linalg.qr(x)


@ml.function(f32[2, 36, 36])
def diagonalised(x: Value) -> tuple[Value, ...]:
    return ml.linalg.eigh(x)


@ml.function(f64[7, 9, 9])
def diagonalised_specially(x: Value) -> tuple[Value, ...]:
    return ml.linalg.eigh(x)


@ml.function(f32[2, 45, 34])
def decomposed(x: Value) -> tuple[Value, ...]:
    return ml.linalg.svd(x)


@ml.function(f64[7, 5, 9])
def decomposed_specially(x: Value) -> tuple[Value, ...]:
    return ml.linalg.svd(x)


def special(shape: tuple[int, ...]) -> Array:
    """Matrices that are all zeros, one, of rank one, of equal values, far from one, and graded."""
    _, rows, columns = shape
    random = np.random.default_rng(5)
    general = random.standard_normal((rows, columns))
    grades = np.power(10.0, -2 * np.arange(columns))
    found = [
        np.zeros((rows, columns)),
        np.eye(rows, columns),
        np.ones((rows, columns)),
        np.kron(np.array([[0.0, 1], [1, 0]]), np.ones((rows, columns)))[:rows, :columns],
        general * 1e-300,
        general * 1e300,
        general * grades,
    ]
    return np.stack(found)


def arrays_for(fn: Function) -> list[Array]:
    """Matrices of the kind that a function takes."""
    found: list[Array] = []
    for seed, param in enumerate(fn.params):
        shape = param.type.static_shape
        if fn in (factored, diagonalised):
            x = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(shape[-1])
            apart = np.diag(np.arange(1.0, 1 + shape[-1]))  # positive, and no two alike
            found.append((x @ across(x) + apart).astype(param.dtype.numpy))
        elif fn is diagonalised_specially:
            x = special(shape)
            found.append(x + np.swapaxes(x, 1, 2))
        elif fn is decomposed_specially:
            found.append(special(shape))
        else:
            random = np.random.default_rng(seed)
            found.append(random.standard_normal(shape).astype(param.dtype.numpy))
    return found


Errors = Callable[[list[Array], list[Array]], list[Array]]


def across(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


def lost(x: Array, made: Array) -> Array:
    """What is wrong with a matrix that factors make, in parts of its largest element."""
    most = np.abs(x).max((-1, -2))
    return np.asarray(np.abs(made - x).max((-1, -2)) / np.where(most == 0, 1, most))


def not_orthogonal(q: Array) -> Array:
    """How far columns are from orthonormal."""
    return np.asarray(np.abs(across(q) @ q - np.eye(q.shape[-1])).max((-1, -2)))


def of_cholesky(given: list[Array], found: list[Array]) -> list[Array]:
    return [lost(given[0], found[0] @ across(found[0])), np.abs(np.triu(found[0], 1)).max((-1, -2))]


def of_solve(given: list[Array], found: list[Array]) -> list[Array]:
    """What would have to change in the matrices for the solutions to be right."""
    a, b = given
    right = b[:, None] if b.ndim == 1 else b
    errors: list[Array] = []
    for one in found:
        x = one[:, None] if one.ndim == 1 else one
        left = np.abs(a @ x - right[..., : x.shape[-1]]).max((-1, -2))
        errors.append(left / (np.abs(a).sum(-1).max(-1) * np.abs(x).max((-1, -2))))
    return errors


def of_qr(given: list[Array], found: list[Array]) -> list[Array]:
    q, r = found
    below = np.abs(np.tril(r, -1)).max((-1, -2))
    return [lost(given[0], q @ r), not_orthogonal(q), below]


def of_eigh(given: list[Array], found: list[Array]) -> list[Array]:
    values, vectors = found
    (x,) = given
    made = (vectors * values[..., None, :]) @ across(vectors)
    disorder = np.maximum(0, values[..., :-1] - values[..., 1:]).max(-1)
    return [lost(x, made), not_orthogonal(vectors), disorder]


def of_svd(given: list[Array], found: list[Array]) -> list[Array]:
    u, values, vt = found
    count = values.shape[-1]
    made = (u[..., :count] * values[..., None, :]) @ vt[..., :count, :]
    disorder = np.maximum(0, values[..., 1:] - values[..., :-1]).max(-1)
    orthogonal = [not_orthogonal(u), not_orthogonal(across(vt))]
    return [lost(given[0], made), *orthogonal, disorder + (values < 0).any(-1)]


def each(factor: Callable[..., object], *given: Array) -> tuple[Array, ...]:
    """What a function of SciPy's, which is LAPACK in the same precision, makes of each matrix."""
    single = given[0].ndim == 2
    pieces = zip(*([array] if single else array for array in given), strict=True)
    made = [factor(*piece) for piece in pieces]
    results = [one if isinstance(one, tuple) else (one,) for one in made]
    stacked = tuple(np.stack(parts) for parts in zip(*results, strict=True))
    return tuple(array[0] for array in stacked) if single else stacked


def solutions(a: Array, b: Array) -> tuple[Array, ...]:
    return linalg.solve(a, b), linalg.solve(a, b[:, :1])


def economic(x: Array) -> object:
    return linalg.qr(x, mode="economic")


CASES: Mapping[Function, tuple[Errors, Callable[..., object]]] = {
    factored: (of_cholesky, lambda x: linalg.cholesky(x, lower=True)),
    solved: (of_solve, solutions),
    solved_by_few: (of_solve, linalg.solve),
    solved_from_far: (of_solve, linalg.solve),
    reduced: (of_qr, economic),
    reduced_wide: (of_qr, economic),
    diagonalised: (of_eigh, linalg.eigh),
    diagonalised_specially: (of_eigh, linalg.eigh),
    decomposed: (of_svd, linalg.svd),
    decomposed_specially: (of_svd, linalg.svd),
}
# A card whose blocks have too little memory for the matrices.
base = card()
assert base.gpu is not None
FAR = replace(base, gpu=replace(base.gpu, shared_bytes=5 << 10))


def check(fn: Function, arrays: list[Array], found: tuple[Array, ...]) -> None:
    """Errors, judged in f64, are at most twice LAPACK's in the same precision, or 8 ε."""
    errors, library = CASES[fn]
    given, known = wide(arrays), each(library, *arrays)
    assert [one.dtype for one in known] == [one.dtype for one in found]
    epsilon = np.finfo(found[0].dtype).eps
    own, other = errors(given, wide(found)), errors(given, wide(known))
    for one, reference in zip(own, other, strict=True):
        assert np.isfinite(one).all()
        assert (one <= np.maximum(2 * reference, 8 * epsilon)).all(), (one, reference)


def wide(arrays: object) -> list[Array]:
    assert isinstance(arrays, (list, tuple))
    return [np.asarray(array).astype(np.float64) for array in arrays]


@needs_shim
@pytest.mark.parametrize("target", [base, FAR], ids=["near", "far"])
def test_sources_factor_as_accurately_as_lapack(target: Target, tmp_path: Path) -> None:
    compiled = Compiled.together(list(CASES), tmp_path, target=target)
    for fn in CASES:
        arrays = arrays_for(fn)
        check(fn, arrays, all_orders(compiled[fn.name], arrays))


@pytest.mark.parametrize(
    "fn",
    [
        pytest.param(fn, marks=() if fn is factored else pytest.mark.slow)
        for fn in CASES
    ],
    ids=lambda fn: fn.name,
)
def test_schedules_factor_as_accurately_as_lapack(fn: Function) -> None:
    """Every read out of bounds is seen, every race, and what is read before it is written."""
    program, constants = planned(fn, base)
    arrays = arrays_for(fn)
    check(fn, arrays, run_program(program, arrays, constants))


@pytest.mark.parametrize("target", [base, FAR], ids=["near", "far"])
@pytest.mark.parametrize("fn", CASES, ids=lambda fn: fn.name)
def test_threads_have_elements_of_their_own(fn: Function, target: Target) -> None:
    program, _ = planned(fn, target)
    for kernel in program.kernels:
        verify_kernel(kernel)
    verify_program(program)


@needs_shim
def test_no_threads_race(tmp_path: Path) -> None:
    fns = [factored, solved, reduced, diagonalised, decomposed]
    compiled = Compiled.together(fns, tmp_path, target=base, watched=True)
    for fn in fns:
        compiled[fn.name](*arrays_for(fn), order="shuffled")


def test_what_a_block_has_no_room_for_is_in_global_memory() -> None:
    program, _ = planned(factored, FAR)
    assert "%g: out f32[2, 40, 41]" in str(program)
    assert "buffer g: shared f32[40, 41]" in str(planned(factored, base)[0])


def test_a_block_asks_for_more_memory_than_it_has_without() -> None:
    @ml.function(f64[100, 100])
    def f(x: Value) -> Value:
        return ml.linalg.cholesky(x)

    source = CudaSource.of(planned(f, base)[0], base)
    assert max(source.asked_bytes.values()) > 100 * 100 * 8


_FAULTS: Mapping[str, Callable[[Value], Value]] = {
    "cholesky: the matrix is not positive definite": ml.linalg.cholesky,
    "solve or inverse: the matrix is singular": ml.linalg.inverse,
    "triangular_solve: the matrix is singular": lambda x: ml.linalg.triangular_solve(x, x),
    "eigh: the eigenvalues did not converge": lambda x: ml.linalg.eigh(x / x)[0],
    "svd: the singular values did not converge": lambda x: ml.linalg.svd(x / x)[1],
}


@needs_shim
@pytest.mark.parametrize("message", _FAULTS)
def test_a_matrix_that_is_a_fault_is_an_error_at_the_users_line(message: str) -> None:
    compute = _FAULTS[message]

    @ml.function(f64[3, 2, 2])
    def f(x: Value) -> Value:
        return compute(x) + 0

    run = executable_on(ShimCard(), f)
    good = np.tile(np.array([[12.0, 1], [1, 14]]), (3, 1, 1))
    bad = good.copy()
    bad[1] = 0
    run(good)
    with pytest.raises(RunError, match=rf"test_linear_algebra\.py:\d+: {message}"):
        run(bad)
    run(good)  # a fault is forgotten


@needs_shim
def test_gradients_go_through_the_factors(tmp_path: Path) -> None:
    @ml.function(f64[3, 3])
    def loss(x: Value) -> Value:
        spd = x @ x.transpose(1, 0) + 3 * ml.eye(3, dtype=f64)
        values, vectors = ml.linalg.eigh(spd)
        _, r = ml.linalg.qr(x)
        return (
            ml.sum(ml.linalg.cholesky(spd))
            + ml.sum(values * values)
            + ml.sum(vectors * vectors * ml.iota(3).astype(f64))
            + ml.sum(r * r * ml.iota(3).astype(f64))
            + ml.sum(ml.linalg.svd(x)[1])
            + ml.sum(ml.linalg.inverse(spd))
        )

    x = np.random.default_rng(0).standard_normal((3, 3)) + 2 * np.eye(3)
    gradient = ml.grad(loss)
    (found,) = Compiled.of(gradient, tmp_path)(x)
    wanted = ml.compile(gradient)(x)
    # Both in f64, by other algorithms; gaps of some tenths between eigenvalues divide the rounding.
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
