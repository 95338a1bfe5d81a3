"""The verifier's checks of registers, which have no addresses and belong to one thread, of
fragments, of which a lane has a part, and of matrices, which instructions alone touch.
"""

from __future__ import annotations

from math import prod

from ...errors import VerifyError
from ...expr import INDEX, Load, Var, vars_of, walk_expr
from ..analyses.accesses import Accesses
from ..analyses.scopes import THREAD_KINDS, buffers_in, inner_blocks, targets_of, walk_scoped
from ..inline import Scope
from ..instructions.matrices import REGISTERS, ROW_BYTES, ROWS
from ..nodes import Block, Buffer, Call, Kind, Loop, Space
from ..traverse import loads_in, walk


def check_registers(accesses: Accesses) -> None:
    """Raise `VerifyError` where a register has no constant place or more than one thread, or where
    a lane takes another's part of a fragment, or a matrix is used as no machine can."""
    _check_indices(accesses)
    _check_matrices(accesses)
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
        name, indices = site.access.buffer, site.access.indices
        if accesses.buffers[name].space is Space.MATRIX:
            indices = indices[:-2]  # which register it is
        elif accesses.buffers[name].space is not Space.REGISTER:
            continue
        for part in indices:
            loaded = any(isinstance(node, Load) for node in walk_expr(part))
            if loaded or not vars_of(part) <= unrolled:
                raise accesses.fail(
                    site.access.stmt, f"an index of the register '{name}' is not constant"
                )


def _check_matrices(accesses: Accesses) -> None:
    """Matrices fit the registers, all at once, and no statement but a call touches one."""
    kernel = accesses.kernel
    matrices = [buffer for buffer in kernel.locals if buffer.space is Space.MATRIX]
    for matrix in matrices:
        if not _fits(matrix):
            most = f"{ROWS} rows of {ROW_BYTES} bytes"
            raise VerifyError(f"kernel '{kernel.name}': '{matrix.name}' is larger than {most}")
    count = sum(prod(matrix.shape[:-2]) for matrix in matrices)
    if count > REGISTERS:
        raise VerifyError(f"kernel '{kernel.name}': {count} matrices, of {REGISTERS} registers")
    names = {matrix.name for matrix in matrices}
    for stmt in walk(kernel.body) if names else ():
        read, written = (load.buffer for load in loads_in(stmt)), targets_of(stmt)
        touched = names.intersection((*read, *(ref.buffer for ref in written)))
        if touched and not isinstance(stmt, Call):
            raise accesses.fail(stmt, f"only instructions touch the matrix '{min(touched)}'")


def _fits(matrix: Buffer) -> bool:
    """Whether a register holds a matrix of this shape."""
    if len(matrix.shape) < 2 or matrix.layout is not None:
        return False
    rows, columns = matrix.shape[-2:]
    return rows <= ROWS and columns * matrix.dtype.bytes <= ROW_BYTES


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
