"""Pictures: whatever the function, no two boxes overlap, no wire runs over a box, all text fits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

import pytest

from mlir_lite import Function
from mlir_lite.drawing import FORMS
from mlir_lite.drawing.flat import wires_of
from mlir_lite.drawing.forms import picture_text
from mlir_lite.drawing.placing import LETTER, MARGIN, SMALL, Placed, place
from mlir_lite.drawing.scene import PORT, Scene, scene_of

from .functions import MAKERS, fused, lstm

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom
TAG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=MAKERS, scope="module")
def fn(request: pytest.FixtureRequest) -> Function:
    return MAKERS[request.param]()


def scenes(placed: Placed) -> Iterator[Placed]:
    yield placed
    for inner in placed.inner.values():
        for each in inner:
            yield from scenes(each.placed)


def rectangles(placed: Placed) -> dict[str, Rectangle]:
    found: dict[str, Rectangle] = {}
    for key, box in placed.scene.boxes():
        if box.family != PORT:
            (left, top), size = placed.corner(key), placed.sizes[key]
            found[key] = left, top, left + size.width, top + size.height
    return found


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return (
        one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
    )


@pytest.mark.parametrize("open_groups", [True, False])
def test_no_boxes_overlap_and_none_leaves_its_scene(fn: Function, open_groups: bool) -> None:
    for placed in scenes(place(scene_of(fn, open_groups=open_groups))):
        boxes = rectangles(placed)
        for one, other in combinations(boxes, 2):
            assert not overlap(boxes[one], boxes[other]), (one, other)
        for left, top, right, bottom in boxes.values():
            assert left > -0.1 and right < placed.arrangement.width + 0.1
            assert top > -0.1 and bottom < placed.arrangement.height + 0.1


def test_inner_scenes_lie_in_their_boxes_side_by_side(fn: Function) -> None:
    for placed in scenes(place(scene_of(fn, open_groups=True))):
        for key, inner in placed.inner.items():
            areas = [
                (
                    each.left,
                    each.top,
                    each.left + each.placed.arrangement.width,
                    each.top + each.placed.arrangement.height,
                )
                for each in inner
            ]
            size = placed.sizes[key]
            assert all(area[2] <= size.width and area[3] <= size.height for area in areas)
            assert not any(overlap(one, other) for one, other in combinations(areas, 2))


def test_no_wire_runs_over_a_box(fn: Function) -> None:
    """Between layers there are no boxes; within one a wire goes straight down, at its bend."""
    for placed in scenes(place(scene_of(fn, open_groups=True))):
        boxes = rectangles(placed)
        spots = placed.arrangement.spots
        for link, _ in placed.links:
            source = spots[link.source]
            first = source.top + placed.sizes[link.source].height
            stretches = [(source.x + link.leaves, first, source.bottom)]
            stretches += [
                (bend.x, bend.top, bend.bottom) for bend in placed.arrangement.bends[link]
            ]
            for x, top, bottom in stretches:
                wire = (x, top + 0.1, x, bottom)
                others = (box for key, box in boxes.items() if key != link.source)
                assert not any(overlap(wire, box) for box in others), link


def test_text_fits_into_its_box(fn: Function) -> None:
    for placed in scenes(place(scene_of(fn))):
        for key, box in placed.scene.boxes():
            widths = [len(box.label) * LETTER, *(len(row) * LETTER * SMALL for row in box.rows)]
            if box.family != PORT:
                assert max(widths) + MARGIN <= placed.sizes[key].width


def test_svg_is_whole_and_needs_nothing_from_elsewhere(fn: Function) -> None:
    text = picture_text(fn, "svg")
    root = ElementTree.fromstring(text)
    assert {entry.tag for entry in root.iter()} <= {
        f"{TAG}{name}" for name in ("svg", "title", "defs", "marker", "path", "rect", "g", "text")
    }
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def keys(scene: Scene) -> Iterator[str]:
    for key, box in scene.boxes():
        if box.family != PORT and not box.has_ports:
            yield key
        for inner in box.inside:
            yield from keys(inner)


def test_dot_and_mermaid_join_the_boxes_that_they_define(fn: Function) -> None:
    scene = scene_of(fn)
    dot, mermaid = picture_text(fn, "dot"), picture_text(fn, "mermaid")
    defined = set(keys(scene))
    wires = [(source, target) for source, target, _ in wires_of(scene)]
    assert set(re.findall(r"^ +(\w+) \[label=", dot, re.MULTILINE)) == defined
    assert re.findall(r"^  (\w+) -> (\w+) \[", dot, re.MULTILINE) == wires
    boxes = re.findall(r'^ +(\w+)(?:\(\[|\[)"[^"]*"(?:\]\)|\]):::(\w+)$', mermaid, re.MULTILINE)
    assert {key for key, _ in boxes} == defined
    assert re.findall(r'^  (\w+) -->\|"[^"]*"\| (\w+)$', mermaid, re.MULTILINE) == wires
    assert {end for wire in wires for end in wire} <= defined
    assert mermaid.count("subgraph") == len(re.findall(r"^ +end$", mermaid, re.MULTILINE))


def test_every_use_of_a_value_is_a_wire() -> None:
    fn = MAKERS["fans out"]()
    uses = {(value, node) for node in fn.nodes for value in node.op.operands}
    assert len(wires_of(scene_of(fn))) == len(uses) + len(fn.results)


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_is_the_same_each_time(form: str) -> None:
    first, second = (picture_text(fused(lstm()), form) for _ in range(2))
    assert first == second
