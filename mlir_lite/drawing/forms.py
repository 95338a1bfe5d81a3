"""The forms that a function is drawn in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..ir import Function
from .flat import dot_of, mermaid_of
from .scene import Scene, scene_of
from .svg import svg_of

_MAKERS: Mapping[str, Callable[[Scene], str]] = MappingProxyType(
    {"svg": svg_of, "dot": dot_of, "mermaid": mermaid_of}
)


def picture_text(fn: Function, form: str, *, open_groups: bool | None = None) -> str:
    """A function in one of the `FORMS`."""
    return _MAKERS[form](scene_of(fn, open_groups=open_groups))
