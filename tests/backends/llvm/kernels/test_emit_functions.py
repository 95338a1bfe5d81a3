"""Every scalar function and conversion, in every element type, against its NumPy definition."""

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import pytest

from mlir_lite.expr import FUNCTIONS, INDEX, Apply, Expr, Load, Var, apply, cast_array, index
from mlir_lite.expr.nodes import Cast
from mlir_lite.tile.nodes import Buffer, If, Kernel, Kind, Loop, Ref, Store
from mlir_lite.types import DTYPES, Array, DType, bool_

from .kernels import TARGETS, run

COUNT = 203  # with a tail at any number of lanes
SPECIAL = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 7.25, -7.25, 0.3, 100.3, 1e-3),
    *(np.inf, -np.inf, np.nan, 1e30, -1e30, 1e-40, 65504.0, -70000.0, 5.9e-8, 65519.0),
)
# Relative; exact functions are given by name below. A product of NumPy's own f32 rounding and
# ours is 2 ulp, and half floats round once more.
TOLERANCE = {"f64": 4e-15, "f32": 1e-6, "f16": 1e-3, "bf16": 8e-3}
EXACT = frozenset(
    (
        *("add", "sub", "mul", "div", "floordiv", "mod", "truncmod", "min", "max", "neg", "abs"),
        *("sign", "round", "floor", "ceil", "trunc", "sqrt", "select"),
    )
)
ABSOLUTE = ("gelu", "gelu_bf16")  # precise to the argument, of which it may be a small part
MODULAR = ("sin", "cos", "tan")  # of arguments whose reduction means something


def arguments(function: str, dtype: DType) -> list[Array]:
    """One array for each argument."""
    types = [dtype] * FUNCTIONS[function].arity
    if function == "select":
        types[0] = bool_
    arrays = [values(kind, seed) for seed, kind in enumerate(types)]
    if function in ("shl", "shr"):
        arrays[1] = (np.abs(arrays[1].astype(np.int64)) % dtype.bits).astype(dtype.numpy)
    if function in MODULAR:
        far = np.abs(arrays[0].astype(np.float64)) > 1e5
        arrays[0] = np.where(far, 1, arrays[0]).astype(dtype.numpy)
    return arrays


def values(dtype: DType, seed: int) -> Array:
    """Edge cases, small numbers and large ones, shuffled."""
    random = np.random.default_rng(seed)
    if dtype.is_float:
        plain = random.standard_normal(COUNT - len(SPECIAL)) * 3
        mixed = random.permutation(np.concatenate([SPECIAL, plain]))
        with np.errstate(over="ignore"):
            return mixed.astype(dtype.numpy)
    if dtype.kind == "b":
        return np.asarray(random.random(COUNT) < 0.5)
    low, high = np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max
    edges = np.array([0, 1, 2, 3, 7, low, high, low + 1, high - 1], dtype.numpy)
    small = random.integers(max(low, -9), 9, 97, dtype=dtype.numpy)
    wide = random.integers(low, high, COUNT - 97 - len(edges), dtype=dtype.numpy, endpoint=True)
    return random.permutation(np.concatenate([edges, small, wide]))


def expected(function: str, dtype: DType, arrays: list[Array]) -> Array:
    """The table's value; half floats are computed in f32 and rounded once."""
    evaluate = FUNCTIONS[function].evaluate
    with np.errstate(all="ignore"):
        if dtype.name not in ("f16", "bf16"):
            return np.asarray(evaluate(*arrays))
        wide = (array if array.dtype == bool else array.astype(np.float32) for array in arrays)
        result = np.asarray(evaluate(*wide))
        return result if result.dtype == bool else result.astype(dtype.numpy)


def elementwise(value: Expr, params: tuple[Buffer, ...], lanes: int) -> Kernel:
    """`y[i] = value` for all i, in vectors of so many lanes with a masked tail."""
    i = Var(INDEX, "i.o") * lanes + Var(INDEX, "i.i")
    body = (If(i < COUNT, (Store(Ref("y", (i,)), value),)),)
    inner = Loop("i.i", index(0), index(lanes), body, Kind.VECTOR)
    outer = Loop("i.o", index(0), index(-(-COUNT // lanes)), (inner,))
    return Kernel("f", (*params, Buffer("y", value.dtype, (COUNT,))), ("y",), (outer,))


def operands(
    arrays: list[Array], types: list[DType], lanes: int
) -> tuple[list[Expr], tuple[Buffer, ...]]:
    """Loads of the arrays at the index that `elementwise` is at, and their buffers."""
    i = Var(INDEX, "i.o") * lanes + Var(INDEX, "i.i")
    names = [f"x{number}" for number in range(len(arrays))]
    loads: list[Expr] = [
        Load(dtype, name, (i,)) for name, dtype in zip(names, types, strict=True)
    ]
    buffers = tuple(
        Buffer(name, dtype, (COUNT,)) for name, dtype in zip(names, types, strict=True)
    )
    return loads, buffers


def assert_equal(
    found: Array, wanted: Array, tolerance: float, what: str, least: float = 0.0
) -> None:
    """Fail where they differ by more than `tolerance` of the wanted number, or of `least`."""
    found64, wanted64 = found.astype(np.float64), wanted.astype(np.float64)
    # Below the normal numbers precision is absolute.
    if wanted.dtype.kind in "fV":
        least = max(least, float(ml_dtypes.finfo(wanted.dtype).tiny))
    with np.errstate(all="ignore"):
        near = np.abs(found64 - wanted64) <= tolerance * np.maximum(np.abs(wanted64), least)
    same = (found64 == wanted64) | near | (np.isnan(found64) & np.isnan(wanted64))
    if found.dtype.kind in "iub":
        same = found == wanted
    bad = np.nonzero(~same)[0][:5]
    assert same.all(), f"{what}: {[(found[n], wanted[n]) for n in bad]}"


def cases() -> list[tuple[str, DType]]:
    """The functions of each type that NumPy has and gives the same type."""
    found = []
    for function, entry in FUNCTIONS.items():
        for dtype in DTYPES.values():
            try:
                result = expected(function, dtype, arguments(function, dtype))
            except (TypeError, ValueError):
                continue
            wanted = bool_ if entry.gives_bool else dtype
            floats_only = function in ("erf", *ABSOLUTE, "sigmoid") and not dtype.is_float
            integers_only = function == "truncdiv" and not dtype.is_integer
            odd = dtype is bool_ and not entry.gives_bool and function not in BOOLEAN
            if result.dtype == wanted.numpy and not (floats_only or integers_only or odd):
                found.append((function, dtype))
    return found


BOOLEAN = ("and", "or", "xor", "not", "select", "add", "mul", "min", "max", "abs")


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CASES = cases()


def test_the_functions_of_every_kind_of_type_are_there() -> None:
    for function, entry in FUNCTIONS.items():
        assert any(name == function for name, _ in CASES), function
        if entry.gives_bool:
            assert (function, DTYPES["bf16"]) in CASES


@pytest.mark.parametrize("where", TARGETS)
@pytest.mark.parametrize("lanes", ["one", "vector"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_function(function: str, lanes: str, where: str) -> None:
    for name, dtype in CASES:
        if name != function:
            continue
        arrays = arguments(function, dtype)
        types = [bool_ if function == "select" and n == 0 else dtype for n in range(len(arrays))]
        count = 1 if lanes == "one" else TARGETS[where][0].lanes(dtype)
        loads, buffers = operands(arrays, types, count)
        kernel = elementwise(apply(function, *loads), buffers, count)
        given = {buffer.name: array for buffer, array in zip(buffers, arrays, strict=True)}
        found = run(kernel, given, where)["y"]
        tolerance = TOLERANCE.get(dtype.name, 0.0)
        if function in EXACT:
            tolerance = 0.0
        if function == "fma":  # rounded once or twice, after what may cancel
            tolerance *= 10
        if function == "gelu_bf16":  # as its documentation says
            tolerance = max(tolerance, 2.0**-12)
        wanted = expected(function, dtype, arrays)
        least = 1.0 if function in ABSOLUTE else 0.0
        assert_equal(found, wanted, tolerance, f"{function} of {dtype}, {count} lanes", least)


@pytest.mark.parametrize("where", TARGETS)
@pytest.mark.parametrize("source", DTYPES)
def test_conversion(source: str, where: str) -> None:
    for target in DTYPES.values():
        array, dtype = values(DTYPES[source], 3), DTYPES[source]
        for lanes in (1, TARGETS[where][0].lanes(target)):
            (load,), buffers = operands([array], [dtype], lanes)
            value = load if dtype == target else Cast(target, load)
            found = run(elementwise(value, buffers, lanes), {"x0": array}, where)["y"]
            assert_equal(found, cast_array(array, target), 0.0, f"{source} to {target}")


@pytest.mark.parametrize("where", TARGETS)
def test_f64_is_rounded_to_f16_once(where: str) -> None:
    near = 1 + 2.0**-11 + 2.0**-30  # in f32 this lies half-way between two f16
    array = np.resize(np.array([near, -near, 1 + 2.0**-11, 2.0**-25 + 2.0**-60]), COUNT)
    (load,), buffers = operands([array], [DTYPES["f64"]], 8)
    found = run(elementwise(Cast(DTYPES["f16"], load), buffers, 8), {"x0": array}, where)["y"]
    assert_equal(found, array.astype(np.float16), 0.0, "f64 to f16")


def test_signs_of_zero() -> None:
    loads, buffers = operands([np.zeros(COUNT, np.float32)], [DTYPES["f32"]], 16)
    negative = np.full(COUNT, -0.0, np.float32)
    for function in ("round", "floor", "ceil", "trunc", "sqrt", "tanh"):
        for where in TARGETS:
            value = Apply(DTYPES["f32"], function, tuple(loads))
            found = run(elementwise(value, buffers, 16), {"x0": negative}, where)["y"]
            assert np.signbit(found).all(), (function, where)
