"""Checks of kernels and programs, independent of the passes that made them.

`verify_kernel` checks one kernel's names, types, accesses and races; `verify_program` the steps,
views and the memory plan; `live_bytes` says how much of the arena each step needs.
"""

from __future__ import annotations

from ...errors import VerifyError
from ..analyses.accesses import Accesses
from ..analyses.alignment import check_alignment
from ..analyses.scopes import targets_of, walk_scoped
from ..nodes import Accumulate, Kernel
from .bounds import check_bounds
from .names import check_names
from .plan import live_bytes, verify_program
from .races import check_races
from .registers import check_registers

__all__ = ["live_bytes", "verify_kernel", "verify_program"]


def verify_kernel(kernel: Kernel, *, strict: bool = False) -> None:
    """Raise `VerifyError`, naming the statement, where a kernel breaks the rules of Tile IR.

    An index is wrong if it certainly leaves its buffer; with `strict` also if it is not proven to
    stay inside. Races must be proven absent in any case.
    """
    check_names(kernel)
    check_alignment(kernel)
    accesses = Accesses(kernel)
    _check_writes(kernel, accesses)
    check_registers(accesses)
    _check_initialised(accesses)
    check_bounds(accesses, strict=strict)
    check_races(accesses)


def _check_writes(kernel: Kernel, accesses: Accesses) -> None:
    read_only = {param.name for param in kernel.params} - set(kernel.outputs)
    written: set[str] = set()
    for stmt in walk_scoped(accesses.body):
        for target in targets_of(stmt):
            if target.buffer in read_only:
                raise accesses.fail(stmt, f"'{target.buffer}' is written, but is no output")
            written.add(target.buffer)
    for name in kernel.outputs:
        if name not in written and kernel.buffers[name].elements:
            raise VerifyError(f"kernel '{kernel.name}': the output '{name}' is never written")


def _check_initialised(accesses: Accesses) -> None:
    """A local is written before it is read, as far as the order of the text tells."""
    written: set[str] = {param.name for param in accesses.kernel.params}
    for site in accesses.sites(accesses.body):
        access = site.access
        joins = isinstance(access.stmt, Accumulate)
        if access.buffer not in written and (joins or not access.writes) and not site.conditions:
            raise accesses.fail(access.stmt, f"'{access.buffer}' is read before it is written")
        if access.writes:
            written.add(access.buffer)
