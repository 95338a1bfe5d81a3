"""Attention by warpgroups: schedules in the interpreter, their source on the CPU; nothing in them
that orders threads is there for nothing. Cards of one multiprocessor take large blocks for few
queries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, bool_, f16
from mlir_lite.backends.cuda.code.nvrtc import compile_source
from mlir_lite.backends.cuda.code.sass import listings, sass_text
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.passes.schedule.gpu.attention.tiles import blocks_on_card
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.machine import Completion, Order
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel

from ..compiled import Compiled, all_orders, card, planned
from ..shim import ORDERS, needs_shim
from ..templates import attention_bf16, attention_f16
from .test_attention import Case, allowed, arrays_for, error, exact, slow_but_for
from .test_warpgroup_kernels import OnShim

CASES: Mapping[str, Case] = {
    "odd sizes": Case((2, 3, 70, 40), (2, 3, 141, 40), 48),
    "causal, heads that share keys": Case(
        (2, 2, 300, 64), (2, 1, 300, 64), 64, f16, causal=True
    ),
    "causal with fewer keys": Case((200, 64), (150, 64), 64, causal=True),
    "heads of 128": Case((130, 128), (400, 128), 128),
    "heads of 80, other values": Case((2, 40, 80), (2, 200, 80), 128, f16, causal=True),
    "key lengths": Case((3, 2, 70, 64), (3, 2, 140, 64), 64, bf16, bool_[3, 1, 1, 140]),
    "a mask of numbers": Case((2, 3, 20, 64), (2, 1, 300, 64), 64, f16, f16[20, 300]),
    "a negative scale": Case((40, 64), (140, 64), 64, scale=-0.3),
}
QUICK = ("odd sizes", "causal, heads that share keys", "heads of 128", "key lengths")
ONE = card(multiprocessors=1)


def kernel_of(fn: Function) -> Kernel:
    """The one kernel of a function, which is by warpgroups."""
    (kernel,) = [kernel for kernel in planned(fn, ONE)[0].kernels if "attention" in kernel.name]
    assert "call @wgmma" in str(kernel)
    return kernel


SMALL: Mapping[str, Case] = {
    "odd sizes": Case((70, 40), (141, 40), 48),
    "causal, heads of 72": Case((150, 72), (130, 72), 72, f16, causal=True),
}


@pytest.mark.parametrize("name", SMALL)
def test_schedules_compute_the_reference(name: str) -> None:
    fn = SMALL[name].function()
    kernel, arrays = kernel_of(fn), arrays_for(fn)
    names = [param.name for param in kernel.params]
    given, wanted = dict(zip(names, arrays, strict=False)), exact(fn, arrays)
    ways: tuple[tuple[Order, Completion], ...] = (("ascending", "late"), ("descending", "early"))
    for order, completion in ways:
        (found,) = run_kernel(kernel, given, order=order, asynchronous=completion).values()
        assert error(found, wanted) <= allowed(SMALL[name])


@pytest.mark.parametrize("name", CASES)
def test_schedules_are_proved_free_of_races(name: str) -> None:
    kernel = kernel_of(CASES[name].function())
    verify_kernel(kernel)
    assert parse_kernel(str(kernel)) == kernel


@needs_shim
@pytest.mark.parametrize("name", slow_but_for(QUICK, CASES))
def test_source_computes_the_reference(name: str, tmp_path: Path) -> None:
    fn = CASES[name].function()
    arrays = arrays_for(fn)
    (found,) = all_orders(Compiled.of(fn, tmp_path, target=ONE), arrays)
    assert error(found, exact(fn, arrays)) <= allowed(CASES[name])


@ml.function(*(bf16[1, 150, 2, 64],) * 3)
def heads_apart(q: Value, k: Value, v: Value) -> Value:
    """Heads where projections leave them: between the rows and their elements."""
    heads = (ml.transpose(x, perm=(0, 2, 1, 3)) for x in (q, k, v))
    return ml.transpose(ml.attention(*heads), perm=(0, 2, 1, 3))


@needs_shim
def test_heads_are_read_and_written_where_they_lie(tmp_path: Path) -> None:
    assert "call @bulk_bf16x128x1(" in str(kernel_of(heads_apart))
    arrays = arrays_for(heads_apart)
    compiled = Compiled.of(heads_apart, tmp_path, target=ONE)
    assert len(compiled.source.kernels) == 1
    (found,) = all_orders(compiled, arrays)
    assert error(found, exact(heads_apart, arrays)) <= 2.0**-8


@needs_shim
def test_what_follows_is_done_where_results_are_stored(tmp_path: Path) -> None:
    shape = f16[2, 70, 64]

    @ml.function(shape, shape, shape, shape)
    def fn(q: Value, k: Value, v: Value, x: Value) -> Value:
        return ml.relu(ml.attention(q, k, v) + x)

    arrays = arrays_for(fn)
    compiled = Compiled.of(fn, tmp_path, target=ONE)
    assert len(compiled.source.kernels) == 1
    (found,) = all_orders(compiled, arrays)
    assert error(found, exact(fn, arrays)) <= 2.0**-10


@needs_shim
def test_growing_scores_shrink_what_was_summed(tmp_path: Path) -> None:
    """Each block of keys has larger scores than the one before, by more than weights may grow."""
    fn = Case((70, 64), (500, 64), 64, f16, scale=1.0).function()
    queries, keys, values = arrays_for(fn)
    queries[:], keys[:] = 0, (np.arange(500, dtype=np.float16) / 16)[:, None]
    queries[21:] = 1
    arrays = [queries, keys, values]
    (found,) = all_orders(Compiled.of(fn, tmp_path, target=ONE), arrays)
    assert error(found, exact(fn, arrays)) <= 2.0**-10


@needs_shim
def test_rows_that_see_nothing_are_no_numbers(tmp_path: Path) -> None:
    """As of a softmax of -inf only; those that see nothing at first are as they should be."""
    fn = Case((2, 70, 64), (2, 300, 64), 64, f16, f16[2, 70, 300]).function()
    *operands, mask = arrays_for(fn)
    mask[:] = 0
    mask[0, :3] = -np.inf
    mask[1, :, :290] = -np.inf
    arrays = [*operands, mask]
    (found,) = all_orders(Compiled.of(fn, tmp_path, target=ONE), arrays)
    assert np.isnan(found[0, :3]).all()
    wanted = exact(fn, arrays)
    assert error(found[0, 3:], wanted[0, 3:]) <= 2.0**-10
    assert error(found[1], wanted[1]) <= 2.0**-10


@needs_shim
def test_no_threads_race_and_no_banks_conflict(tmp_path: Path) -> None:
    fn = Case((70, 64), (200, 64), 64, causal=True).function()
    compiled = Compiled.of(fn, tmp_path, target=ONE, watched=True)
    compiled(*arrays_for(fn))
    counts = compiled.device.counts()
    assert counts.passes == counts.least_passes


# Choices


SHAPE = (4, 16, 2048, 64)


@pytest.mark.parametrize(
    ("queries", "keys", "name", "blocks"),
    [
        (SHAPE, SHAPE, "sm_90", (128, 128, 1)),
        (SHAPE, SHAPE, "sm_80", (128, 64, 1)),
        ((4, 16, 2048, 32), (4, 16, 2048, 32), "sm_90", (128, 64, 1)),  # half of a box
        ((2, 100, 64), (2, 100, 64), "sm_90", (64, 64, 1)),  # too few for a block of them
        (SHAPE, (4, 16, 64, 64), "sm_90", (128, 64, 1)),
    ],
)
def test_blocks_are_cut_for_warpgroups_where_these_multiply(
    queries: tuple[int, ...], keys: tuple[int, ...], name: str, blocks: tuple[int, int, int]
) -> None:
    gpu = card(name).gpu
    assert gpu is not None
    assert blocks_on_card(queries, keys, keys, bf16, True, gpu) == blocks


@ml.function(*(f16[300, 60],) * 3)
def no_whole_chunks(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(q, k, v)


@ml.function(f16[64, 300], f16[300, 64], f16[300, 64])
def queries_turned(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(ml.transpose(q, perm=(1, 0)), k, v)


@needs_shim
@pytest.mark.parametrize("fn", [no_whole_chunks, queries_turned], ids=lambda fn: fn.name)
def test_what_does_not_come_as_boxes_is_multiplied_by_warps(fn: Function, tmp_path: Path) -> None:
    compiled = Compiled.of(fn, tmp_path, target=ONE)
    assert "mma_f16(" in str(compiled.source)
    assert "wgmma" not in str(compiled.source)
    arrays = arrays_for(fn)
    (found,) = all_orders(compiled, arrays)
    assert error(found, exact(fn, arrays)) <= 2.0**-10


@pytest.mark.usefixtures("disassembler")
@pytest.mark.parametrize("fn", [attention_bf16.usual, attention_f16.usual], ids=lambda fn: fn.name)
def test_weights_are_found_while_others_are_multiplied(fn: Function) -> None:
    """In the machine code too: between the wait for scores and that for sums."""
    source = CudaSource.of(planned(fn, card())[0], card())
    (name,) = (kernel.name for kernel in source.kernels.values())
    binary = compile_source(source.code, "sm_90a", strict=True)
    loop = [one.opcode for one in listings(sass_text(binary))[name].main_loop()]
    scores, sums, *_ = (at for at, code in enumerate(loop) if code.startswith("WARPGROUP.DEPBAR"))
    assert not any(code.startswith("HGMMA") for code in loop[scores:])
    assert sum(code == "MUFU.EX2" for code in loop[scores:sums]) >= 64


# What is left out is missed


@needs_shim
def test_no_line_that_orders_threads_is_there_for_nothing(tmp_path: Path) -> None:
    """Of steps of which all are whole: what ends the last one is needed by those before only."""
    fn = Case((70, 64), (640, 64), 64).function()
    source = OnShim.of(kernel_of(fn), tmp_path)
    arrays = arrays_for(fn)
    expected = source(*arrays)
    lines = source.ordering()
    assert len(lines) >= 22
    assert all(source(*arrays, order=order).tobytes() == expected.tobytes() for order in ORDERS)
    assert not [
        text for line, text in lines.items() if not source.is_missed(line, expected, *arrays)
    ]
