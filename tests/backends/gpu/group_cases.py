"""Each product of warpgroups in a kernel of its own, with all that brings its matrices: boxes by
the card's engine, barriers, registers that move from one warpgroup to another.

The factors are small whole numbers, so that any order of the sums gives the same: a card is held
against exact products.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from mlir_lite.backends.cuda.card.device import Device, Launch, Memory
from mlir_lite.backends.cuda.source.kernels import emit_kernel
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.passes.schedule.gpu.products.contraction import as_contraction
from mlir_lite.passes.schedule.gpu.products.warpgroup_tile import WarpgroupTile
from mlir_lite.passes.schedule.gpu.products.warpgroups import by_warpgroups
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.program import Program
from mlir_lite.types import Array, DType, bf16, f16, f32

ROWS, COLUMNS, TERMS = 72, 88, 200  # whole tiles, and a part of one more
SIDES = (64, 128, 256)  # columns of a product

_TEXT = """
kernel @{name}(%x: {dtype}[{left}], %w: {dtype}[{right}], %y: out f32[{result}]) {{
  buffer acc: register f32[]
  {loops}
        acc[] = 0.0
        for k in 0..{terms} {{
          acc[] += {wide}(x[{x}]) * {wide}(w[{w}])
        }}
        y[{y}] = acc[]
  {ends}
}}
"""


@dataclass(frozen=True)
class GroupCase:
    """A product of factors of a type by so many columns, each factor with its terms side by side
    or, `turned`, its rows or columns; of matrices along so many leading axes of two."""

    dtype: DType
    columns: int
    turned: tuple[bool, bool]
    batch: int = 0
    groups: int = 1

    @property
    def name(self) -> str:
        left, right = self.turned
        ends = "_left" * left + "_right" * right
        return f"product_{self.dtype}_{self.columns}{ends}"

    @property
    def kernel(self) -> Kernel:
        outer = {f"b{axis}": 2 for axis in range(self.batch)}
        own, other = self._axes
        text = _TEXT.format(
            name=self.name,
            dtype=self.dtype,
            wide="tf32" if self.dtype == f32 else "f32",
            terms=TERMS,
            left=_joined(*outer.values(), *own.values()),
            right=_joined(*outer.values(), *other.values()),
            result=_joined(*outer.values(), ROWS, COLUMNS),
            x=_joined(*outer, *own),
            w=_joined(*outer, *other),
            y=_joined(*outer, "m", "n"),
            loops=" ".join(f"for {axis} in 0..{size} {{" for axis, size in _loops(outer)),
            ends="}" * (self.batch + 2),
        )
        naive = parse_kernel(text)
        params = tuple(replace(param, alignment=16) for param in naive.params)
        found = as_contraction(replace(naive, params=params))
        assert found is not None
        return by_warpgroups(found, WarpgroupTile(self.groups, 1, self.columns, dtype=self.dtype))

    @property
    def _axes(self) -> tuple[dict[str, int], dict[str, int]]:
        """The axes of the factors in their order."""
        left, right = self.turned
        x, w = {"m": ROWS, "k": TERMS}, {"n": COLUMNS, "k": TERMS}
        return (_reversed(x) if left else x), (_reversed(w) if right else w)

    def factors(self) -> tuple[Array, ...]:
        """Matrices as the kernel takes them."""
        random = np.random.default_rng(0)
        lead = (2,) * self.batch
        return tuple(
            random.integers(-8, 9, (*lead, *axes.values())).astype(self.dtype.numpy)
            for axes in self._axes
        )

    def exact(self) -> Array:
        """Their product, which is at most 200 * 64."""
        x, w = (array.astype(np.float32) for array in self.factors())
        left, right = self.turned
        first = np.swapaxes(x, -1, -2) if left else x
        second = w if right else np.swapaxes(w, -1, -2)
        return np.asarray(first @ second)


def _loops(outer: dict[str, int]) -> Iterable[tuple[str, int]]:
    return (outer | {"m": ROWS, "n": COLUMNS}).items()


def _joined(*parts: object) -> str:
    return ", ".join(map(str, parts))


def _reversed(axes: dict[str, int]) -> dict[str, int]:
    return dict(reversed(axes.items()))


_GROUPS = {64: 2, 128: 2, 256: 1}  # of warps that multiply; two move registers

CASES: tuple[GroupCase, ...] = (
    *(
        GroupCase(dtype, columns, turned, batch, _GROUPS[columns])
        for (dtype, batch), columns, turned in product(
            ((bf16, 0), (f16, 1)), SIDES, product((False, True), (False, True))
        )
    ),
    *(
        GroupCase(f32, columns, (False, False), batch, _GROUPS[columns])
        for columns, batch in zip(SIDES, (2, 3, 0), strict=True)
    ),
)


def source_of(cases: tuple[GroupCase, ...], target: Target) -> CudaSource:
    """The kernels of cases, by their names."""
    kernels = {case.name: emit_kernel(case.kernel) for case in cases}
    return CudaSource(Program("products", (), (), (), (), ()), target, kernels)


def run_case(device: Device, case: GroupCase, target: Target) -> Array:
    """What the device makes of a case."""
    source = source_of((case,), target)
    device.enter()
    loaded = device.load(device.build(source), source.kernels)
    stream = device.stream()
    result = np.full((*(2,) * case.batch, ROWS, COLUMNS), np.nan, np.float32)
    arrays = (*case.factors(), result)
    memory = [Memory(stream, array.nbytes) for array in arrays]
    for place, array in zip(memory, arrays, strict=True):
        stream.upload(place.address, array)
    addresses = tuple(place.address for place in memory)
    stream.launch(Launch(loaded[case.name], addresses))
    stream.download(addresses[-1], result)
    return result
