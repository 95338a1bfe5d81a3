"""Functions from text, with all the operations there are."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir import ConstantData, Function
from ..ir.parser import NO_RESOURCES
from ..ir.parser import parse as parse_with
from ..ops.table import TABLE


def parse(
    text: str, resources: Mapping[str, ConstantData] = NO_RESOURCES, file: str = "<text>"
) -> Function:
    """The one function of a text in the short form or in MLIR's generic form.

    `resources` are the constants that the text names: `parse(str(fn), resources_of(fn))`.
    `ParseError` shows the place.
    """
    return parse_with(text, TABLE, resources, file)
