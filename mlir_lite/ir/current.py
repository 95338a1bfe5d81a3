"""The current Builder: the one ambient state, entered by tracing, rewriting and parsing."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from ..errors import TypeRuleError

if TYPE_CHECKING:
    from .builder import Builder

BUILDER: ContextVar[Builder | None] = ContextVar("mlir_lite_builder", default=None)


def current_builder() -> Builder:
    """The Builder that operations are emitted into; an error outside of any."""
    builder = BUILDER.get()
    if builder is None:
        raise TypeRuleError(
            "operations are only possible while a function is traced; "
            "put the code in a function and use @ml.function"
        )
    return builder
