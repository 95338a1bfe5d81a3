"""Convolutions by warpgroups: patches of images that come as boxes, with zeros around them, in the
interpreter and from source on the CPU. Cards of one multiprocessor take large tiles for small
shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f16, f32
from mlir_lite.passes.schedule.gpu.products.patches import patch_of, with_boxes
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.types import DType

from ..compiled import Compiled, all_orders, card, planned
from ..shim import needs_shim
from .test_warpgroup_kernels import CONVOLUTION, contraction_of
from .test_warpgroups import arrays_for, check


@dataclass(frozen=True)
class Case:
    """A convolution, channels last, of images by filters of so many taps along each axis."""

    dtype: DType
    image: tuple[int, ...]  # batch, places, channels
    filters: int
    taps: tuple[int, ...]
    padding: int | tuple[int | tuple[int, int], ...] = 0
    strides: int | tuple[int, ...] = 1
    dilations: int = 1
    box: str = ""  # that a patch comes as

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.image, (self.filters, self.image[-1], *self.taps)

    def function(self) -> Function:
        """The convolution, with a bias, a rest that is added, and ReLU."""
        image, weight = (self.dtype[shape] for shape in self.shapes)

        def conv(x: Value, w: Value) -> Value:
            return ml.conv(
                x, w, padding=self.padding, strides=self.strides, dilations=self.dilations,
                layout="nhwc",
            )  # fmt: skip

        shape = ml.function(image, weight)(conv).results[0].type.static_shape

        @ml.function(image, weight, self.dtype[shape[-1:]], self.dtype[shape], name="fused")
        def fused(x: Value, w: Value, b: Value, more: Value) -> Value:
            return ml.relu(conv(x, w) + b + more)

        return fused

    @property
    def target(self) -> Target:
        return card(multiprocessors=1, factors="tf32" if self.dtype == f32 else "f32")


CASES = {
    "padded": Case(bf16, (2, 15, 14, 120), 72, (3, 3), 1, box="bulk_bf16x"),
    "by steps of two": Case(f16, (3, 15, 13, 64), 72, (3, 3), 1, 2, box="_by1x2x2"),
    "one tap by steps": Case(bf16, (8, 11, 15, 184), 136, (1, 1), 0, 2, box="_by1x2x2"),
    "taps apart": Case(
        bf16, (1, 14, 17, 64), 64, (3, 2), ((2, 1), (0, 3)), (1, 3), 2, box="_by1x3"
    ),
    "a row": Case(f16, (3, 125, 64), 136, (5,), 2, box="bulk_f16x"),
    "many images": Case(bf16, (127, 3, 1, 64), 72, (3, 1), (1, 0), box="bulk_bf16x64x1x1"),
    "tf32": Case(f32, (2, 29, 29, 60), 72, (3, 3), 1, 2, box="_by1x2x2"),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@each_case
def test_schedules_compute_the_reference(case: Case) -> None:
    fn = case.function()
    program, constants = planned(fn, case.target)
    (kernel,) = [kernel for kernel in program.kernels if "call @wgmma" in str(kernel)]
    assert case.box in str(kernel)
    verify_kernel(kernel)
    assert parse_kernel(str(kernel)) == kernel
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@needs_shim
@each_case
def test_source_computes_the_reference(case: Case, tmp_path: Path) -> None:
    fn = case.function()
    arrays = arrays_for(fn)
    check(all_orders(Compiled.of(fn, tmp_path, target=case.target), arrays), fn, arrays)


@pytest.mark.parametrize(
    ("extents", "steps", "patch"),
    [
        ((16, 56, 56), (1, 1, 1), (1, 8, 8)),
        ((64, 7, 7), (1, 1, 1), (64, 1, 1)),
        ((1, 7, 7), (1, 1, 1), (1, 8, 8)),
        ((1, 1, 100), (1, 1, 8), (1, 2, 32)),  # an axis of a box has 256 places
    ],
)
def test_as_few_patches_as_can_be_cover_the_images(
    extents: tuple[int, ...], steps: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    assert patch_of(extents, steps) == patch


UNFIT = {
    "a row that is left out, though it is there": ("k - 1 >= 0", "k - 2 >= 0"),
    "rows of no sixteen bytes": ("72", "68"),
    "channels that go on": ("for c in 0..72", "for c in 0..64"),
    "an axis that moves with two loops": ("j + l, c]", "i + j + l - i, c]"),
    "taps that are left out": ("j + l < 7", "j + l < 7 and l < 1"),
    "steps of more than eight": ("i * 2 + k", "i * 9 + k"),
}


@pytest.mark.parametrize("change", UNFIT.values(), ids=UNFIT.keys())
def test_what_the_engine_cannot_bring_is_known(change: tuple[str, str]) -> None:
    assert with_boxes(contraction_of(CONVOLUTION)) is not None
    assert change[0] in CONVOLUTION
    assert with_boxes(contraction_of(CONVOLUTION.replace(*change))) is None


def test_convolutions_that_do_not_fit_go_by_warps() -> None:
    """Three channels, of which no run of sixteen bytes is all."""
    images, filters = bf16[8, 224, 224, 3], bf16[64, 3, 7, 7]
    first = ml.function(images, filters)(
        lambda x, w: ml.conv(x, w, strides=2, padding=3, layout="nhwc")
    )
    text = "".join(map(str, planned(first, card())[0].kernels))
    assert "call @mma_bf16" in text and "wgmma" not in text


@needs_shim
def test_no_threads_race_and_no_banks_conflict(tmp_path: Path) -> None:
    case = CASES["by steps of two"]
    fn = case.function()
    compiled = Compiled.of(fn, tmp_path, target=case.target, watched=True)
    arrays = arrays_for(fn)
    check(compiled(*arrays), fn, arrays)
    counts = compiled.device.counts()
    assert counts.passes == counts.least_passes
