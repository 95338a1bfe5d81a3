"""A scene as SVG: one text that needs nothing beside it, and says more where the mouse is."""

from __future__ import annotations

from collections.abc import Iterator

from ..markup import escape
from .families import COLOURS
from .layers import Link, Spot
from .placing import LETTER, LINE, MARGIN, ROW, SMALL, Placed, labelled, place
from .scene import PORT, RESULT, Box, Scene

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
INK, PALE, LINES = "#22303c", "#5c6873", "#8a949d"
_EDGE = 20.0  # around the picture
_HEAD, _FOOT = 30.0, 26.0  # for the title, for the colours


def svg_of(scene: Scene) -> str:
    """The picture of a scene: its title, its boxes and wires, what the colours mean."""
    placed = place(scene)
    legend = list(dict.fromkeys(_families(scene)))
    title = f"@{scene.name}"
    foot = sum(len(name) * LETTER + 30 for name in legend)
    width = max(placed.arrangement.width, len(title) * LETTER * 1.3, foot) + 2 * _EDGE
    height = placed.arrangement.height + 2 * _EDGE + _HEAD + _FOOT
    left = (width - placed.arrangement.width) / 2
    body = [
        text_at(_EDGE, _EDGE + 8, title, size=14, bold=True),
        *_scene(placed, left, _EDGE + _HEAD),
        *_legend(legend, height - _EDGE),
    ]
    return sheet(width, height, body, title)


def sheet(width: float, height: float, body: list[str], title: str) -> str:
    """An SVG text around what is drawn."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{escape(FONT)}" '
            f'font-size="11" role="img">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="mlir-lite-tip" viewBox="0 0 6 6" refX="5.4" refY="3" '
            'markerWidth="6" markerHeight="6" orient="auto">'
            f'<path d="M0 0.5 L6 3 L0 5.5 z" fill="{LINES}"/></marker></defs>',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _families(scene: Scene) -> Iterator[str]:
    for _, box in scene.boxes():
        if box.family not in (PORT, RESULT, "input", "regions"):
            yield box.family
        for inner in box.inside:
            yield from _families(inner)


def _legend(families: list[str], y: float) -> Iterator[str]:
    x = _EDGE
    for family in families:
        face, edge = COLOURS[family]
        yield (
            f'<rect x="{x:.0f}" y="{y - 9:.0f}" width="10" height="10" rx="2" '
            f'fill="{face}" stroke="{edge}"/>'
        )
        yield text_at(x + 15, y, family, colour=PALE, size=10)
        x += len(family) * LETTER + 30


def _scene(placed: Placed, left: float, top: float, ground: str = "#ffffff") -> Iterator[str]:
    yield f'<g transform="translate({left:.1f} {top:.1f})">'
    yield from _wires(placed)
    for key, box in placed.scene.boxes():
        if box.family != PORT:
            yield from _box(placed, key, box)
    yield from _labels(placed, ground)
    yield "</g>"


def _box(placed: Placed, key: str, box: Box) -> Iterator[str]:
    x, y = placed.corner(key)
    size = placed.sizes[key]
    face, edge = COLOURS[box.family]
    ink = "#ffffff" if box.family == RESULT else INK
    pale = "#d5dbe0" if box.family == RESULT else PALE
    round_ = 10 if box.family in (RESULT, "input") else 4
    yield "<g>"
    if box.hint:
        yield f"<title>{escape(box.hint)}</title>"
    yield (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{size.width:.1f}" height="{size.height:.1f}" '
        f'rx="{round_}" fill="{face}" stroke="{edge}"/>'
    )
    centre = x + size.width / 2
    anchor, at = ("start", x + MARGIN) if box.inside else ("middle", centre)
    if box.has_ports:
        yield from _through(placed, key)
        yield _chip(at, y + LINE - 2, len(box.label) * LETTER * 1.05, face, 1.0)
    yield text_at(at, y + LINE - 2, box.label, colour=ink, anchor=anchor, bold=True)
    for number, row in enumerate(box.rows, 1):
        text_y = y + LINE - 2 + number * ROW
        yield text_at(at, text_y, row, colour=pale, anchor=anchor, size=11 * SMALL)
    yield "</g>"
    for inner, inner_left, inner_top in placed.inner.get(key, ()):
        if not box.has_ports:
            yield text_at(x + inner_left, y + inner_top - 6, inner.scene.name, colour=PALE)
        yield from _scene(inner, x + inner_left, y + inner_top, face)


def _through(placed: Placed, key: str) -> Iterator[str]:
    """The stretches of wires between the edge of a box and its ports."""
    x, y = placed.corner(key)
    ((inner, left, top),) = placed.inner[key]
    spots = inner.arrangement.spots
    ends = y + top + inner.arrangement.height, y + placed.sizes[key].height
    for port in filter(None, inner.scene.params):
        yield f'<path d="M{x + left + spots[port].x:.1f} {y:.1f}v{top:.1f}" stroke="{LINES}"/>'
    for port in filter(None, inner.scene.results):
        path = f"M{x + left + spots[port].x:.1f} {ends[0]:.1f}V{ends[1]:.1f}"
        yield f'<path d="{path}" stroke="{LINES}"/>'


def _chip(x: float, y: float, width: float, face: str, opacity: float) -> str:
    """A ground for text, so that wires do not run through it."""
    return (
        f'<rect x="{x - 2:.1f}" y="{y - 10:.1f}" width="{width + 4:.1f}" '
        f'height="13" fill="{face}" fill-opacity="{opacity}"/>'
    )


def _labels(placed: Placed, ground: str) -> Iterator[str]:
    """The types of values, below the boxes that give them."""
    places = {link.value: link.leaves for link, _ in placed.links}
    for source, result, kind in labelled(placed.scene):
        spot = placed.arrangement.spots[source]
        x = spot.x + places[source, result] + 5
        y = spot.top + placed.sizes[source].height + 11
        yield _chip(x, y, len(kind) * LETTER * SMALL, ground, 0.75)
        yield text_at(x, y, kind, colour=PALE, size=11 * SMALL)


def _wires(placed: Placed) -> Iterator[str]:
    entries, spots = _entries(placed), placed.arrangement.spots
    for link, kind in placed.links:
        source, target = spots[link.source], spots[link.target]
        start = (source.x + link.leaves, source.top + placed.sizes[link.source].height)
        path = [f"M{start[0]:.1f} {start[1]:.1f}", f"V{source.bottom:.1f}"]
        x, y = start[0], source.bottom
        for bend in placed.arrangement.bends[link]:
            path += [_curve(x, y, bend.x, bend.top), f"V{bend.bottom:.1f}"]
            x, y = bend.x, bend.bottom
        end = target.x + entries[link]
        path.append(_curve(x, y, end, target.top))
        is_port = placed.scene.graph.nodes[link.target]["box"].family == PORT
        tip = "" if is_port else ' marker-end="url(#mlir-lite-tip)"'
        yield (
            f'<path d="{" ".join(path)}" fill="none" stroke="{LINES}"{tip}>'
            f"<title>{escape(kind)}</title></path>"
        )


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    if abs(x - to_x) < 0.5:
        return f"L{to_x:.1f} {to_y:.1f}"
    middle = (y + to_y) / 2
    return f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"


def _entries(placed: Placed) -> dict[Link, float]:
    """Where links enter their boxes, from the centre: in the order in which they come."""
    arriving: dict[str, list[Link]] = {}
    for link, _ in placed.links:
        arriving.setdefault(link.target, []).append(link)
    entries: dict[Link, float] = {}
    for target, links in arriving.items():
        if placed.scene.graph.nodes[target]["box"].has_ports:
            entries |= {link: link.enters for link in links}
            continue
        links.sort(key=lambda link: _last(placed, link))
        step = placed.sizes[target].width / (len(links) + 1)
        middle = placed.sizes[target].width / 2
        entries |= {link: step * number - middle for number, link in enumerate(links, 1)}
    return entries


def _last(placed: Placed, link: Link) -> float:
    """Where a link comes from, at last."""
    bends: tuple[Spot, ...] = placed.arrangement.bends[link]
    return bends[-1].x if bends else placed.arrangement.spots[link.source].x + link.leaves


def text_at(
    x: float,
    y: float,
    text: str,
    *,
    colour: str = INK,
    anchor: str = "start",
    size: float = 11,
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" '
        f'font-size="{size:.1f}"{weight}>{escape(text)}</text>'
    )
