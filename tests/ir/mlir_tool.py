"""A parser of MLIR that is not ours, for which our generic form has to be MLIR too."""

from __future__ import annotations

import pytest


def mlir_operations(text: str, *, with_func: bool = True) -> list[str]:
    """The names of the operations in a module's text, in order, after xDSL has verified it.

    Ours are of no dialect that it knows. `with_func=False` leaves out the dialect of functions.
    Skips the test where xDSL is not installed.
    """
    pytest.importorskip("xdsl")
    from xdsl.context import Context
    from xdsl.dialects.builtin import Builtin, StringAttr
    from xdsl.dialects.func import Func
    from xdsl.parser import Parser

    context = Context(allow_unregistered=True)
    context.load_dialect(Builtin)
    if with_func:
        context.load_dialect(Func)
    module = Parser(context, text).parse_module()
    module.verify()
    names: list[str] = []
    for operation in module.walk():
        name = operation.attributes.get("op_name__")  # of an operation of no known dialect
        names.append(name.data if isinstance(name, StringAttr) else operation.name)
    return names
