"""Calls of C functions: all their arguments are pointers, to constants of the module or to memory.

    call void @ml_dpotrf(ptr @ml_letter_85, ptr @ml_number_3, ptr %p1, ptr @ml_number_3, ptr %p2)
"""

from __future__ import annotations

from ....expr import index
from ....tile.nodes import Buffer, Extern
from ..machine.routines import symbol_of
from .expr import Evaluator


def emit_extern(extern: Extern, evaluator: Evaluator) -> None:
    """Call a function on the windows at hand; what it writes may be loaded anew."""
    out, memory = evaluator.frame.out, evaluator.memory
    pointers: list[str] = []
    for entry in extern.arguments:
        match entry:
            case Buffer(name=name, shape=shape):
                pointers.append(memory.address(name, (index(0),) * len(shape)))
            case str(letter):
                code = ord(letter)
                out.declare(f"@ml_letter_{code} = private unnamed_addr constant i8 {code}")
                pointers.append(f"@ml_letter_{code}")
            case int(number):
                out.declare(f"@ml_number_{number} = private unnamed_addr constant i32 {number}")
                pointers.append(f"@ml_number_{number}")
    symbol = symbol_of(extern.routine)
    out.declare(f"declare void @{symbol}({', '.join(['ptr'] * len(pointers))})")
    out.line(f"call void @{symbol}({', '.join(f'ptr {pointer}' for pointer in pointers)})")
    for name in extern.writes:
        memory.touch(evaluator.frame.buffer_of(name).name)
