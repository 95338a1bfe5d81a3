"""Each wrapper of the card's assembler in a kernel of its own: what a card makes of it is kept, and
the CPU's stand-in for it is held against that.

One warp; each lane has sixteen words of input in registers and, beside those of the other lanes, in
shared memory, and gives sixteen words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlir_lite.backends.cuda.card.device import Device, Launch, Memory
from mlir_lite.backends.cuda.source.kernels import CudaKernel
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Buffer
from mlir_lite.tile.program import Program
from mlir_lite.types import Array, i32

GOLDEN = Path(__file__).parents[2] / "golden" / "cuda" / "wrappers.npz"
LANES, WORDS = 32, 16

_KERNEL = """extern "C" __global__ void __launch_bounds__(32)
{name}_kernel(const int* x, int* y)
{{
    __shared__ __align__(16) int tile[32 * 16];
    __shared__ __align__(16) int other[32 * 16];
    const int lane = threadIdx.x;
    float f[16], g[16];
    unsigned w[16], r[16];
    for (int i = 0; i < 16; ++i) {{
        tile[lane * 16 + i] = x[lane * 16 + i];
        other[lane * 16 + i] = -1;
        w[i] = (unsigned)x[lane * 16 + i];
        f[i] = __int_as_float(x[lane * 16 + i]);
        r[i] = 0;
        g[i] = 0.0f;
    }}
    __syncthreads();
    {body}
    __syncthreads();
    for (int i = 0; i < 16; ++i) y[lane * 16 + i] = {result};
}}"""
_WORDS_OUT, _FLOATS_OUT, _OTHER_OUT = "(int)r[i]", "__float_as_int(g[i])", "other[lane * 16 + i]"


@dataclass(frozen=True)
class WrapperCase:
    """A wrapper's call. `ulps` are how far results may be from the card's: those of sums in an
    order that is not told, and of approximations."""

    name: str
    body: str
    inputs: str  # f32, bf16, f16 or words
    result: str
    ulps: int = 0

    @property
    def kernel(self) -> CudaKernel:
        text = _KERNEL.format(name=self.name, body=self.body, result=self.result)
        buffers = tuple(Buffer(name, i32, (LANES * WORDS,)) for name in ("x", "y"))
        return CudaKernel(f"{self.name}_kernel", text, (1, 1, 1), (LANES, 1, 1), buffers)

    def input(self) -> Array:
        """The words of all lanes, the same ones at any time."""
        random = np.random.default_rng(sum(self.name.encode()))
        count = LANES * WORDS
        if self.inputs == "words":
            return random.integers(-(2**31), 2**31, count).astype(np.int32)
        values = np.float32(4) * random.standard_normal(2 * count).astype(np.float32)
        values[:8] = [0.0, -0.0, np.inf, -np.inf, 1.00390625, 1.01171875, 65519.0, 1e-7]
        if self.inputs == "f32":
            return values[:count].view(np.int32)
        bits = values.view(np.uint32) >> 16  # of bf16, cut off
        if self.inputs == "f16":
            bits = values[8:24].repeat(count // 8)[: 2 * count].astype(np.float16).view(np.uint16)
        return np.ascontiguousarray(bits.astype(np.uint16)).view(np.int32)

    def agrees(self, found: Array, kept: Array) -> bool:
        """Whether words are those that a card gave, as near as they must be."""
        if not self.ulps:
            return np.array_equal(found, kept)
        mine, theirs = found.view(np.float32), kept.view(np.float32)
        with np.errstate(invalid="ignore"):
            near = np.abs(mine - theirs) <= self.ulps * np.spacing(np.maximum(np.abs(theirs), 1))
        return bool(np.all(near | (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))))


def _copies(size: int) -> WrapperCase:
    body = (
        f"cp_async_{size}(&other[lane * 16], &x[lane * 16], {size});\n"
        f"    cp_async_{size}(&other[lane * 16 + 8], &x[lane * 16 + 8], lane % 2 * {size});\n"
        "    cp_async_commit();\n    cp_async_wait<0>();"
    )
    return WrapperCase(f"copies_{size}", body, "words", _OTHER_OUT)


def _narrow(kind: str) -> list[WrapperCase]:
    finite = "bf16" if kind == "bf16" else "f16"
    product = f"for (int i = 0; i < 4; ++i) g[i] = (float)i;\n    mma_{kind}(g, w, w + 4);"
    sums = f"row_sums_{kind}(g, w);"
    to = f"for (int i = 0; i < 16; ++i) r[i] = {kind}_bits(f[i]) | {kind}_bits((double)f[i]) << 16;"
    back = f"for (int i = 0; i < 16; ++i) g[i] = {kind}_value((unsigned short)(w[i] >> 16));"
    pairs = f"narrow_{kind}(r, f); narrow_{kind}(r + 4, f + 8);"
    loads = f"load_{kind}<4>(g, (const unsigned short*)&x[lane * 16]);"
    stores = f"store_{kind}<4>((unsigned short*)&other[lane * 16], f);"
    return [
        WrapperCase(f"product_{kind}", product, finite, _FLOATS_OUT, ulps=64),
        WrapperCase(f"sums_{kind}", sums, finite, _FLOATS_OUT, ulps=64),
        WrapperCase(f"to_{kind}", to, "f32", _WORDS_OUT),
        WrapperCase(f"from_{kind}", back, "words", _FLOATS_OUT),
        WrapperCase(f"pairs_{kind}", pairs, "f32", _WORDS_OUT),
        WrapperCase(f"loads_{kind}", loads, finite, _FLOATS_OUT),
        WrapperCase(f"stores_{kind}", stores, "f32", _OTHER_OUT),
    ]


_TF32 = "for (int i = 0; i < 16; ++i) f[i] = to_tf32(f[i]);"

CASES: tuple[WrapperCase, ...] = (
    *map(_copies, (4, 8, 16)),
    WrapperCase("matrices", "load_matrices(r, &tile[lane * 16]);", "words", _WORDS_OUT),
    WrapperCase("turned", "load_matrices_turned(r, &tile[lane * 16]);", "words", _WORDS_OUT),
    WrapperCase("matrices_f32", "load_matrices_f32(g, &tile[lane * 16]);", "f32", _FLOATS_OUT),
    WrapperCase("rounded_tf32", f"{_TF32}\n    for (int i = 0; i < 16; ++i) g[i] = f[i];", "f32",
                _FLOATS_OUT),
    WrapperCase("product_tf32", f"{_TF32}\n    for (int i = 0; i < 4; ++i) g[i] = (float)i;\n"
                "    mma_tf32(g, f, f + 4);", "f32", _FLOATS_OUT, ulps=64),
    *_narrow("bf16"),
    *_narrow("f16"),
    WrapperCase("runs", "quad_runs<4>(g, f);", "f32", _FLOATS_OUT),
    WrapperCase(
        "short_runs", "quad_runs<2>(g, f); quad_runs<2>(g + 8, f + 8);", "f32", _FLOATS_OUT
    ),
    WrapperCase("maxima", "maxima_f32(g, f);", "f32", _FLOATS_OUT),
    WrapperCase("quad_maxima", "for (int i = 0; i < 2; ++i) g[i] = f[i];\n"
                "    quad_maxima_f32(g);", "f32", _FLOATS_OUT),
    WrapperCase("powers", "powers_f32(g, f);", "f32", _FLOATS_OUT, ulps=4),
    WrapperCase(
        "shuffled",
        "for (int i = 0; i < 5; ++i) r[i] = __shfl_xor_sync(0xffffffffu, w[i], 1 << i);",
        "words",
        _WORDS_OUT,
    ),
    WrapperCase("neighbours", "load_neighbours<4>(g, (const float*)&x[lane * 16]);\n"
                "    store_neighbours<4>((float*)&other[lane * 16], g);", "f32", _OTHER_OUT),
)  # fmt: skip


def run_cases(device: Device, cases: Sequence[WrapperCase], target: Target) -> Mapping[str, Array]:
    """What the device makes of the cases' inputs."""
    program = Program("wrappers", (), (), (), (), ())
    kernels = {case.name: case.kernel for case in cases}
    source = CudaSource(program, target, kernels)
    device.enter()
    loaded = device.load(device.build(source), kernels)
    stream = device.stream()
    found: dict[str, Array] = {}
    for case in cases:
        words = case.input()
        x, y = Memory(stream, words.nbytes), Memory(stream, words.nbytes)
        stream.upload(x.address, words)
        stream.launch(Launch(loaded[case.name], (x.address, y.address)))
        found[case.name] = result = np.empty_like(words)
        stream.download(y.address, result)
    return found
