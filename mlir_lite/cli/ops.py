"""List the operations, or describe one.

  mlir-lite ops
  mlir-lite ops conv
"""

from __future__ import annotations

import inspect
import re
from argparse import ArgumentParser, Namespace

from ..errors import InputError, check
from ..ir import Op
from ..ir.schema import AttributeField, schema_of
from ..ops.table import TABLE
from ..text import nearest, table


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="describe this operation")


def run(args: Namespace) -> int:
    classes = TABLE.classes
    if args.name is not None:
        near = nearest(args.name, classes)
        check(args.name in classes, f"there is no operation '{args.name}'{near}", InputError)
        print(_description(classes[args.name]))
        return 0
    rows = [("operation", "operands", "meaning", "what it computes")]
    for name, cls in sorted(classes.items()):
        first = (inspect.getdoc(cls) or "").split("\n")[0]
        rows.append((name, ", ".join(cls.operand_fields), _meaning(cls), first))
    print(table(rows, indent=""))
    return 0


def _meaning(cls: type[Op]) -> str:
    """How the compiler knows what the operation does."""
    ways = [way for way in ("body", "decompose", "kernel") if cls.has(way)]
    return ", ".join(ways) or "structure"


def _description(cls: type[Op]) -> str:
    schema = schema_of(cls)
    rows = [(f"%{name}", f"operand, {arity.value}") for name, arity in schema.operands]
    rows += [(entry.name, _attribute(entry)) for entry in schema.attributes]
    has = [way for way in ("body", "decompose", "kernel", "gradient") if cls.has(way)]
    parts = [cls.name, inspect.getdoc(cls) or "", table(rows) if rows else "  no operands"]
    return "\n\n".join([*parts, f"Defined by: {', '.join(has) or 'structure'}"])


def _attribute(entry: AttributeField) -> str:
    hint = entry.hint.__name__ if isinstance(entry.hint, type) else str(entry.hint)
    short = re.sub(r"\b(?:\w+\.)+", "", hint)  # without the modules of its types
    return f"attribute, {short}" + (", has a default" if entry.has_default else "")
