"""How each convolution of a function is to be computed, and how accurate that is.

Where the choice is left to the compiler, Winograd's algorithms must be worth it by the cost model
and accurate by measurement: what is not gets smaller tiles, or the direct algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum

from ...errors import InputError, check
from ...ir import Constant, Function
from ...location import Location
from ...ops.algorithms.winograd_transform import POINTS
from ...ops.windows.conv import Conv
from ...sizes import static
from ...target import Target
from ...types import f32
from ..schedule.cost.conv_sizes import ConvSizes
from ..schedule.cost.winograd import algorithm_cycles, choose_algorithm
from .accuracy import direct_error, winograd_error

TILES: Mapping[str, int] = {f"winograd{tile}": tile for tile in POINTS}
# Of the largest output. The first is what one may lose to a layer; the second what they may lose
# together, each one's error taken to reach the result in full.
LAYER_LIMIT = 1e-5
MODEL_LIMIT = 1e-4


@dataclass(frozen=True)
class Layer:
    """A convolution, and the algorithm chosen for it; `note` says why it is not another."""

    conv: Conv
    location: Location
    algorithm: str
    is_free: bool  # nobody has asked for this algorithm
    note: str = ""


@dataclass
class Errors:
    """Measured errors; those of the same weights are measured once."""

    found: dict[tuple[object, str], float] = field(default_factory=dict)

    def of(self, conv: Conv, algorithm: str) -> float | None:
        """The error relative to the largest output; None where it is not measured: of other than
        constant filters, or not in f32."""
        if not isinstance(conv.weight.op, Constant) or conv.x.dtype != f32:
            return None
        data = conv.weight.op.value
        key = (data.key(), algorithm)
        if key not in self.found:
            tile = TILES.get(algorithm)
            weight = data.array()
            self.found[key] = winograd_error(weight, tile) if tile else direct_error(weight)
        return self.found[key]

    def sum_of(self, layers: Sequence[Layer]) -> float:
        """What the layers that are not direct may lose together."""
        return fsum(
            self.of(layer.conv, layer.algorithm) or 0.0
            for layer in layers
            if layer.algorithm in TILES
        )


def check_winograd(choice: str | int) -> None:
    """`InputError` for a choice that there is not."""
    names = {"auto", "off", *POINTS}
    check(choice in names, f"winograd is auto, off, 2 or 4, not {choice}", InputError)


def plan_convolutions(
    fn: Function, errors: Errors, *, target: Target, choice: str | int
) -> tuple[Layer, ...]:
    """The algorithm of each convolution in order: by cost and error (`auto`, where none is
    written on it), direct (`off`), or tiles of 2 or 4 where Winograd's algorithm is possible."""
    check_winograd(choice)
    layers = [
        _layer(node.op, node.location, errors, target, choice)
        for node in fn.nodes
        if isinstance(node.op, Conv)
    ]
    while errors.sum_of(layers) > MODEL_LIMIT:
        worst = max(
            (place for place, layer in enumerate(layers) if _may_fall_back(layer)),
            key=lambda place: errors.of(layers[place].conv, layers[place].algorithm) or 0.0,
            default=None,
        )
        if worst is None:
            break
        together = f"the errors of all layers were {errors.sum_of(layers):.1e}"
        layers[worst] = _next(layers[worst], together, errors, target)
    return tuple(layers)


def _layer(
    conv: Conv, location: Location, errors: Errors, target: Target, choice: str | int
) -> Layer:
    written = Layer(conv, location, conv.algorithm, is_free=False)
    if choice == "off":
        return replace(written, algorithm="direct")
    if not applies(conv):
        return written
    if choice in POINTS:
        return replace(written, algorithm=f"winograd{choice}")
    if conv.algorithm != "direct":
        return written
    algorithm = _fastest(conv, TILES, target)
    return _accurate(replace(written, algorithm=algorithm, is_free=True), errors, target)


def _accurate(layer: Layer, errors: Errors, target: Target) -> Layer:
    """The layer, or what it falls back to until that is accurate."""
    while _may_fall_back(layer):
        error = errors.of(layer.conv, layer.algorithm) or 0.0
        if error <= LAYER_LIMIT:
            break
        layer = _next(layer, f"its error was {error:.1e}", errors, target)
    return layer


def _may_fall_back(layer: Layer) -> bool:
    return layer.is_free and layer.algorithm in TILES


def _next(layer: Layer, why: str, errors: Errors, target: Target) -> Layer:
    """The layer with the best of the algorithms of smaller tiles that is accurate."""
    smaller = {name: tile for name, tile in TILES.items() if tile < TILES[layer.algorithm]}
    algorithm = _fastest(layer.conv, smaller, target)
    note = "; ".join(filter(None, (layer.note, f"not {layer.algorithm}: {why}")))
    return _accurate(replace(layer, algorithm=algorithm, note=note), errors, target)


def applies(conv: Conv) -> bool:
    """Whether a convolution can be written out: its filters are transformed at compile time."""
    return (
        conv.has_winograd
        and conv.layout == "nhwc"
        and conv.x.dtype == f32
        and isinstance(conv.weight.op, Constant)
        and conv.x.type.is_static
        and bool(conv.x.type.elements)
    )


def cycles_of(conv: Conv, target: Target) -> Mapping[str, float]:
    """The predicted cycles by algorithm; none where there is no choice."""
    return _cycles(conv, TILES, target) if applies(conv) else {}


def _fastest(conv: Conv, tiles: Mapping[str, int], target: Target) -> str:
    return choose_algorithm(sizes_of(conv), tiles, _cycles(conv, tiles, target), target)


def _cycles(conv: Conv, tiles: Mapping[str, int], target: Target) -> Mapping[str, float]:
    if target.gpu is None:
        return algorithm_cycles(sizes_of(conv), tiles, target)
    from ..schedule.gpu.products.conv_cost import card_cycles  # lazy: what a CPU never needs

    return card_cycles(sizes_of(conv), tiles, target, target.gpu)


def sizes_of(conv: Conv) -> ConvSizes:
    """The sizes that the cost model asks for, of a convolution that can be written out."""
    batch, height, width, outer = static(conv.infer().shape)
    return ConvSizes(batch, height, width, conv.weight.type.static_shape[1], outer)
