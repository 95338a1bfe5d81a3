"""Barriers in shared memory that count arrivals, so that some threads of a block, or copies on
their way, can tell others that they are done.

    call @barrier_init(full[s]; 1);  ..
    async tiles { call @bulk_bf16x64(..);  call @arrive(full[s]) };  ..
    await full[s], phase % 2

An element holds how many arrivals end a phase, times 2**32, plus those that have come.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...expr import INDEX, Var, cast, const
from ...types import Array, i64
from ..nodes import Accumulate, Buffer, Proc, Ref, Stmt, Store

INIT, ARRIVE, ARRIVE_WARPS, FENCE = "barrier_init", "arrive", "arrive_warps", "fence_async"
WARPS = 4  # of a warpgroup

_ONE_PHASE = 1 << 32


def barrier_procs() -> Iterator[tuple[Proc, str]]:
    """Every instruction on barriers, with what it is good for."""
    barrier = (Buffer("barrier", i64, (1,)),)
    here = Ref("barrier", (const(0, INDEX),))
    arrivals = cast(Var(INDEX, "arrivals"), i64) * const(_ONE_PHASE, i64)
    begun: Stmt = Store(here, arrivals)
    yield Proc(INIT, barrier, ("arrivals",), (begun,)), "Make a barrier for so many arrivals."
    for name, count, doc in (
        (ARRIVE, 1, "Arrive at a barrier."),
        (ARRIVE_WARPS, WARPS, "Arrive at a barrier once for each warp of a warpgroup."),
    ):
        more = Accumulate("sum", (here,), (const(count, i64),))
        yield Proc(name, barrier, (), (more,)), doc
    yield Proc(FENCE, (), (), ()), "Let copies and products that are asynchronous see what is here."


def phase_parity(state: Array) -> Array:
    """The parity of the phase that a barrier is in."""
    return np.asarray(state % _ONE_PHASE // (state // _ONE_PHASE) % 2)
