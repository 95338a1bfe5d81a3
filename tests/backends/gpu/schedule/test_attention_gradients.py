"""Gradients of attention in tiles keep no scores: the schedules in the interpreter, their source on
the CPU."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f16, f32, i64, nn, train
from mlir_lite.ir import run_reference
from mlir_lite.passes.schedule.gpu.attention.tiles import gradient_blocks, wide_queries
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array, DType, TensorType

from ..compiled import Compiled, all_orders, card, planned
from ..shim import build, needs_shim, unit_text
from .test_attention import Case, arrays_for, error, rounding, slow_but_for


def gradients_of(case: Case) -> Function:
    """The gradients of queries, keys and values, for what arrives at the result."""
    forward = case.function()
    types = [param.type for param in forward.params]
    arrived = TensorType(forward.results[0].shape, f32)

    def plain(q: Value, k: Value, v: Value, arrived: Value) -> Value:
        y = ml.attention(q, k, v, causal=case.causal, scale=case.scale)
        return ml.sum(ml.cast(y, f32) * arrived)

    def masked(q: Value, k: Value, v: Value, m: Value, arrived: Value) -> Value:
        y = ml.attention(q, k, v, m, causal=case.causal, scale=case.scale)
        return ml.sum(ml.cast(y, f32) * arrived)

    fn = ml.function(*types, arrived)(plain if case.mask is None else masked)
    return ml.grad(fn, wrt=("q", "k", "v"))


CASES: Mapping[str, Case] = {
    "odd sizes": Case((2, 37, 16), (2, 45, 16), 24, f16),
    "causal over several blocks": Case((100, 64), (150, 64), 64, bf16, causal=True),
    "fewer keys, causal": Case((90, 32), (40, 32), 32, f16, causal=True),
    "heads that share keys, a mask": Case((2, 3, 37, 16), (2, 1, 45, 16), 24, f16, f16[37, 45]),
    "two fragments a warp": Case(
        (2, 140, 32), (2, 70, 32), 32, bf16, causal=True, target=card(multiprocessors=1)
    ),
    "wide heads": Case((33, 128), (40, 128), 128, bf16),
    "few queries": Case((2, 5, 16), (2, 70, 16), 16, f16, f16[2, 1, 70]),
    "rounded": Case((2, 40, 24), (2, 40, 24), 24, f32, target=rounding()),
    "f32": Case((2, 37, 16), (2, 45, 16), 24, f32),
    "f32, causal over several blocks": Case((100, 64), (150, 64), 64, f32, causal=True),
    "f32, wide heads, a mask": Case((2, 33, 128), (1, 40, 128), 128, f32, f32[33, 40]),
}


def allowed(case: Case) -> float:
    """Weights and what arrives at them are rounded to the factors' type, as are the factors; in f32
    it is twice what the products of PyTorch lose, of 150 queries of 64."""
    if case.dtype == f32 and case.target == card():
        return 16 * float(np.finfo(np.float32).eps)
    return {f16: 2.0**-8, bf16: 2.0**-6, f32: 2.0**-5}[case.dtype]


def exact(fn: Function, arrays: list[Array]) -> tuple[Array, ...]:
    return run_reference(fn, [array.astype(np.float64) for array in arrays])


INTERPRETED = ("odd sizes", "f32")


@pytest.mark.parametrize("name", slow_but_for(INTERPRETED, (*INTERPRETED, "few queries")))
def test_schedules_compute_the_reference(name: str) -> None:
    case = CASES[name]
    fn = gradients_of(case)
    program, constants = planned(fn, case.target)
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    for one, other in zip(run_program(program, arrays, constants), exact(fn, arrays), strict=True):
        assert error(one, other) <= allowed(case)


QUICK = (
    "two fragments a warp",
    "causal over several blocks",
    "heads that share keys, a mask",
    "f32, causal over several blocks",
)


@needs_shim
@pytest.mark.parametrize("name", slow_but_for(QUICK, CASES))
def test_source_computes_the_reference(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    fn = gradients_of(case)
    arrays = arrays_for(fn)
    compiled = Compiled.of(fn, tmp_path, target=case.target)
    kernels = list(compiled.source.kernels)
    assert sum("attention_gradient" in kernel for kernel in kernels) == 2
    for one, other in zip(all_orders(compiled, arrays), exact(fn, arrays), strict=True):
        assert error(one, other) <= allowed(case)


@needs_shim
@pytest.mark.parametrize("dtype", [bf16, f32])
def test_rows_that_see_all_keys_at_the_least_number_weigh_them_alike(
    dtype: DType, tmp_path: Path
) -> None:
    """Many models mask with it; a total's logarithm is nothing beside it."""
    case = Case((2, 20, 16), (2, 40, 16), 16, dtype, dtype[2, 20, 40])
    fn = gradients_of(case)
    *operands, mask, arrived = arrays_for(fn)
    mask[:] = 0
    mask[0, :3] = ml_dtypes.finfo(dtype.numpy).min
    mask[1, :, :35] = ml_dtypes.finfo(dtype.numpy).min
    arrays = [*operands, mask, arrived]
    found = all_orders(Compiled.of(fn, tmp_path), arrays)
    for one, other in zip(found, exact(fn, arrays), strict=True):
        assert error(one, other) <= allowed(case)


@needs_shim
@pytest.mark.parametrize(
    ("dtype", "rows"), [(bf16, 33), (f32, 33), (bf16, 130)], ids=["bf16", "f32", "wide blocks"]
)
def test_no_threads_race_and_no_banks_conflict(
    dtype: DType, rows: int, tmp_path: Path
) -> None:
    fn = gradients_of(Case((rows, 32), (70, 32), 32, dtype, causal=True))
    target = card(multiprocessors=1 if rows > 128 else 132)
    compiled = Compiled.of(fn, tmp_path, target=target, watched=True)
    compiled(*arrays_for(fn))
    counts = compiled.device.counts()
    assert counts.passes == counts.least_passes > 0


@pytest.mark.parametrize(
    ("depth", "rows", "blocks"),
    [(64, 2048, (64, 64)), (128, 2048, (64, 32)), (64, 20, (32, 32)), (16, 5, (16, 32))],
)
def test_sums_and_scores_fit_into_registers(
    depth: int, rows: int, blocks: tuple[int, int]
) -> None:
    shape, figures = (4, 16, rows, depth), card().gpu
    assert figures is not None
    assert gradient_blocks(shape, shape, bf16, figures) == blocks


@pytest.mark.parametrize(
    ("depth", "rows", "dtype", "wide"),
    [
        (64, 2048, bf16, (128, 32)),
        (128, 2048, bf16, None),  # sums of which take all registers
        (64, 100, bf16, None),  # which is less than a block
        (64, 2048, f32, None),
    ],
)
def test_blocks_of_queries_are_wide_where_registers_are(
    depth: int, rows: int, dtype: DType, wide: tuple[int, int] | None
) -> None:
    shape, figures = (4, 16, rows, depth), card().gpu
    assert figures is not None
    assert wide_queries(shape, shape, dtype, figures) == wide


# What is written instead of what.
PLANTED: Mapping[str, tuple[str, str]] = {
    "the wrong stage": (r"(step(?:_\d)?) % 2", r"(\1 + 1) % 2"),
    "logarithms of other queries": (r"- (logs_\d)\[step", r"- \1[1 + step"),
    "no sums along rows": (r"= -(along_\d)\[(?!step)", r"= -0.0f * \1["),
    "no sums along columns": (r"- (along_\d)\[step", r"- 0.0f * \1[step"),
    "keys that are not masked": (r"- first_key / 64 \+ 1", "- first_key / 64"),
    "changes of other keys": (r"narrow_f16\(&weights\[\w+ \* 4\]", "narrow_f16(&weights[0]"),
}


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiled, list[Array]]:
    """Gradients, and their operands."""
    fn = gradients_of(Case((70, 16), (70, 16), 16, f16, causal=True))
    return Compiled.of(fn, tmp_path_factory.mktemp("right")), arrays_for(fn)


@needs_shim
@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_show(
    bug: str, right: tuple[Compiled, list[Array]], tmp_path: Path
) -> None:
    compiled, arrays = right
    text = unit_text(list(compiled.source.kernels.values()))
    changed = re.sub(*PLANTED[bug], text)
    assert changed != text
    library = build(changed, tmp_path, "planted")
    wrong = replace(compiled, device=replace(compiled.device, library=library))
    found = zip(wrong(*arrays), compiled(*arrays), strict=True)
    assert not all(error(one, other) <= 4 * 2.0**-8 for one, other in found)


class Reader(nn.Module):
    """A layer of a transformer, and a linear layer on its mean."""

    layer: nn.TransformerEncoderLayer = nn.TransformerEncoderLayer(
        32, 2, 64, dropout=0.0, causal=True
    )
    head: nn.Linear = nn.Linear(32, 3)

    def forward(self, x: Value) -> Value:
        return self.head(ml.mean(self.layer(x), axis=1))


@needs_shim
@pytest.mark.parametrize(
    ("target", "near"), [(card(), 1e-5), pytest.param(rounding(), 2e-2, marks=pytest.mark.slow)]
)
def test_a_step_of_training_keeps_no_scores(target: Target, near: float, tmp_path: Path) -> None:
    step = train.step(
        Reader(), ml.cross_entropy, train.SGD(0.1), inputs=f32[2, 21, 32], targets=i64[2]
    )
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 21, 32)).astype(np.float32)
    arrays = [*step.initial(Reader().init(1)).values(), x, random.integers(0, 3, 2)]
    compiled = Compiled.of(step.function, tmp_path, target=target)
    kernels = list(compiled.source.kernels)
    assert sum("attention_gradient" in kernel for kernel in kernels) == 2
    shapes = [slot.type.shape for slot in compiled.source.program.slots]
    assert not any(shape[-2:] == (21, 21) for shape in shapes)
    found = compiled(*arrays)
    for one, other in zip(found, run_reference(step.function, arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=near, atol=near)
