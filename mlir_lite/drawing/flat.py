"""A scene without ports, for programs that place boxes themselves: Graphviz and Mermaid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import networkx as nx

from ..markup import escape
from .families import COLOURS
from .scene import INPUT, PORT, RESULT, Box, Scene

INK = "#22303c"
Wire: TypeAlias = tuple[str, str, str]  # from, to, the type of the value


def wires_of(scene: Scene) -> tuple[Wire, ...]:
    """All wires, those inside of boxes too, from box to box."""
    graph = nx.MultiDiGraph()
    ports: list[str] = []
    _collect(scene, graph, ports)
    for port in ports:
        _contract(graph, port)
    return tuple(dict.fromkeys(graph.edges(data="type")))


def _collect(scene: Scene, graph: nx.MultiDiGraph, ports: list[str]) -> None:
    for key, box in scene.boxes():
        graph.add_node(key)
        ports += [key] * (box.family == PORT)
        for inner in box.inside:
            _collect(inner, graph, ports)
    for source, target, data in scene.graph.edges(data=True):
        start = _end(scene, source, data["result"], "results")
        end = _end(scene, target, data["operand"], "params")
        graph.add_edge(start, end, type=data["type"])


def _end(scene: Scene, key: str, number: int, side: str) -> str:
    """The box, or the port inside of it, that a wire ends at."""
    box: Box = scene.graph.nodes[key]["box"]
    if not box.has_ports:
        return key
    (inner,) = box.inside
    return (inner.params if side == "params" else inner.results)[number] or key


def _contract(graph: nx.MultiDiGraph, port: str) -> None:
    for source, _, kind in list(graph.in_edges(port, data="type")):
        for _, target in list(graph.out_edges(port)):
            graph.add_edge(source, target, type=kind)
    graph.remove_node(port)


def dot_of(scene: Scene) -> str:
    """The scene in Graphviz' DOT."""
    lines = [
        f"digraph {_quoted(scene.name)} {{",
        '  node [shape=box, style="rounded,filled", fontname="monospace", fontsize=11];',
        f'  edge [fontname="monospace", fontsize=9, color="#8a949d", fontcolor="{INK}"];',
        '  graph [fontname="monospace", fontsize=11];',
        *_dot_boxes(scene, "  "),
    ]
    for source, target, kind in wires_of(scene):
        lines.append(f"  {source} -> {target} [label={_quoted(kind)}];")
    return "\n".join([*lines, "}", ""])


def _dot_boxes(scene: Scene, indent: str) -> Iterator[str]:
    for key, box in scene.boxes():
        face, edge = COLOURS.get(box.family, ("", ""))
        if box.inside:
            yield f"{indent}subgraph cluster_{key} {{"
            yield f'{indent}  label={_quoted(box.label)}; style=filled; fillcolor="{face}";'
        if box.family != PORT and not box.has_ports:
            ink = "#ffffff" if box.family == RESULT else INK
            yield (
                f"{indent}{key} [label={_quoted(*_lines(box))}, tooltip={_quoted(box.hint)}, "
                f'fillcolor="{face}", color="{edge}", fontcolor="{ink}"];'
            )
        if box.inside:
            for inner in box.inside:
                yield from _dot_boxes(inner, f"{indent}  ")
            yield f"{indent}}}"


def _lines(box: Box) -> Sequence[str]:
    return box.label, *box.rows


def _quoted(*lines: str) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped).replace("\n", "\\n") + '"'


def mermaid_of(scene: Scene) -> str:
    """The scene in Mermaid, which GitHub and many editors draw."""
    lines = ["flowchart TD", *_mermaid_boxes(scene, "  ")]
    for source, target, kind in wires_of(scene):
        lines.append(f"  {source} -->|{_entities(kind)}| {target}")
    for family in dict.fromkeys(_used(scene)):
        face, edge = COLOURS[family]
        ink = "#ffffff" if family == RESULT else INK
        lines.append(f"  classDef {family} fill:{face},stroke:{edge},color:{ink}")
    return "\n".join([*lines, ""])


def _mermaid_boxes(scene: Scene, indent: str) -> Iterator[str]:
    for key, box in scene.boxes():
        if box.inside:
            yield f"{indent}subgraph {key}_inside[{_entities(box.label)}]"
        if box.family != PORT and not box.has_ports:
            left, right = ("([", "])") if box.family in (INPUT, RESULT) else ("[", "]")
            yield f"{indent}{key}{left}{_entities(*_lines(box))}{right}:::{box.family}"
        if box.inside:
            for inner in box.inside:
                yield from _mermaid_boxes(inner, f"{indent}  ")
            yield f"{indent}end"


def _used(scene: Scene) -> Iterator[str]:
    for _, box in scene.boxes():
        if box.family != PORT and not box.has_ports:
            yield box.family
        for inner in box.inside:
            yield from _used(inner)


def _entities(*lines: str) -> str:
    """A label in quotes: Mermaid writes HTML's entities with `#` for `&`."""
    escaped = (escape(line.replace("#", "\0")).replace("&", "#") for line in lines)
    return '"' + "<br/>".join(escaped).replace("\0", "#35;").replace("\n", " ") + '"'
