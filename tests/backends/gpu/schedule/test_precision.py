"""`precision=` on cards: what the IR says, how near results are to float64, what there is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.errors import InputError, UnsupportedError
from mlir_lite.expr import FUNCTIONS
from mlir_lite.ir import run_reference
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..shim import needs_shim

# The largest error of a factor, relative to it.
ERRORS = {"f32": 2.0**-24, "tf32": 2.0**-11, "bf16": 2.0**-8, "f16": 2.0**-11}
NARROW = [name for name in ERRORS if name != "f32"]

each_precision = pytest.mark.parametrize("precision", NARROW)


@ml.function(f32[33, 40], f32[40, 24], f32[24])
def linear(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ w + b)


@ml.function(f32[70, 136], f32[40, 136])
def turned(x: Value, w: Value) -> Value:
    return x @ ml.transpose(w, perm=(1, 0))


@ml.function(f32[136, 40], f32[136, 72])
def left_turned(x: Value, w: Value) -> Value:
    return ml.transpose(x, perm=(1, 0)) @ w


@ml.function(f32[2, 19, 21], f32[2, 21, 37])
def odd(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(f32[18, 24], f32[24, 36])
def prologue(x: Value, w: Value) -> Value:
    return ml.exp(x) @ w


@ml.function(f32[1, 16, 5, 7], f32[24, 16, 3, 3])
def convolution(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w, padding=1)


@ml.function(f32[4, 2000], f32[2000, 40])
def long_sums(x: Value, w: Value) -> Value:
    return x @ w


CASES = (linear, turned, left_turned, odd, prologue, convolution, long_sums)


def arrays_for(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    shapes = [param.type.static_shape for param in fn.params]
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def sizes(fn: Function, arrays: list[Array]) -> Array:
    """The sums of the magnitudes of all products, which errors are relative to."""
    if fn is prologue:
        x, w = arrays
        return np.asarray(np.exp(x.astype(np.float64)) @ np.abs(w.astype(np.float64)))
    (found,) = run_reference(fn, [np.abs(array.astype(np.float64)) for array in arrays])
    return found


def check(found: Array, fn: Function, arrays: list[Array], precision: str) -> None:
    """Each product is off by twice the error of a factor, and by their sum's own in f32."""
    (exact,) = run_reference(fn, [array.astype(np.float64) for array in arrays])
    terms = max(size for array in arrays for size in array.shape)
    allowed = (2.01 * ERRORS[precision] + 2.0**-23 * terms) * sizes(fn, arrays)
    error = np.abs(found - exact)
    assert np.all(error <= allowed + 1e-30)
    assert error.max() > 1e-3 * ERRORS[precision] * np.abs(exact).max()  # it is rounded indeed


@each_precision
@pytest.mark.parametrize("fn", [linear, turned, left_turned, prologue], ids=lambda fn: fn.name)
def test_schedules_round_factors_and_no_more(fn: Function, precision: str) -> None:
    program, constants = planned(fn, card(threads=32, factors=precision))
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants)[0], fn, arrays, precision)


@needs_shim
@each_precision
@pytest.mark.parametrize("fn", CASES, ids=lambda fn: fn.name)
def test_source_rounds_factors_and_no_more(fn: Function, precision: str, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    compiled = Compiled.of(fn, tmp_path, target=card(factors=precision))
    (found,) = all_orders(compiled, arrays)
    check(found, fn, arrays, precision)


@ml.function(f32[1, 136], f32[136, 40])
def vector(x: Value, w: Value) -> Value:
    return x @ w


@needs_shim
@pytest.mark.parametrize("precision", ["bf16", "f16"])
@pytest.mark.parametrize(
    "fn", [linear, odd, convolution, long_sums, vector], ids=lambda fn: fn.name
)
def test_constant_factors_are_on_the_card_in_half_the_width(
    fn: Function, precision: str, tmp_path: Path
) -> None:
    arrays = dict(zip([param.name for param in fn.params], arrays_for(fn), strict=True))
    bound = fn.bind({"w": arrays["w"]})
    compiled = Compiled.of(bound, tmp_path, target=card(factors=precision))
    assert [str(array.dtype) for array in compiled.constants.values()] == [
        {"bf16": "bfloat16", "f16": "float16"}[precision]
    ]
    assert not any("cast_kernel" in name for name in compiled.source.kernels)
    (found,) = all_orders(compiled, [arrays[param.name] for param in bound.params])
    check(found, fn, list(arrays.values()), precision)


@ml.function(f32[33, 40], f32[40, 48], f32[48], f32[48, 24])
def two_layers(x: Value, w: Value, b: Value, v: Value) -> Value:
    return ml.gelu(x @ w + b) @ v


@needs_shim
def test_computed_factors_are_rounded_where_they_are_written(tmp_path: Path) -> None:
    target = card("sm_80", factors="tf32")
    arrays = arrays_for(two_layers)
    weights = dict(zip("wbv", arrays[1:], strict=True))
    compiled = Compiled.of(two_layers.bind(weights), tmp_path, target=target)
    first, second = map(str, compiled.source.program.kernels)
    assert [" = tf32(" in kernel for kernel in (first, second)] == [True, False]
    assert "call @mma_tf32" in second
    (found,) = all_orders(compiled, arrays[:1])
    (exact,) = run_reference(two_layers, [array.astype(np.float64) for array in arrays])
    assert np.abs(found - exact).max() <= 4 * ERRORS["tf32"] * np.abs(exact).max()


@ml.function(f32[1, 2, 24, 16], f32[1, 2, 40, 16], f32[1, 2, 40, 16], f32[32, 24])
def attended(q: Value, k: Value, v: Value, w: Value) -> Value:
    heads = ml.transpose(ml.attention(q, k, v), perm=(0, 2, 1, 3))
    return ml.reshape(heads, (24, 32)) @ w


@needs_shim
@each_precision
def test_attention_rounds_what_is_projected(precision: str, tmp_path: Path) -> None:
    compiled = Compiled.of(attended, tmp_path, target=card("sm_80", factors=precision))
    *_, attention, product = compiled.source.program.kernels
    assert attention.name.startswith("blocked_attention_")
    assert product.params[0].dtype.name == ("f32" if precision == "tf32" else precision)
    assert product.name.startswith("tf32_cut_" if precision == "tf32" else "cast_")
    arrays = arrays_for(attended)
    (found,) = all_orders(compiled, arrays)
    (exact,) = run_reference(attended, [array.astype(np.float64) for array in arrays])
    assert np.abs(found - exact).max() <= 8 * ERRORS[precision] * np.abs(exact).max()


@ml.function(f32[1152, 24], f32[24, 1024])
def outer(x: Value, w: Value) -> Value:
    return x @ w


@needs_shim
def test_factors_of_tf32_are_rounded_once_where_that_pays(tmp_path: Path) -> None:
    target = card("sm_80", multiprocessors=1, factors="tf32")
    compiled = Compiled.of(outer, tmp_path, target=target)
    *before, kernel = compiled.source.program.kernels
    assert [made.name for made in before] == ["matmul_round", "matmul_turn"]
    assert [" = tf32(" in str(made) for made in (*before, kernel)] == [True, True, False]
    for made in (*before, kernel):
        verify_kernel(made)
    arrays = arrays_for(outer)
    (found,) = all_orders(compiled, arrays)
    check(found, outer, arrays, "tf32")


@needs_shim
@pytest.mark.parametrize("computed", [False, True], ids=["by lanes", "beforehand"])
def test_infinities_and_nan_are_what_they_are(computed: bool, tmp_path: Path) -> None:
    x, one = arrays_for(by_identity)[0], np.eye(128, dtype=np.float32)
    nan = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000], np.uint32).view(np.float32)
    x[:6, 0] = [np.inf, -np.inf, *nan, 3.4028235e38]
    turned = ml.function(f32[64, 128])(lambda x: -x @ one)
    fn, given = (turned, [-x]) if computed else (by_identity, [x, one])
    compiled = Compiled.of(fn, tmp_path, target=card("sm_80", factors="tf32"))
    (found,) = all_orders(compiled, given)
    wanted = FUNCTIONS["tf32"].evaluate(x)
    np.testing.assert_array_equal(found[:, 0], wanted[:, 0])  # the largest number is infinite
    np.testing.assert_array_equal(found[6:], wanted[6:])
    assert np.isnan(found[:6, 1:]).all()  # as they are times zero


@needs_shim
@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_computed_factors_are_written_in_half_the_width(precision: str, tmp_path: Path) -> None:
    compiled = Compiled.of(two_layers, tmp_path, target=card(factors=precision))
    first, second = compiled.source.program.kernels
    assert first.params[-1].dtype.name == second.params[0].dtype.name == precision
    arrays = arrays_for(two_layers)
    (found,) = all_orders(compiled, arrays)
    (exact,) = run_reference(two_layers, [array.astype(np.float64) for array in arrays])
    # Four factors are rounded, and what the first product loses is a part of the second's.
    assert np.abs(found - exact).max() <= 4 * ERRORS[precision] * np.abs(exact).max()


@ml.function(f32[640, 200], f32[200, 640])
def rounded_before(x: Value, w: Value) -> Value:
    return x @ w


@needs_shim
def test_factors_are_rounded_once_where_copying_them_pays(tmp_path: Path) -> None:
    compiled = Compiled.of(
        rounded_before, tmp_path, target=card("sm_80", multiprocessors=1, factors="bf16")
    )
    *before, kernel = compiled.source.program.kernels
    assert ["_round" in made.name for made in before] == [True, True]
    assert "call @copy_bf16x8(left" in str(kernel) and "call @copy_bf16x8(right" in str(kernel)
    arrays = arrays_for(rounded_before)
    check(compiled(*arrays)[0], rounded_before, arrays, "bf16")


def test_constant_factors_of_tf32_are_turned_when_the_program_is_built() -> None:
    w = arrays_for(turned_before)[1]
    target = card(multiprocessors=1, factors="tf32")
    (kernel,) = planned(turned_before.bind({"w": w}), target)[0].kernels
    assert "call @wgmma" in str(kernel)


@ml.function(f32[70, 136], f32[72, 136], f32[72])
def side_by_side(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ ml.transpose(w, perm=(1, 0)) + b)


@ml.function(f32[200, 400], f32[400, 264])
def turned_before(x: Value, w: Value) -> Value:
    return x @ w


GROUPED = {side_by_side: 0, turned_before: 1}  # kernels before it


@needs_shim
@pytest.mark.parametrize("fn", GROUPED, ids=lambda fn: fn.name)
def test_warpgroups_multiply_factors_rounded_by_the_copy_engine(
    fn: Function, tmp_path: Path
) -> None:
    target = card(multiprocessors=1, factors="tf32")
    *before, kernel = planned(fn, target)[0].kernels
    assert [made.name.endswith("_turn") for made in before] == [True] * GROUPED[fn]
    assert "call @wgmma" in str(kernel) and "call @bulk_tf32x" in str(kernel)
    for made in (*before, kernel):
        verify_kernel(made)
    arrays = arrays_for(fn)
    (found,) = all_orders(Compiled.of(fn, tmp_path, target=target), arrays)
    check(found, fn, arrays, "tf32")


def test_schedules_of_warpgroups_round_factors_and_no_more() -> None:
    target = card(multiprocessors=1, factors="tf32")
    program, constants = planned(side_by_side, target)
    arrays = arrays_for(side_by_side)
    check(run_program(program, arrays, constants)[0], side_by_side, arrays, "tf32")


@ml.function(f32[64, 128], f32[128, 128])
def by_identity(x: Value, one: Value) -> Value:
    return x @ ml.transpose(one, perm=(1, 0))


@needs_shim
@pytest.mark.parametrize(
    ("multiprocessors", "name"), [(1, "tf32_even"), (132, "tf32")], ids=["warpgroups", "warps"]
)
def test_tf32_factors_are_rounded_to_the_nearest(
    multiprocessors: int, name: str, tmp_path: Path
) -> None:
    x, one = arrays_for(by_identity)[0], np.eye(128, dtype=np.float32)
    x[0, :4] = 1 + 2.0**-11 * np.array([1, 3, 1.5, 2.5])  # halves, and beside them
    target = card(multiprocessors=multiprocessors, factors="tf32")
    compiled = Compiled.of(by_identity, tmp_path, target=target)
    assert ("wgmma" in str(compiled.source)) == (name == "tf32_even")
    (found,) = all_orders(compiled, [x, one])
    np.testing.assert_array_equal(found, FUNCTIONS[name].evaluate(x))


@needs_shim
def test_banks_are_read_without_conflicts(tmp_path: Path) -> None:
    for fn in (turned, left_turned):
        (tmp_path / fn.name).mkdir()
        target = card(factors="tf32")
        compiled = Compiled.of(fn, tmp_path / fn.name, target=target, watched=True)
        compiled(*arrays_for(fn))
        counts = compiled.device.counts()
        assert counts.passes == counts.least_passes


@pytest.mark.parametrize(
    ("precision", "text"), [("tf32", "tf32("), ("bf16", "@mma_bf16"), ("f16", "@mma_f16")]
)
def test_the_ir_says_what_factors_are_rounded_to(precision: str, text: str) -> None:
    stages = ml.compile(linear, target="cuda:sm_90", precision=precision).stages
    assert text in stages["tile"]
    assert f'factors = "{precision}"' in stages["fused"]
    assert f"mma_{precision}(" in stages["cuda"]
    assert ("cvt.rna.tf32.f32" in stages["cuda"]) == (precision == "tf32")


def test_f32_is_the_default_and_has_other_names() -> None:
    plain = str(CudaSource.of(planned(linear, card())[0], card()))
    assert "mma" not in plain
    for name in ("f32", "fp32"):
        assert "mma" not in ml.compile(linear, target="cuda:sm_90", precision=name).stages["cuda"]
    assert "mma_f16" in ml.compile(linear, target="cuda:sm_90", precision="fp16").stages["cuda"]


@pytest.mark.parametrize("precision", ["tf32", "f16", "fp16"])
@pytest.mark.parametrize("target", ["cpu", "reference", "cpu:haswell"])
def test_a_processor_says_what_it_has(precision: str, target: str) -> None:
    with pytest.raises(UnsupportedError, match=r"has no precision .*: it has f32 and bf16; cards"):
        ml.compile(linear, target=target, precision=precision)


def test_an_unknown_precision_is_an_error() -> None:
    with pytest.raises(InputError, match="there are f32, tf32, bf16, f16"):
        ml.compile(linear, target="cuda:sm_90", precision="int4")


def test_tf32_keeps_ten_bits_and_rounds_halves_away_from_zero() -> None:
    one, step = 1.0, 2.0**-10
    given = [one + step / 2, one + step / 4, -one - step / 2, one + step * 1.5, 3e38, np.inf, -0.0]
    wanted = [one + step, one, -one - step, one + step * 2, 3e38, np.inf, -0.0]
    found = FUNCTIONS["tf32"].evaluate(np.array(given, np.float32))
    np.testing.assert_allclose(found, np.array(wanted, np.float32), rtol=2.0**-11)
    np.testing.assert_array_equal(found[:4], np.array(wanted[:4], np.float32))
    assert np.isnan(FUNCTIONS["tf32"].evaluate(np.array([np.nan], np.float32))).all()
    assert FUNCTIONS["tf32"].evaluate(np.array([3.4028235e38], np.float32)) == np.inf
