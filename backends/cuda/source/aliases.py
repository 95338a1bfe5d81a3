"""Which kernels write where they read by another parameter: the pointers of all others are
`__restrict__`, so that a compiler may read ahead of what is written, through the cache for that.
"""

from __future__ import annotations

from ....tile.program import CallStep, Program, Slot


def in_place(program: Program) -> frozenset[str]:
    """The kernels of which a call may get the same memory for what it writes and for another
    parameter: a slot twice, a result in its donor's place, slots that share bytes of the arena."""
    return frozenset(call.kernel for call in program.calls if _overlaps(program, call))


def _overlaps(program: Program, call: CallStep) -> bool:
    kernel = program.kernel(call.kernel)
    slots = [program.slot(view.slot) for view in call.args]
    written = [
        place for place, param in enumerate(kernel.params) if param.name in kernel.outputs
    ]
    return any(
        _meet(slots[place], slot)
        for place in written
        for other, slot in enumerate(slots)
        if other != place
    )


def _meet(one: Slot, other: Slot) -> bool:
    """Whether two slots may have bytes in common; arrays of a caller's own never do."""
    if one.memory == other.memory:
        return True
    if one.offset is None or other.offset is None:
        return False
    ends = one.offset + one.type.nbytes, other.offset + other.type.nbytes
    return one.offset < ends[1] and other.offset < ends[0]
