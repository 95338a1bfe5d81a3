"""The verifier's checks of a program's slots: their names, roles and places in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ...errors import VerifyError
from ...memory import ALIGNMENT
from ..program import Program, Role, Slot


def program_error(program: Program, message: str, number: int | None = None) -> VerifyError:
    """What is wrong with a program, or with its call of this number."""
    where = f"program '{program.name}'"
    if number is not None and 0 <= number < len(program.calls):
        where += f", step {number} ('{program.calls[number].kernel}')"
    return VerifyError(f"{where}: {message}")


def check_slots(program: Program) -> None:
    """Each slot and kernel has a name of its own and its place; parameters and results are slots
    of these roles. Raises `VerifyError`."""
    slots = {slot.name: slot for slot in program.slots}
    if len(slots) != len(program.slots):
        raise program_error(program, "two slots have one name")
    if len({kernel.name for kernel in program.kernels}) != len(program.kernels):
        raise program_error(program, "two kernels have one name")
    roles = [(name, Role.PARAMETER) for name in program.params]
    roles += [(name, Role.RESULT) for name in program.results]
    for name, role in roles:
        if name not in slots or slots[name].role != role:
            raise program_error(program, f"'{name}' is no slot of role {role}")
    given = [slot.name for slot in program.slots if slot.role == Role.PARAMETER]
    if sorted(given) != sorted(program.params):
        raise program_error(program, "its parameters are not its slots of role parameter")
    donors = Counter(slot.donor for slot in program.slots)
    for slot in program.slots:
        for fault in (_place_fault(program, slot), _donor_fault(slots, donors, slot)):
            if fault:
                raise program_error(program, fault)


def _place_fault(program: Program, slot: Slot) -> str:
    """What is wrong with where a slot lies, if anything."""
    if slot.role != Role.ARENA:
        placed = slot.offset is not None
        return f"'{slot.name}' is not in the arena, but has an offset" if placed else ""
    if slot.offset is None or slot.offset < 0 or slot.offset % ALIGNMENT:
        return f"'{slot.name}' lies at {slot.offset}: no multiple of {ALIGNMENT}"
    memory = program.memory
    if memory is not None and slot.offset + slot.type.nbytes > memory.arena_bytes:
        return f"'{slot.name}' ends beyond the arena's {memory.arena_bytes} bytes"
    return ""


def _donor_fault(
    slots: Mapping[str, Slot], donors: Mapping[str | None, int], slot: Slot
) -> str:
    """What is wrong with the parameter whose memory a slot takes, if anything."""
    if slot.donor is None:
        return ""
    donor = slots.get(slot.donor)
    fits = donor is not None and (donor.role, donor.type) == (Role.PARAMETER, slot.type)
    if slot.role != Role.RESULT or not fits:
        return f"'{slot.name}' cannot lie in '{slot.donor}'"
    return f"two results lie in '{slot.donor}'" if donors[slot.donor] > 1 else ""
