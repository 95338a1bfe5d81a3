"""The verifier: whether a function keeps the invariants that every pass relies on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..errors import MlirLiteError, VerifyError
from ..location import UNKNOWN
from ..types import TensorType
from .function import Function
from .op import result_types
from .printer import print_function
from .schema import attribute_parts, fits, schema_of
from .value import Node, Value

_CONTEXT = 2  # lines of the text shown before and after the fault


def verify(fn: Function, known: Collection[Node] = ()) -> None:
    """Check a function and its regions; `VerifyError` shows the text around the fault.

    Parameters have different names, a value is defined once and before its uses, in the same
    region, and the types recorded are those that the operations infer. Of the nodes in `known`,
    which were verified as part of another function, only where they stand is checked.
    """
    static = fn.static - {param.name for param in fn.params}
    if static:
        raise _error(fn, None, f"no parameter is named '{min(static)}', which is said static")
    _verify_donated(fn)
    defined: set[Value] = set()
    names: set[str] = set()
    for param in fn.params:
        if param.name in names:
            raise _error(fn, None, f"two parameters are named '{param.name}'")
        if param.node is not None or param in defined:
            raise _error(fn, None, f"the parameter '{param.name}' is defined elsewhere")
        names.add(param.name)
        defined.add(param)
    for node in fn.nodes:
        _verify_place(fn, node, defined)
        if node not in known:
            _verify_node(fn, node)
        defined.update(node.results)
    for value in fn.results:
        if value not in defined:
            raise _error(fn, None, f"the result {value!r} is not defined in the function")


def _verify_place(fn: Function, node: Node, defined: set[Value]) -> None:
    name = node.op.name
    for value in node.op.operands:
        if value not in defined:
            message = f"'{name}' uses {value!r}, which is not defined before it in the function"
            raise _error(fn, node, message)
    for position, result in enumerate(node.results):
        if result in defined or result.node is not node or result.position != position:
            raise _error(fn, node, f"result {position} of '{name}' belongs to another operation")


def _verify_node(fn: Function, node: Node) -> None:
    name = node.op.name
    for part in attribute_parts(node.op):
        try:
            if isinstance(part, Function):
                verify(part)
        except VerifyError as error:
            raise _error(fn, node, f"in a region of '{name}': {error}") from None
    for entry in schema_of(type(node.op)).attributes:
        value = getattr(node.op, entry.name)
        if not fits(value, entry.hint):
            raise _error(fn, node, f"the attribute '{entry.name}' of '{name}' is {value!r}")
    try:
        inferred = result_types(node.op)
    except MlirLiteError as error:
        raise _error(fn, node, f"the type rule of '{name}' fails: {error}") from error
    recorded = tuple(result.type for result in node.results)
    if recorded != inferred:
        message = f"'{name}' has {_list(recorded)}, its type rule says {_list(inferred)}"
        raise _error(fn, node, message)


def _list(types: tuple[TensorType, ...]) -> str:
    return ", ".join(map(str, types)) or "no result"


def _error(fn: Function, node: Node | None, message: str) -> VerifyError:
    """The message with the user's line and the function's text around the node."""
    where = ""
    if node is not None and node.location != UNKNOWN:
        where = f"{node.location.full()}: "
    return VerifyError(f"{where}@{fn.name}: {message}\n{_excerpt(fn, node)}")


def _verify_donated(fn: Function) -> None:
    types = {param.name: param.type for param in fn.params}
    for name, position in fn.donated.items():
        if name not in types:
            raise _error(fn, None, f"no parameter is named '{name}', which is said donated")
        if not 0 <= position < len(fn.results) or fn.results[position].type != types[name]:
            raise _error(fn, None, f"'{name}' is donated to what is no result of its type")
    if len(set(fn.donated.values())) < len(fn.donated):
        raise _error(fn, None, "two parameters are donated to one result")


def _excerpt(fn: Function, node: Node | None) -> str:
    """The lines around a node's own; the head where there is no node."""
    lines = print_function(fn).splitlines()
    at = 0
    if node is not None:
        # A function cut off behind the node ends `…node`, `return`, `}`.
        upto = fn.nodes[: fn.nodes.index(node) + 1]
        cut = replace(fn, nodes=upto)
        at = len(print_function(cut).splitlines()) - 3
    first, last = max(0, at - _CONTEXT), at + _CONTEXT + 1
    return "\n".join(
        f"{'>' if number == at else ' '} {line}"
        for number, line in enumerate(lines[first:last], first)
    )
