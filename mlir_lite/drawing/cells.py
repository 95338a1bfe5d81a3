"""Cells of layers, boxes and bends of wires, put into order and into places."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_ORDERINGS = 12  # sweeps down and up that look for fewer crossings
_PLACINGS = 16
_STRAIGHT = 6.0  # how much straighter than others wires are between bends, on the longest path
_LEAST_GAP = 30.0  # between layers, and more where a wire goes far aside
_PORT_GAP = 16.0  # below ports, which have no label
_MOST_GAP = 64.0
_ASIDE = 14.0  # between boxes of a layer


@dataclass(frozen=True)
class Size:
    """Of a box in points; `label` is how far text below it goes to the right of its centre."""

    width: float
    height: float
    label: float = 0.0


@dataclass(eq=False)
class Cell:
    """A box or a bend in its layer. `up` and `down` are its neighbours, with where the wire meets
    this cell and them, from the centres."""

    size: Size
    straight: bool = False  # of a bend, or of what lies on the longest path
    x: float = 0.0
    up: list[tuple[Cell, float, float]] = field(default_factory=list)
    down: list[tuple[Cell, float, float]] = field(default_factory=list)


def ordered(layers: list[list[Cell]]) -> list[list[Cell]]:
    """The layers, each in the order found with fewest crossings."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(_ORDERINGS):
        if fewest == 0:
            break
        downwards = sweep % 2 == 0
        order = range(1, len(layers)) if downwards else range(len(layers) - 2, -1, -1)
        for number in order:
            beside = layers[number - 1 if downwards else number + 1]
            places = {cell: place for place, cell in enumerate(beside)}
            _sort(layers[number], places, downwards)
        count = _crossings(layers)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
    return best


def _sort(layer: list[Cell], places: Mapping[Cell, int], downwards: bool) -> None:
    """Order a layer by where its neighbours are on the average; what has none stays in place."""
    wanted: dict[Cell, float] = {}
    for place, cell in enumerate(layer):
        near = [
            places[other] + other_at / (2 * other.size.width + 1)
            for other, _, other_at in (cell.up if downwards else cell.down)
        ]
        wanted[cell] = sum(near) / len(near) if near else float(place)
    layer.sort(key=wanted.__getitem__)


def _crossings(layers: Sequence[Sequence[Cell]]) -> int:
    """How many pairs of wires cross between neighbouring layers."""
    count = 0
    for upper, lower in pairwise(layers):
        places = {cell: place for place, cell in enumerate(lower)}
        seen: list[int] = []
        for cell in upper:
            ends = [places[other] for other, _, _ in cell.down]
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


def reach(cell: Cell) -> float:
    """How far a cell goes to the right of its centre, with its label."""
    return max(cell.size.width / 2, cell.size.label)


def _apart(left: Cell, right: Cell) -> float:
    """The least distance of two neighbours' centres."""
    return reach(left) + right.size.width / 2 + _ASIDE


def put(layers: Sequence[Sequence[Cell]]) -> None:
    """Give each cell its `x`: from left to right at first, then nearer to its neighbours."""
    for layer in layers:
        x = 0.0
        for before, cell in zip([None, *layer], layer, strict=False):
            x += _apart(before, cell) if before is not None else 0.0
            cell.x = x
    for sweep in range(_PLACINGS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            late = sweep >= _PLACINGS - 4  # at last between those above and those below
            _move(layer, up=late or sweep % 2 == 0, down=late or sweep % 2 == 1)


def _move(layer: Sequence[Cell], *, up: bool, down: bool) -> None:
    """Put a layer's cells as near as can be to below, or above, the ends of their wires."""
    wanted: list[float] = []
    weights: list[float] = []
    for cell in layer:
        ends = [*(cell.up if up else ()), *(cell.down if down else ())]
        pulls = [
            (other.x + other_at - at, _STRAIGHT if cell.straight and other.straight else 1.0)
            for other, at, other_at in ends
        ] or [(cell.x, 0.1)]
        weights.append(sum(weight for _, weight in pulls))
        wanted.append(sum(x * weight for x, weight in pulls) / weights[-1])
    distances = [_apart(left, right) for left, right in pairwise(layer)]
    for cell, x in zip(layer, nearest_apart(wanted, weights, distances), strict=True):
        cell.x = x


def straighten(layers: Sequence[Sequence[Cell]], chains: Iterable[Sequence[Cell]]) -> None:
    """Put the bends of each link below one another, as far down as their neighbours allow."""
    beside = {
        cell: (before, after)
        for layer in layers
        for before, cell, after in zip([None, *layer], layer, [*layer[1:], None], strict=False)
    }
    for chain in chains:
        run: list[Cell] = []
        low, high = float("-inf"), float("inf")
        for cell in chain:
            before, after = beside[cell]
            least = float("-inf") if before is None else before.x + _apart(before, cell)
            most = float("inf") if after is None else after.x - _apart(cell, after)
            if max(low, least) > min(high, most):
                _align(run, low, high)
                run, low, high = [], float("-inf"), float("inf")
            run.append(cell)
            low, high = max(low, least), min(high, most)
        _align(run, low, high)


def _align(run: Sequence[Cell], low: float, high: float) -> None:
    """Give all the same place, as near to where they are as the bounds allow."""
    if run:
        x = min(max(sum(cell.x for cell in run) / len(run), low), high)
        for cell in run:
            cell.x = x


def nearest_apart(
    wanted: Sequence[float], weights: Sequence[float], distances: Sequence[float]
) -> list[float]:
    """The places nearest to those wanted, by weighted squares, that keep their order and are at
    least so far apart: isotonic regression of what remains without the distances."""
    shifts = [0.0]
    for distance in distances:
        shifts.append(shifts[-1] + distance)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for place, weight, shift in zip(wanted, weights, shifts, strict=False):
        mean, mass, count = place - shift, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, heavy, more = blocks.pop()
            mean = (mean * mass + before * heavy) / (mass + heavy)
            mass, count = mass + heavy, count + more
        blocks.append((mean, mass, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return [mean + shift for mean, shift in zip(means, shifts, strict=False)]


def heights(layers: Sequence[Sequence[Cell]]) -> list[float]:
    """The upper end of each layer: more below wires that go far aside."""
    tops: list[float] = []
    y = 0.0
    for layer in layers:
        tops.append(y)
        far = max(
            (
                abs(cell.x + at - other.x - other_at)
                for cell in layer
                for other, at, other_at in cell.down
            ),
            default=0.0,
        )
        height = max((cell.size.height for cell in layer), default=0.0)
        least = _LEAST_GAP if height else _PORT_GAP
        y += height + min(_MOST_GAP, least + far / 12)
    return tops
