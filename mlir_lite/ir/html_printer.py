"""Functions for notebooks: the very text of `printer`, with operations, values, types and comments
in colours; where the mouse is on a value its type is told, on an operation its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..markup import boxed, escape
from ..text import NAME, STRING
from .function import Function
from .printer import name_values, print_function
from .value import Node

_WORD = re.compile(
    rf"""
      (?P<comment>//.*)
    | (?P<type>tensor<[^<>]*>)
    | (?P<value>%(?:{NAME}|\d+|{STRING}))
    | (?P<string>{STRING}|@{NAME})
    | (?P<name>{NAME})
    """,
    re.VERBOSE | re.ASCII,
)
_TAGS: Mapping[str, str] = {"comment": "s", "type": "u", "value": "i"}


def html_of(fn: Function) -> str:
    """The function's text as HTML, with nothing from elsewhere."""
    lines = iter(print_function(fn).splitlines())
    marked = [*_function(fn, next(lines), lines)]
    return boxed(f"<pre>{chr(10).join(marked)}</pre>")


def _function(fn: Function, head: str, lines: Iterator[str]) -> Iterator[str]:
    """The lines of a function, the first of which has been read."""
    types = {name: str(value.type) for value, name in name_values(fn).items()}
    yield _marked(head, types, None)
    yield from _body(fn, types, lines)
    yield _marked(next(lines), types, None)


def _body(fn: Function, types: Mapping[str, str], lines: Iterator[str]) -> Iterator[str]:
    """The operations, and what is returned."""
    for node in fn.nodes:
        yield _marked(next(lines), types, node)
        for region in node.op.attributes.values():
            if isinstance(region, Function):
                inner = {name: str(value.type) for value, name in name_values(region).items()}
                yield from _body(region, inner, lines)
                yield _marked(next(lines), types, None)  # with which the next region may begin
    yield _marked(next(lines), types, None)


def _marked(line: str, types: Mapping[str, str], node: Node | None) -> str:
    """A line in colours; the operation's name is that of the node, the first time it stands."""
    parts: list[str] = []
    place, operation = 0, node.op.name if node is not None else ""
    for match in _WORD.finditer(line):
        kind, text = match.lastgroup or "", match.group()
        parts.append(escape(line[place : match.start()]))
        place = match.end()
        if node is not None and kind == "name" and text == operation:
            parts.append(_tag("b", text, f"{node.location.full()}\n{_types(node)}"))
            operation = ""
        elif kind in _TAGS:
            parts.append(_tag(_TAGS[kind], text, types.get(text, "")))
        else:
            parts.append(escape(text))
    return "".join([*parts, escape(line[place:])])


def _types(node: Node) -> str:
    return ", ".join(str(value.type) for value in node.results)


def _tag(tag: str, text: str, title: str) -> str:
    said = f' title="{escape(title)}"' if title else ""
    return f"<{tag}{said}>{escape(text)}</{tag}>"
