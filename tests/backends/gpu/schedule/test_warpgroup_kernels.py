"""Single kernels of warpgroups: operands as they may lie, factors that are rounded before; and that
nothing in them that orders threads is there for nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, bf16, f32
from mlir_lite.backends.cuda.source.kernels import CudaKernel, emit_kernel
from mlir_lite.errors import UnsupportedError, VerifyError
from mlir_lite.expr import FUNCTIONS
from mlir_lite.passes.schedule.gpu.products.contraction import Contraction, as_contraction
from mlir_lite.passes.schedule.gpu.products.patches import with_boxes
from mlir_lite.passes.schedule.gpu.products.rounding import made_ready
from mlir_lite.passes.schedule.gpu.products.warpgroup_tile import WarpgroupTile
from mlir_lite.passes.schedule.gpu.products.warpgroups import by_warpgroups
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.instructions.barriers import ARRIVE, ARRIVE_WARPS, INIT
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.machine import Completion, Order
from mlir_lite.tile.nodes import Await, Block, Call, Kernel, Stmt, Sync, Wait
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.traverse import map_blocks, walk
from mlir_lite.types import Array

from ..compiled import card, planned
from ..shim import ORDERS, ShimDevice, build, needs_shim, unit_text

RIGHT_TURNED = """
kernel @right_turned(%x: bf16[130, 200], %w: bf16[72, 200], %y: out f32[130, 72]) {
  buffer acc: register f32[]
  for m in 0..130 {
    for n in 0..72 {
      acc[] = 0.0
      for k in 0..200 {
        acc[] += f32(x[m, k]) * f32(w[n, k])
      }
      y[m, n] = acc[]
    }
  }
}
"""
TILE = WarpgroupTile(2, 1, 128)


def contraction_of(text: str) -> Contraction:
    """The product that a naive kernel is, on arrays that lie as the engine needs them."""
    naive = parse_kernel(text)
    params = tuple(replace(param, alignment=16) for param in naive.params)
    found = as_contraction(replace(naive, params=params))
    assert found is not None
    return found


def factors() -> tuple[Array, Array, Array]:
    """Two narrow matrices, and the product of one and the other's transpose."""
    random = np.random.default_rng(0)
    x, w = (random.standard_normal(shape).astype(bf16.numpy) for shape in ((130, 200), (72, 200)))
    return x, w, x.astype(np.float64) @ w.astype(np.float64).T


def close(found: Array, exact: Array) -> None:
    # Sums of 200 products in f32.
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-4)


@dataclass(frozen=True)
class OnShim:
    """A kernel's source on the CPU; the last parameter is its result."""

    made: CudaKernel
    device: ShimDevice

    @staticmethod
    def of(kernel: Kernel, folder: Path, change: tuple[str, str] = ("", "")) -> OnShim:
        """Its source, in which a text that is there may be changed for another."""
        made = emit_kernel(kernel)
        text = unit_text([made])
        assert change[0] in text
        changed = text.replace(*change) if change[0] else text
        return OnShim(made, ShimDevice(build(changed, folder, kernel.name)))

    def __call__(self, *arrays: Array, order: str = "ascending", without: int = 0) -> Array:
        device = replace(self.device, order=order, without=without, memory={})
        result = np.empty(self.made.params[-1].shape, self.made.params[-1].dtype.numpy)
        places = [device.allocate(array.nbytes) for array in (*arrays, result)]
        for place, array in zip(places, arrays, strict=False):
            device.upload(place, array)
        device.launch(self.made, places)
        device.download(places[-1], result)
        return result

    def ordering(self) -> dict[int, str]:
        """The lines of the source that order threads, by number."""
        lines = enumerate(unit_text([self.made]).splitlines(), start=1)
        return {number: line for number, line in lines if ORDERING.search(line)}

    def is_missed(self, line: int, expected: Array, *arrays: Array) -> bool:
        """Whether without a line some order of threads gives another result, or is refused."""
        for order in ORDERS:
            try:
                found = self(*arrays, order=order, without=line)
            except AssertionError:
                return True
            if found.tobytes() != expected.tobytes():
                return True
        return False


@needs_shim
@pytest.mark.parametrize("tile", [TILE, WarpgroupTile(1, 2, 64)], ids=["rows once", "rows twice"])
def test_right_operands_may_have_their_terms_side_by_side(
    tile: WarpgroupTile, tmp_path: Path
) -> None:
    kernel = by_warpgroups(contraction_of(RIGHT_TURNED), tile)
    assert f"call @wgmma_m64n{tile.columns}k16_bf16(" in str(kernel)
    x, w, exact = factors()
    close(run_kernel(kernel, {"x": x, "w": w})["y"], exact)
    close(OnShim.of(kernel, tmp_path)(x, w), exact)


WRONG = {  # what a descriptor says of a matrix
    "array": ("(shared_place(array) & 0x3ffff) >> 4", "(shared_place(array) & 0x3ffff) >> 5"),
    "first": ("(first * (int)sizeof(T)) >> 4", "(first * (int)sizeof(T)) >> 5"),
    "leading offset": ("(step >> 4) << 16", "(step >> 5) << 16"),
    "stride offset": ("64ull << 32", "32ull << 32"),
    "swizzle": ("1ull << 62", "2ull << 62"),
}


@needs_shim
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_descriptor_is_noticed(change: tuple[str, str], tmp_path: Path) -> None:
    text = RIGHT_TURNED.replace("bf16[72, 200]", "bf16[200, 72]").replace("w[n, k]", "w[k, n]")
    kernel = by_warpgroups(contraction_of(text), TILE)
    x, w, exact = factors()
    turned = np.ascontiguousarray(w.T)
    (tmp_path / "right").mkdir()
    close(OnShim.of(kernel, tmp_path / "right")(x, turned), exact)
    with pytest.raises(AssertionError):
        close(OnShim.of(kernel, tmp_path, change)(x, turned), exact)


def test_a_box_that_ends_elsewhere_than_its_array_has_no_source() -> None:
    text = str(by_warpgroups(contraction_of(RIGHT_TURNED), TILE))
    assert "; left.first, 130, " in text
    shorter = parse_kernel(text.replace("; left.first, 130, ", "; left.first, 129, "))
    with pytest.raises(UnsupportedError, match="'bulk_bf16x128' ends elsewhere than 'x' does"):
        emit_kernel(shorter)


def test_tiles_in_another_order_than_boxes_have_no_source() -> None:
    kernel = by_warpgroups(contraction_of(RIGHT_TURNED), TILE)
    left, *others = kernel.locals
    plain = replace(kernel, locals=(replace(left, layout=None), *others))
    with pytest.raises(UnsupportedError, match="'left' is not laid out as boxes are"):
        emit_kernel(plain)


def test_factors_of_f32_are_made_ready_before_they_are_multiplied() -> None:
    text = RIGHT_TURNED.replace("x: bf16", "x: f32").replace("f32(x[m, k])", "f32(bf16(x[m, k]))")
    once = made_ready(contraction_of(text), rounds_tf32=False)
    (rounding,) = once.kernels
    assert with_boxes(once.contraction) is not None
    kernel = by_warpgroups(once.contraction, TILE)
    x, w, exact = factors()
    (near,) = run_kernel(rounding, {"x": x.astype(np.float32)}).values()
    close(run_kernel(kernel, {"x.bf16": near, "w": w})["y"], exact)


BOTH_TURNED = """
kernel @both_turned(%x: f32[2, 100, 72], %w: f32[2, 100, 40], %y: out f32[2, 72, 40]) {
  buffer acc: register f32[]
  for b in 0..2 {
    for m in 0..72 {
      for n in 0..40 {
        acc[] = 0.0
        for k in 0..100 {
          acc[] += tf32(x[b, k, m]) * tf32(w[b, k, n])
        }
        y[b, m, n] = acc[]
      }
    }
  }
}
"""


def test_factors_of_f32_are_turned_once_where_their_terms_are_not_neighbours() -> None:
    contraction = contraction_of(BOTH_TURNED)
    assert with_boxes(contraction) is None
    ready = made_ready(contraction, rounds_tf32=False)
    assert with_boxes(ready.contraction) is not None
    kernel = by_warpgroups(ready.contraction, WarpgroupTile(1, 1, 64, dtype=f32))
    verify_kernel(kernel)
    random = np.random.default_rng(0)
    x, w = (random.standard_normal((2, 100, n)).astype(np.float32) for n in (72, 40))
    turned: dict[str, Array] = {}
    for turning, (name, array) in zip(ready.kernels, {"x": x, "w": w}.items(), strict=True):
        turned |= run_kernel(turning, {name: array})
    one, other = (FUNCTIONS["tf32_even"].evaluate(array).astype(np.float64) for array in (x, w))
    close(run_kernel(kernel, turned)["y"], one.swapaxes(1, 2) @ other)


@ml.function(f32[2048, 2048], f32[2048, 2048])
def allowed(x: Value, w: Value) -> Value:
    return x @ w


def test_precision_rounds_factors_once_where_warpgroups_then_pay() -> None:
    target = card()
    assert target.gpu is not None
    target = replace(target, gpu=replace(target.gpu, factors="bf16"))
    kernels = planned(allowed, target)[0].kernels
    assert [kernel.params[0].dtype for kernel in kernels] == [f32, f32, bf16]
    assert "call @wgmma" in str(kernels[-1])
    for kernel in kernels:
        verify_kernel(kernel)


def test_tiles_that_are_multiplied_at_once_are_near_each_other() -> None:
    text = RIGHT_TURNED.replace("200", "64").replace("130", "250").replace("72", "200")
    kernel = by_warpgroups(contraction_of(text), WarpgroupTile(1, 1, 128, blocks=2))
    assert "tile mod 2 * 64" in str(kernel)  # two rows of tiles before the next columns
    verify_kernel(kernel)
    random = np.random.default_rng(0)
    x, w = (random.standard_normal(shape).astype(bf16.numpy) for shape in ((250, 64), (200, 64)))
    exact = x.astype(np.float64) @ w.astype(np.float64).T
    close(run_kernel(kernel, {"x": x, "w": w})["y"], exact)


# What is left out is missed


LONG = (
    RIGHT_TURNED.replace("200", "328").replace("130", "70").replace("72", "40")
    .replace("bf16[40, 328]", "bf16[328, 40]").replace("w[n, k]", "w[k, n]")
)  # fmt: skip
CONVOLUTION = """
kernel @convolution(%x: bf16[2, 9, 7, 72], %w: bf16[3, 2, 72, 40], %y: out f32[2, 5, 7, 40]) {
  buffer acc: register f32[]
  for b in 0..2 {
    for i in 0..5 {
      for j in 0..7 {
        for n in 0..40 {
          acc[] = 0.0
          for k in 0..3 {
            for l in 0..2 {
              if i * 2 + k - 1 >= 0 and i * 2 + k - 1 < 9 and j + l < 7 {
                for c in 0..72 {
                  acc[] += f32(x[b, i * 2 + k - 1, j + l, c]) * f32(w[k, l, c, n])
                }
              }
            }
          }
          y[b, i, j, n] = acc[]
        }
      }
    }
  }
}
"""


@dataclass(frozen=True)
class Subject:
    """A kernel by warpgroups whose ordering is left out, piece by piece."""

    text: str
    tile: WarpgroupTile

    @property
    def kernel(self) -> Kernel:
        return by_warpgroups(contraction_of(self.text), self.tile)

    @property
    def arrays(self) -> dict[str, Array]:
        random = np.random.default_rng(0)
        params = parse_kernel(self.text).params[:2]
        return {
            param.name: random.standard_normal(param.shape).astype(bf16.numpy) for param in params
        }

    @property
    def exact(self) -> Array:
        x, w = (array.astype(np.float64) for array in self.arrays.values())
        if self.text == LONG:
            return np.asarray(x @ w)
        padded = np.pad(x, ((0, 0), (1, 1), (0, 1), (0, 0)))
        taps = [
            padded[:, down : down + 9 : 2, along : along + 7] @ w[down, along]
            for down in range(3)
            for along in range(2)
        ]
        return np.asarray(sum(taps))


SUBJECTS = {
    "a tile a block": Subject(LONG, WarpgroupTile(1, 1, 64)),
    "tiles in turns": Subject(LONG, WarpgroupTile(1, 1, 64, blocks=1)),
    "patches of images": Subject(CONVOLUTION, WarpgroupTile(1, 1, 64, blocks=1)),
}
each_subject = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())


def without(kernel: Kernel, number: int) -> Kernel:
    """The kernel without one statement that only orders others, by its number among all."""
    counter = iter(range(1_000))

    def kept(block: Block) -> Block:
        return tuple(
            map_blocks(stmt, kept)
            for stmt in block
            if not _orders(stmt) or next(counter) != number
        )

    return kernel.with_body(kept(kernel.body))


def _orders(stmt: Stmt) -> bool:
    if isinstance(stmt, Call):
        return stmt.callee in (INIT, ARRIVE, ARRIVE_WARPS)
    return isinstance(stmt, Await | Wait | Sync)


def differs(kernel: Kernel, arrays: dict[str, Array], expected: dict[str, Array]) -> bool:
    """Whether a kernel gives something else, or nothing, in some order of what may come in any."""
    orders: tuple[Order, ...] = ("ascending", "descending")
    completions: tuple[Completion, ...] = ("late", "early")
    for order in orders:
        for completion in completions:
            try:
                found = run_kernel(kernel, arrays, order=order, asynchronous=completion)
            except VerifyError:
                return True
            if any(found[name].tobytes() != expected[name].tobytes() for name in expected):
                return True
    return False


@each_subject
def test_the_interpreter_misses_whatever_orders_the_threads(subject: Subject) -> None:
    kernel, arrays = subject.kernel, subject.arrays
    expected = run_kernel(kernel, arrays)
    close(expected["y"], subject.exact)
    assert not differs(kernel, arrays, expected)
    count = sum(_orders(stmt) for stmt in walk(kernel.body))
    assert count >= 9
    unnoticed = [
        number
        for number in range(count)
        if not differs(without(kernel, number), arrays, expected)
    ]
    assert not unnoticed


ORDERING = re.compile(
    r"__syncthreads|barrier_(init|wait|expect)|arrive_warps|wgmma_(fence|commit|wait)|fence_async"
)


@needs_shim
@each_subject
def test_no_line_that_orders_threads_is_there_for_nothing(
    subject: Subject, tmp_path: Path
) -> None:
    source = OnShim.of(subject.kernel, tmp_path)
    arrays = tuple(subject.arrays.values())
    expected = source(*arrays)
    close(expected, subject.exact)
    lines = source.ordering()
    assert len(lines) >= 12
    assert all(source(*arrays, order=order).tobytes() == expected.tobytes() for order in ORDERS)
    assert not [
        text for line, text in lines.items() if not source.is_missed(line, expected, *arrays)
    ]
