"""Times gradients of convolutions against the convolutions, from the folder `tests`:

  python -m benchmark.gradients --threads 1,2

Layers of ResNet-50, MobileNetV2 and LeNet, of 16 images with their channels last and weights given
at each call: the convolution, the gradient of its input alone, and that of its weight alone, all
by the direct algorithm. All three have the same operations; the share is the gradient's rate over
the convolution's. The error is the largest of the three, against float64.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.cli.counting import matrix_flops
from mlir_lite.cli.layout import seconds_text
from mlir_lite.cli.runners import Here, relative_error
from mlir_lite.ir import results_of
from mlir_lite.types import Array

from .layers import Convolution
from .measure import Timing, median_seconds
from .options import add_rounds
from .report import beside, markdown_table
from .workload import normal

IMAGES = 16
FORWARD, INPUT, WEIGHT = "forward", "input's", "weight's"

LAYERS: Mapping[str, Convolution] = MappingProxyType(
    {
        layer.name: layer
        for layer in (
            Convolution(3, 64, 7, 224, stride=2),
            Convolution(64, 64, 3, 56),
            Convolution(128, 128, 3, 28),
            Convolution(256, 256, 3, 14),
            Convolution(512, 512, 3, 7),
            Convolution(128, 128, 3, 56, stride=2),
            Convolution(256, 64, 1, 56),
            Convolution(64, 256, 1, 56),
            Convolution(512, 128, 1, 28),
            Convolution(512, 2048, 1, 7),
            Convolution(144, 144, 3, 56, stride=2, depthwise=True),
            Convolution(384, 384, 3, 14, depthwise=True),
            Convolution(960, 960, 3, 7, depthwise=True),
            Convolution(1, 6, 5, 28),
            Convolution(6, 16, 5, 14),
        )
    }
)


def functions(layer: Convolution, images: int) -> dict[str, Function]:
    """The convolution of `x` and `weight`, and each gradient of these and of `dy`."""
    weight, _ = layer.weights()
    operands = f32[images, layer.size, layer.size, layer.inputs], f32[weight.shape]

    @ml.function(*operands)
    def convolution(x: Value, weight: Value) -> Value:
        return layer.of(x, weight)

    [y] = convolution.results

    def gradient(name: str) -> Function:
        pulled = ml.vjp(convolution, wrt=(name,))

        @ml.function(*operands, y.type, name=f"gradient_of_{name}")
        def alone(x: Value, weight: Value, dy: Value) -> Value:
            return pulled(x, weight, dy)[1]

        return alone

    return {FORWARD: convolution, INPUT: gradient("x"), WEIGHT: gradient("weight")}


def arrays(layer: Convolution, images: int) -> tuple[Array, Array, Array]:
    """`x`, `weight` and `dy`."""
    weight, _ = layer.weights()
    outer = -(-layer.size // layer.stride)
    x = normal(images, layer.size, layer.size, layer.inputs)
    return x, weight, normal(images, outer, outer, layer.outputs, seed=2)


def in_float64(layer: Convolution, images: int) -> dict[str, Array]:
    """The three results by products with a matrix of all windows."""
    x, weight, dy = (array.astype(np.float64) for array in arrays(layer, images))
    half, step, taps = layer.window // 2, layer.stride, (layer.window, layer.window)
    padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    every = np.lib.stride_tricks.sliding_window_view(padded, taps, (1, 2))
    windows = every[:, ::step, ::step]
    filters, outer = ("crs", "c") if layer.depthwise else ("kcrs", "k")
    weight = weight[:, 0] if layer.depthwise else weight
    einsum = partial(np.einsum, optimize=True)
    y = einsum(f"nhwcrs,{filters}->nhw{outer}", windows, weight)
    by_weight = einsum(f"nhw{outer},nhwcrs->{filters}", dy, windows)
    by_window = einsum(f"nhw{outer},{filters}->nhwcrs", dy, weight)
    by_padded = np.zeros_like(padded)
    for row, column in np.ndindex(taps):
        ends = row + (dy.shape[1] - 1) * step + 1, column + (dy.shape[2] - 1) * step + 1
        by_padded[:, row : ends[0] : step, column : ends[1] : step] += by_window[..., row, column]
    by_x = by_padded[:, half : half + layer.size, half : half + layer.size]
    return {FORWARD: y, INPUT: by_x, WEIGHT: by_weight.reshape(arrays(layer, images)[1].shape)}


def measured(
    layer: Convolution, wanted: Mapping[str, Array], threads: int, repeat: int
) -> dict[str, Timing]:
    """The convolution and its gradients, by name."""
    images = len(wanted[FORWARD])
    given = arrays(layer, images)
    runners = {}
    for name, fn in functions(layer, images).items():
        run = ml.compile(fn, threads=threads, winograd="off")
        operands = given[: len(fn.params)]
        runners[name] = Here(partial(_call, run, operands))
    errors = {
        name: relative_error(each.results(), [wanted[name]]) for name, each in runners.items()
    }
    seconds = median_seconds(runners, repeat)
    return {name: Timing(seconds[name], errors[name]) for name in runners}


def _call(run: ml.Executable, operands: Sequence[Array]) -> Sequence[Array]:
    return results_of(run(*operands))


def cells(layer: Convolution, threads: int, found: Mapping[str, Timing], flops: int) -> list[str]:
    """A line of the table."""
    row = [layer.name, str(threads)]
    for name, timing in found.items():
        row += [seconds_text(timing.seconds), f"{flops / timing.seconds / 1e9:.0f}"]
        if name != FORWARD:
            row.append(f"{found[FORWARD].seconds / timing.seconds:.0%}")
    return [*row, f"{max(timing.error for timing in found.values()):.1e}"]


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="benchmark.gradients", description=__doc__)
    add_rounds(parser)
    parser.add_argument("--layers", default=",".join(LAYERS), help="which of them")
    args = parser.parse_args(argv)
    rows = [["layer", "threads", FORWARD, "GFLOP/s"]]
    rows[0] += [*(head for name in (INPUT, WEIGHT) for head in (name, "GFLOP/s", "share")), "error"]
    for name in args.layers.split(","):
        layer = LAYERS[name]
        wanted = in_float64(layer, IMAGES)
        flops = matrix_flops(functions(layer, IMAGES)[FORWARD])
        for threads in args.threads:
            print(f"{name}, {threads}t …", file=sys.stderr, flush=True)
            found = measured(layer, wanted, threads, args.repeat)
            rows.append(cells(layer, threads, found, flops))
    print(markdown_table(beside(rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
