"""Rows are reduced in registers: read once, summed from lane to lane, and written once."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f32, f64, i32, i64
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.ir import run_reference
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..shim import ShimDevice, build_checked, needs_shim, unit_text


@ml.function(f32[40, 300])
def softmax(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(bf16[101, 12])
def short_softmax(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(f32[3, 5003])
def long_softmax(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(f32[3, 17408])
def longest_softmax(x: Value) -> Value:
    """Of 34 whole turns of a small card's block, which takes four at once."""
    return ml.softmax(x * 0.5, axis=-1)


@ml.function(f32[2, 13001])
def longest_odd_softmax(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(f32[2, 16640], f32[16640], f32[16640])
def longest_layer_norm(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x + 4.0, scale, bias)


@ml.function(f32[3, 9, 33])
def odd_log_softmax(x: Value) -> Value:
    return ml.log_softmax(x, axis=-1)


@ml.function(f32[60, 128], f32[128], f32[128])
def layer_norm(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x, scale, bias)


@ml.function(bf16[6, 2048], bf16[2048], bf16[2048])
def narrow_layer_norm(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x, scale, bias)


@ml.function(f32[33, 64], f32[64])
def rms_norm(x: Value, scale: Value) -> Value:
    return ml.rms_norm(x, scale)


@ml.function(f32[50, 100], i64[50])
def cross_entropy(x: Value, target: Value) -> Value:
    return ml.cross_entropy(x, target)


@ml.function(f32[90, 70])
def argmax(x: Value) -> Value:
    return ml.argmax(x, axis=1)


@ml.function(i32[40, 96])
def least(x: Value) -> Value:
    return ml.min(x, axis=1)


@ml.function(f64[64, 50])
def variances(x: Value) -> Value:
    return ml.var(x, axis=1)


@ml.function(f32[4, 6, 20, 20])
def sums_of_planes(x: Value) -> Value:
    return ml.sum(x, axis=(2, 3))


@ml.function(f32[130, 36], f32[36])
def times_vector(x: Value, y: Value) -> Value:
    return ml.sum(x * y, axis=1)


@ml.function(f32[20, 40], f32[20, 40])
def masked(x: Value, mask: Value) -> Value:
    return ml.softmax(ml.where(mask > 0.0, x, -1e9), axis=-1)


ONCE = (softmax, short_softmax, odd_log_softmax, layer_norm, rms_norm, masked)
CASES = (
    *ONCE, long_softmax, narrow_layer_norm, cross_entropy, argmax, least, variances,
    sums_of_planes, times_vector,
)  # fmt: skip
# So few threads that long rows do not fit into their registers.
SMALL = card(threads=32, multiprocessors=1)
LONGEST = (longest_softmax, longest_odd_softmax, longest_layer_norm)
LONG = (*LONGEST, long_softmax, narrow_layer_norm, argmax)
each_case = pytest.mark.parametrize(
    ("fn", "small"),
    [*((fn, False) for fn in CASES), *((fn, True) for fn in LONG)],
    ids=lambda it: getattr(it, "name", "small" if it else "card"),
)


@ml.function(f32[2, 65600])
def few_long_softmax(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(bf16[70000])
def vector_log_softmax(x: Value) -> Value:
    return ml.log_softmax(x, axis=0)


@ml.function(f32[65536], f32[65536], f32[65536])
def vector_layer_norm(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x, scale, bias)


@ml.function(f32[3, 65539])
def few_long_sums(x: Value) -> Value:
    return ml.sum(ml.exp(x), axis=1)


@ml.function(f32[20, 3, 61, 61])
def variances_of_channels(x: Value) -> Value:
    return ml.var(x, axis=(0, 2, 3))


@ml.function(f32[6, 3, 11, 31])
def variances_in_a_block(x: Value) -> Value:
    return ml.var(x, axis=(0, 2, 3))


CHANNELS = (variances_of_channels, variances_in_a_block)
FEW = (few_long_softmax, vector_log_softmax, vector_layer_norm, few_long_sums)


def arrays_for(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    return [
        random.integers(0, 50, param.type.static_shape).astype(param.dtype.numpy)
        if param.dtype.is_integer
        else (random.standard_normal(param.type.static_shape) * 3).astype(param.dtype.numpy)
        for param in fn.params
    ]


def check(found: tuple[Array, ...], fn: Function, arrays: list[Array]) -> None:
    wide = [a if a.dtype.kind == "i" else a.astype(np.float64) for a in arrays]
    for result, exact in zip(found, run_reference(fn, wide), strict=True):
        # Sums of hundreds of terms; bf16 has eight bits.
        step = {"bfloat16": 2.0**-7, "float64": 1e-12}.get(str(result.dtype), 2e-6)
        found_, exact_ = result.astype(np.float64), exact.astype(np.float64)
        np.testing.assert_allclose(found_, exact_, rtol=step, atol=step)


@pytest.mark.parametrize("fn", ONCE, ids=lambda fn: fn.name)
def test_rows_are_read_once(fn: Function) -> None:
    text = str(planned(fn, card())[0])
    reads = re.findall(r"@load_\w+\(x\d_\[.*|= x\d\[.*", text)
    assert len(reads) == len(fn.params)


@pytest.mark.parametrize("fn", LONGEST, ids=lambda fn: fn.name)
def test_rows_that_no_registers_hold_are_read_twice(fn: Function) -> None:
    text = str(planned(fn, SMALL)[0])
    assert sum("x0[" in line for line in text.splitlines()) == 2
    assert len(re.findall("(?:softmax|moments)= (?!other|part)", text)) == 1


def test_what_is_not_finite_is_where_the_reference_has_it() -> None:
    (arrays,) = arrays_for(longest_softmax)
    arrays[0, 7000:9000] = -np.inf
    arrays[1] = -np.inf
    arrays[2, 11] = np.inf
    program, constants = planned(longest_softmax, SMALL)
    with np.errstate(invalid="ignore"):
        (found,) = run_program(program, [arrays], constants)
        (exact,) = run_reference(longest_softmax, [arrays.astype(np.float64)])
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(found, exact, rtol=2e-6)


@each_case
def test_schedules_compute_the_reference(fn: Function, small: bool) -> None:
    program, constants = planned(fn, SMALL if small else card(threads=64))
    assert "call @shuffle" in str(program)
    for kernel in program.kernels:
        verify_kernel(kernel)
    verify_program(program)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@pytest.mark.parametrize("fn", FEW, ids=lambda fn: fn.name)
def test_few_long_rows_are_dealt_to_many_blocks(fn: Function) -> None:
    program, constants = planned(fn, card())
    assert len(program.kernels) == (2 if fn is few_long_sums else 3)
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


def test_sums_over_several_loops_are_sums_of_rows() -> None:
    text = str(planned(variances_of_channels, card())[0])
    assert "arena %partial" in text and "call @shuffle" in text


@pytest.mark.parametrize("fn", CHANNELS, ids=lambda fn: fn.name)
def test_schedules_of_channels_compute_the_reference(fn: Function) -> None:
    program, constants = planned(fn, card())
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@needs_shim
def test_source_of_sums_in_pieces_computes_them(tmp_path: Path) -> None:
    pieces = (*FEW, *CHANNELS)
    made = Compiled.together(pieces, tmp_path, target=card(), watched=True)
    for fn in pieces:
        arrays = arrays_for(fn)
        check(all_orders(made[fn.name], arrays), fn, arrays)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, Compiled]]:
    """On a card, and on a small one."""

    def made(fns: tuple[Function, ...], target: Target) -> dict[str, Compiled]:
        folder = tmp_path_factory.mktemp("rows")
        return Compiled.together(fns, folder, target=target, watched=True)

    return {False: made(CASES, card()), True: made(LONG, SMALL)}


@needs_shim
@each_case
def test_source_computes_the_reference(
    fn: Function, small: bool, sources: dict[bool, dict[str, Compiled]]
) -> None:
    arrays, compiled = arrays_for(fn), sources[small][fn.name]
    check(all_orders(compiled, arrays), fn, arrays)
    counts = compiled.device.counts()
    assert counts.passes == counts.least_passes
    assert counts.sectors <= counts.least_sectors * 1.6


# Each with the text that is changed, and what is noticed.
BUGS = (
    ("__shfl_xor_sync(0xffffffffu", "__shfl_xor_sync(0xffffu", "outside of its mask"),
    ("__syncthreads();", "", "which none has written|a race"),
    (" < 75)", " < 74)", "Not equal to tolerance"),
    (" < 75)", " < 76)", "of blocks 0 and 1 touch"),
)


@needs_shim
@pytest.mark.parametrize(("old", "new", "noticed"), BUGS, ids=["mask", "barrier", "end", "tail"])
def test_planted_bugs_are_noticed(old: str, new: str, noticed: str, tmp_path: Path) -> None:
    arrays, target = arrays_for(softmax), card()
    program, constants = planned(softmax, target)
    source = CudaSource.of(program, target)
    ((name, kernel),) = source.kernels.items()
    assert old in kernel.source
    wrong = replace(kernel, source=kernel.source.replace(old, new))
    library = build_checked(unit_text([wrong]), tmp_path, "wrong")
    compiled = Compiled(
        replace(source, kernels={name: wrong}), constants, ShimDevice(library, watches=True)
    )
    with pytest.raises(AssertionError, match=noticed):
        check(all_orders(compiled, arrays), softmax, arrays)
