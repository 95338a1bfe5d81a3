"""Places for what a scene shows, from the innermost boxes outwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .cells import Size
from .layers import Arrangement, Link, arrange
from .scene import INPUT, PORT, Box, Scene

LETTER = 6.65  # the width of a letter at 11 points, of which rows have 0.85
SMALL = 0.85
LINE, ROW = 16.0, 12.5  # of a name, of a row
MARGIN = 10.0
_BESIDE = 18.0  # between the scenes of one box


class Inner(NamedTuple):
    """A scene inside of a box, from the box' upper left corner."""

    placed: Placed
    left: float
    top: float


@dataclass(frozen=True)
class Placed:
    """A scene with the places of its boxes, and the inner scenes of those that have them."""

    scene: Scene
    arrangement: Arrangement
    links: tuple[tuple[Link, str], ...]  # with the type of the value
    sizes: Mapping[str, Size]
    inner: Mapping[str, tuple[Inner, ...]]

    def corner(self, key: str) -> tuple[float, float]:
        """The upper left corner of a box."""
        spot = self.arrangement.spots[key]
        return spot.x - self.sizes[key].width / 2, spot.top


def place(scene: Scene) -> Placed:
    """Places for a scene, and for all that is inside of it."""
    inner = {key: _inner(box) for key, box in scene.boxes() if box.inside}
    labels = {source: len(kind) * LETTER * SMALL + 6 for source, _, kind in labelled(scene)}
    sizes = {
        key: _size(box, inner.get(key, ()), labels.get(key, 0.0)) for key, box in scene.boxes()
    }
    links = tuple(_links(scene, sizes, inner))
    ports = [key for key, box in scene.boxes() if box.family == PORT]
    first = [key for key in scene.params if key in ports]
    last = [key for key in scene.results if key in ports]
    found = arrange(
        sizes, [link for link, _ in links], first=filter(None, first), last=filter(None, last)
    )
    return Placed(scene, found, links, sizes, inner)


def labelled(scene: Scene) -> Iterator[tuple[str, int, str]]:
    """The values whose types are written below boxes: of a box with several results the last."""
    found: dict[str, tuple[int, str]] = {}
    for source, _, data in scene.graph.edges(data=True):
        if scene.graph.nodes[source]["box"].family not in (PORT, INPUT):
            found[source] = max(found.get(source, (-1, "")), (int(data["result"]), data["type"]))
    yield from ((source, result, kind) for source, (result, kind) in found.items())


def _inner(box: Box) -> tuple[Inner, ...]:
    """The scenes of a box, side by side under its name."""
    found: list[Inner] = []
    left = MARGIN
    top = LINE + len(box.rows) * ROW + MARGIN
    for scene in box.inside:
        placed = place(scene)
        below = 0.0 if box.has_ports else LINE  # for the region's name
        width = max(placed.arrangement.width, _width(scene.name))
        found.append(Inner(placed, left, top + below))
        left += width + _BESIDE
    return tuple(found)


def _size(box: Box, inner: tuple[Inner, ...], label: float) -> Size:
    if box.family == PORT:
        return Size(2.0, 0.0)
    texts = [_width(box.label) * 1.05, *(_width(row) * SMALL for row in box.rows)]
    width = max(texts) + 2 * MARGIN
    height = LINE + len(box.rows) * ROW + 6
    for each in inner:
        arranged = each.placed.arrangement
        width = max(width, each.left + arranged.width + MARGIN)
        height = max(height, each.top + arranged.height + MARGIN)
    return Size(max(width, 44.0), height, label)


def _width(text: str) -> float:
    return len(text) * LETTER


def _links(
    scene: Scene, sizes: Mapping[str, Size], inner: Mapping[str, tuple[Inner, ...]]
) -> Iterator[tuple[Link, str]]:
    """The wires, where they leave and enter boxes; two of the same value are one."""
    seen: set[tuple[str, int, str, int]] = set()
    for source, target, data in scene.graph.edges(data=True):
        result, operand = int(data["result"]), int(data["operand"])
        leaves = _port(scene, source, result, sizes, inner, "results")
        enters = _port(scene, target, operand, sizes, inner, "params")
        has_ports = scene.graph.nodes[target]["box"].has_ports
        key = (source, result, target, operand if has_ports else -1)
        if key not in seen:
            seen.add(key)
            yield Link(source, target, (source, result), leaves, enters), str(data["type"])


def _port(
    scene: Scene,
    key: str,
    number: int,
    sizes: Mapping[str, Size],
    inner: Mapping[str, tuple[Inner, ...]],
    side: str,
) -> float:
    """Where wire `number` meets a box, from its centre: the middle, or where it goes on inside."""
    box: Box = scene.graph.nodes[key]["box"]
    if not box.has_ports:
        return _spread(scene, key, number, sizes[key]) if side == "results" else 0.0
    ((placed, left, _),) = inner[key]
    inside = placed.scene.params if side == "params" else placed.scene.results
    port = inside[number]
    return left + placed.arrangement.spots[port].x - sizes[key].width / 2 if port else 0.0


def _spread(scene: Scene, key: str, number: int, size: Size) -> float:
    """Where one of the results that are used leaves a box, from the centre."""
    used = sorted({int(result) for _, _, result in scene.graph.out_edges(key, data="result")})
    step = size.width / (len(used) + 1)
    return step * (used.index(number) + 1) - size.width / 2
