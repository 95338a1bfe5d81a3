"""The recipe for kernels that call C functions: the loops that bring data to them and back run in
vectors, those around the calls on several threads.

    parallel b: {for i: for j: a[i, j] = x[b, i, j];  call @factor(a[0, 0], ..);  for i: for j: ..}
"""

from __future__ import annotations

from dataclasses import replace

from ...target import Target
from ...tile.analyses.count import work_of
from ...tile.nodes import Kernel, Kind, Loop, Stmt
from .analysis import work_cycles
from .cost.model import worth_threads
from .loops import lanes_of, vector_rows

OPERATIONS_PER_CYCLE = 4  # of a library on small matrices


def schedule_external(kernel: Kernel, target: Target) -> Kernel:
    """Vectors in the innermost loops; the parallel loops as they are written, if that is worth it.

    The kernel says itself which of its iterations are independent: nothing here can know.
    """
    kernel = vector_rows(kernel, kernel.body, lanes_of(kernel, target))
    called = work_of(kernel).operations / OPERATIONS_PER_CYCLE
    if worth_threads(called + work_cycles(kernel), target):
        return kernel

    def serial(stmt: Stmt) -> Stmt:
        match stmt:
            case Loop(kind=Kind.PARALLEL):
                return replace(stmt, kind=Kind.SERIAL)
        return stmt

    return kernel.with_body(tuple(map(serial, kernel.body)))
