"""The verifier's checks of registers, which have no addresses and belong to one thread, and of
fragments, of which a lane has a part.
"""

from __future__ import annotations

from ...expr import INDEX, Load, Var, vars_of, walk_expr
from ..analyses.accesses import Accesses
from ..analyses.scopes import THREAD_KINDS, buffers_in, inner_blocks, walk_scoped
from ..inline import Scope
from ..nodes import Block, Kind, Loop, Space


def check_registers(accesses: Accesses) -> None:
    """Raise `VerifyError` where a register has no constant place or more than one thread, or where
    a lane takes another's part of a fragment."""
    _check_indices(accesses)
    _check_fragments(accesses)
    _check_threads(accesses, accesses.body, ())


def _check_indices(accesses: Accesses) -> None:
    """Registers have no addresses: an index is constant once its loops are unrolled."""
    unrolled = {
        stmt.axis
        for stmt in walk_scoped(accesses.body)
        if isinstance(stmt, Loop) and stmt.kind in (Kind.VECTOR, Kind.UNROLL)
    }
    for site in accesses.sites(accesses.body):
        name = site.access.buffer
        if accesses.buffers[name].space != Space.REGISTER:
            continue
        for part in site.access.indices:
            loaded = any(isinstance(node, Load) for node in walk_expr(part))
            if loaded or not vars_of(part) <= unrolled:
                raise accesses.fail(
                    site.access.stmt, f"an index of the register '{name}' is not constant"
                )


def _check_fragments(accesses: Accesses) -> None:
    """A lane has its own part of a fragment only; instructions of the warp have all of it."""
    for site in accesses.sites(accesses.body):
        access = site.access
        lanes = [loop.axis for loop in site.loops if loop.kind is Kind.LANE]
        if not lanes or accesses.buffers[access.buffer].space is not Space.FRAGMENT:
            continue
        if access.indices[-2] != Var(INDEX, lanes[-1]):
            raise accesses.fail(
                access.stmt, f"a lane has no part of '{access.buffer}' but its own"
            )


def _check_threads(accesses: Accesses, body: Block, outside: tuple[str, ...]) -> None:
    """A register belongs to one thread: no two thread loops share one, nor do the code around."""
    for stmt in body:
        if isinstance(stmt, Loop) and stmt.kind in THREAD_KINDS:
            for name in outside:
                if name in buffers_in(stmt):
                    raise accesses.fail(
                        stmt, f"the register '{name}' is used outside of these threads too"
                    )
        declared = tuple(
            local.name
            for local in (stmt.locals if isinstance(stmt, Scope) else ())
            if local.space == Space.REGISTER
        )
        for inner in inner_blocks(stmt):
            _check_threads(accesses, inner, (*outside, *declared))
