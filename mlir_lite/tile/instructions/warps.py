"""Instructions that the threads of a warp do together, on fragments: registers of all its lanes.

    call @load_left_bf16(a[i, 0, 0], left[stage, m, k]);  call @mma_bf16(acc[i, j, 0, 0], a, b)
    call @shuffle_f32(other[0, 0], part[0, 0]; 16)

Which lane has which element is as in NVIDIA's PTX ISA, "Matrix fragments for mma.m16n8k16"; of f32,
whose factors are rounded to TF32 before, "for mma.m16n8k8".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from ...expr import INDEX, Expr, Load, Var, apply, cast, const, index, select
from ...types import DTYPES, DType, bf16, f16, f32
from ..nodes import Accumulate, Block, Buffer, Kind, Loop, Proc, Ref, Stmt, Store

LANES = 32
ROWS, COLUMNS, TERMS = 16, 8, 16  # of one product of fragments
NARROW = (bf16, f16)  # what is multiplied; sums are f32
MULTIPLIED = (*NARROW, f32)  # of f32 ten bits after the first
LANES_OF = (LANES, 4 * LANES)  # a warp, a warpgroup
RUNS = (4, 8)  # neighbours: sixteen bytes of f32, or of narrow elements
RISING = tuple(product((1, 2), (2, 4, 6, 8)))  # rows and columns of fragments of scores
MAXIMA, QUAD_MAXIMA, POWERS = "maxima_f32", "quad_maxima_f32", "powers_f32"


def terms_of(dtype: DType) -> int:
    """The terms of one product of fragments: what two registers of four lanes hold."""
    return TERMS * bf16.bytes // dtype.bytes


def factor_name(dtype: DType) -> str:
    """What factors that lie in memory as `dtype` are, in the names of instructions."""
    return "tf32" if dtype == f32 else dtype.name


def mma_name(dtype: DType) -> str:
    """The instruction that adds a product of fragments."""
    return f"mma_{factor_name(dtype)}"


def load_name(side: str, dtype: DType, *, turned: bool) -> str:
    """The instruction that brings fragments of the `left` or `right` operand from shared memory,
    where each term (`turned`: each row, or column) of them lies side by side."""
    return f"load_{side}_{dtype}{'_turned' if turned else ''}"


def of_threads(name: str, threads: int) -> str:
    """The instruction of a warp that so many threads do, each warp of them alone."""
    return name if threads == LANES else f"{name}_of_{threads}"


def shuffle_name(dtype: DType) -> str:
    """The instruction by which each lane gets what the lane `step` away has: that whose number
    differs from its own in the bits of `step`."""
    return f"shuffle_{dtype}"


def narrow_name(dtype: DType) -> str:
    """The instruction that makes sums the left operand of another product."""
    return f"narrow_{dtype}"


def row_sums_name(dtype: DType) -> str:
    """The instruction that adds the rows of a left operand up."""
    return f"row_sums_{dtype}"


def runs_name(width: int, threads: int) -> str:
    """The instruction by which threads of a warp, or of a warpgroup, exchange sums so that each has
    runs of so many neighbours in its two rows."""
    return of_threads(f"quad_runs_{width}", threads)


def any_rises_name(rows: int, columns: int) -> str:
    """The instruction that tells all lanes whether a score of so many fragments is not below 0, or
    a total is 0."""
    return f"any_rises_{rows}x{columns}"


def warp_procs() -> Iterator[tuple[Proc, str]]:
    """Every one of them, with the name of what it writes."""
    for dtype, threads in (*product(DTYPES.values(), (LANES,)), (f32, 4 * LANES)):
        yield _shuffle(dtype, threads), "to"
    for width, threads in product(RUNS, LANES_OF):
        yield _runs(width, threads), "to"
    for rows, columns in RISING:
        yield _any_rises(rows, columns), "to"
    for threads in LANES_OF:
        yield _maxima(threads), "most"
        yield _quad_maxima(threads), "most"
        yield _powers(threads), "to"
        for dtype in NARROW:
            yield _narrow(dtype, threads), "to"
    for dtype in MULTIPLIED:
        yield _mma(dtype), "acc"
        for turned in (False, True) if dtype in NARROW else (False,):
            yield _load_left(dtype, turned), "to"
            yield _load_right(dtype, turned), "to"
    for dtype in NARROW:
        yield _row_sums(dtype), "acc"


def _shuffle(dtype: DType, threads: int) -> Proc:
    """`to[lane] = from[lane ^ step]`."""
    lane, step, zero = Var(INDEX, "lane"), Var(INDEX, "step"), index(0)
    given = Load(dtype, "from", (apply("xor", lane, step), zero))
    params = (Buffer("to", dtype, (threads, 1)), Buffer("from", dtype, (threads, 1)))
    body = written_out((("lane", threads),), Store(Ref("to", (lane, zero)), given))
    return Proc(of_threads(shuffle_name(dtype), threads), params, ("step",), body)


def _runs(width: int, threads: int) -> Proc:
    """`to[half, thread, e] = from[..]`, of fragments side by side, as many as a run has pairs: each
    thread has a run of the one whose number is its own among as many."""
    half, thread, e = (Var(INDEX, axis) for axis in ("half", "thread", "e"))
    count = width // 2
    other = thread // count * count + e // 2
    number, element = thread % count, half * 2 + e % 2
    is_warp = threads == LANES
    at = (number, other, element) if is_warp else (other, number * 4 + element)
    store = Store(Ref("to", (half, thread, e)), Load(f32, "from", at))
    given = (count, threads, 4) if is_warp else (threads, 4 * count)
    params = (Buffer("to", f32, (2, threads, width)), Buffer("from", f32, given))
    body = written_out((("half", 2), ("thread", threads), ("e", width)), store)
    return Proc(runs_name(width, threads), params, (), body)


def _mma(dtype: DType) -> Proc:
    """`acc[i, j] += sum over k of a[i, k] * b[k, j]`, as the fragments have them."""
    i, j, k = (Var(INDEX, axis) for axis in "ijk")
    pair, half = _together(dtype)
    b = (j * 4 + k % half // pair, k // half * pair + k % pair)
    factors = cast(_left(dtype, i, k), f32) * cast(Load(dtype, "b", b), f32)
    update = Accumulate("sum", (_sum(i, j),), (factors,))
    params = (
        Buffer("acc", f32, (LANES, 4)),
        Buffer("a", dtype, (LANES, 4 * pair)),
        Buffer("b", dtype, (LANES, 2 * pair)),
    )
    body = written_out((("i", ROWS), ("j", COLUMNS), ("k", terms_of(dtype))), update)
    return Proc(mma_name(dtype), params, (), body)


def _sum(i: Expr, j: Expr) -> Ref:
    """Where the sum of row i and column j is."""
    return Ref("acc", (i % 8 * 4 + j // 2, i // 8 * 2 + j % 2))


def _together(dtype: DType) -> tuple[int, int]:
    """The neighbouring terms that one register holds, and those of one register of four lanes."""
    pair = f32.bytes // dtype.bytes
    return pair, 4 * pair


def _left(dtype: DType, i: Expr, k: Expr) -> Load:
    """Term k of row i of a left operand."""
    return Load(dtype, "a", left_element(dtype, i, k))


def left_element(dtype: DType, i: Expr, k: Expr) -> tuple[Expr, Expr]:
    """The lane that has term k of row i of a left operand, and which of its elements that is."""
    pair, half = _together(dtype)
    element = k // half * (2 * pair) + i // 8 * pair + k % pair
    return i % 8 * 4 + k % half // pair, element


def left_place(dtype: DType, lane: Expr, part: Expr, pair: Expr) -> tuple[Expr, Expr]:
    """The row and the term that a lane has in one of the four registers of a left fragment."""
    size, half = _together(dtype)
    return lane // 4 + part % 2 * 8, lane % 4 * size + pair + part // 2 * half


def right_place(dtype: DType, lane: Expr, part: Expr, pair: Expr) -> tuple[Expr, Expr]:
    """The column and the term that a lane has in one of the two registers of a right fragment."""
    size, half = _together(dtype)
    return lane // 4, lane % 4 * size + pair + part * half


def _load_left(dtype: DType, turned: bool) -> Proc:
    """Sixteen rows by the terms of a product."""
    lane, pair, part = (Var(INDEX, axis) for axis in ("lane", "pair", "part"))
    size, terms = _together(dtype)[0], terms_of(dtype)
    row, term = left_place(dtype, lane, part, pair)
    at = (row, term) if not turned else (term, row)
    store = Store(Ref("to", (lane, part * size + pair)), Load(dtype, "from", at))
    params = (Buffer("to", dtype, (LANES, 4 * size)), Buffer("from", dtype, (ROWS, terms)))
    body = written_out((("lane", LANES), ("part", 4), ("pair", size)), store)
    return Proc(load_name("left", dtype, turned=turned), params, (), body)


def _load_right(dtype: DType, turned: bool) -> Proc:
    """Twice eight columns by the terms of a product."""
    lane, pair, part, half = (Var(INDEX, axis) for axis in ("lane", "pair", "part", "half"))
    size, terms = _together(dtype)[0], terms_of(dtype)
    column, term = right_place(dtype, lane, part, pair)
    column = half * COLUMNS + column
    at = (column, term) if not turned else (term, column)
    store = Store(Ref("to", (half, lane, part * size + pair)), Load(dtype, "from", at))
    params = (
        Buffer("to", dtype, (2, LANES, 2 * size)),
        Buffer("from", dtype, (2 * COLUMNS, terms)),
    )
    body = written_out((("half", 2), ("lane", LANES), ("part", 2), ("pair", size)), store)
    return Proc(load_name("right", dtype, turned=turned), params, (), body)


# Rows of sums: a lane has parts of two of them, and the four lanes of a quad the same two.


def _maxima(threads: int) -> Proc:
    """`most[h] = max(most[h], acc[2 * h], acc[2 * h + 1])` of each lane."""
    lane, half, pair = (Var(INDEX, axis) for axis in ("lane", "half", "pair"))
    value = Load(f32, "acc", (lane, half * 2 + pair))
    update = Accumulate("max", (Ref("most", (lane, half)),), (value,))
    params = (Buffer("most", f32, (threads, 2)), Buffer("acc", f32, (threads, 4)))
    body = written_out((("lane", threads), ("half", 2), ("pair", 2)), update)
    return Proc(of_threads(MAXIMA, threads), params, (), body)


def _quad_maxima(threads: int) -> Proc:
    """`most[h] = max of most[h] of the lanes of a quad`."""
    lane, half, other = (Var(INDEX, axis) for axis in ("lane", "half", "other"))
    value = Load(f32, "most", (lane // 4 * 4 + other, half))
    update = Accumulate("max", (Ref("most", (lane, half)),), (value,))
    body = written_out((("lane", threads), ("half", 2), ("other", 4)), update)
    most = Buffer("most", f32, (threads, 2))
    return Proc(of_threads(QUAD_MAXIMA, threads), (most,), (), body)


def _any_rises(rows: int, columns: int) -> Proc:
    """`to[0] = 1 if any of from >= 0, or a row's total = 0, else 0`, the same for all lanes; the
    machine looks at the signs alone, so that -0 and some NaN are below 0."""
    i, j, lane, e = (Var(INDEX, axis) for axis in ("i", "j", "lane", "e"))
    one, none, zero = const(1, f32), const(0, f32), index(0)
    to = Ref("to", (zero,))
    score, total = Load(f32, "from", (i, j, lane, e)), Load(f32, "total", (i, lane, e // 2 * 2))
    rises = Accumulate("max", (to,), (select(score < none, none, one),))
    begins = Accumulate("max", (to,), (select(total.eq(none), one, none),))
    each = (("i", rows), ("lane", LANES), ("e", 4))
    body = (
        Store(to, none),
        *written_out(each, begins, *written_out((("j", columns),), rises)),
    )
    params = (
        Buffer("to", f32, (1,)),
        Buffer("from", f32, (rows, columns, LANES, 4)),
        Buffer("total", f32, (rows, LANES, 4)),
    )
    return Proc(any_rises_name(rows, columns), params, (), body)


def _powers(threads: int) -> Proc:
    """`to = 2 ** from`; the machine's are off by two units in the last place at most, and those
    below the least normal number are 0."""
    at = tuple(Var(INDEX, axis) for axis in ("lane", "e"))
    store = Store(Ref("to", at), apply("exp2", Load(f32, "from", at)))
    params = (Buffer("to", f32, (threads, 4)), Buffer("from", f32, (threads, 4)))
    body = written_out((("lane", threads), ("e", 4)), store)
    return Proc(of_threads(POWERS, threads), params, (), body)


def _narrow(dtype: DType, threads: int) -> Proc:
    """Two fragments of sums side by side, sixteen columns, as sixteen terms; a thread of a
    warpgroup has both side by side."""
    half, lane, e = (Var(INDEX, axis) for axis in ("half", "lane", "e"))
    at, is_warp = half * 4 + e, threads == LANES
    value = cast(Load(f32, "from", (half, lane, e) if is_warp else (lane, at)), dtype)
    given = (2, threads, 4) if is_warp else (threads, 8)
    params = (Buffer("to", dtype, (threads, 8)), Buffer("from", f32, given))
    store, axes = Store(Ref("to", (lane, at)), value), (("half", 2), ("lane", threads), ("e", 4))
    body = written_out(axes, store)
    return Proc(of_threads(narrow_name(dtype), threads), params, (), body)


def _row_sums(dtype: DType) -> Proc:
    """`acc[i, j] += sum over k of a[i, k]`, the same in all columns j."""
    i, j, k = (Var(INDEX, axis) for axis in "ijk")
    update = Accumulate("sum", (_sum(i, j),), (cast(_left(dtype, i, k), f32),))
    params = (Buffer("acc", f32, (LANES, 4)), Buffer("a", dtype, (LANES, 8)))
    body = written_out((("i", ROWS), ("j", COLUMNS), ("k", TERMS)), update)
    return Proc(row_sums_name(dtype), params, (), body)


def written_out(axes: tuple[tuple[str, int], ...], *body: Stmt) -> Block:
    """Nested loops of these names and extents, the outermost first."""
    for axis, extent in reversed(axes):
        body = (Loop(axis, index(0), index(extent), body, Kind.UNROLL),)
    return body


def lane_row(side: str, dtype: DType, lane: Expr, *, turned: bool) -> tuple[Expr, Expr]:
    """Where the sixteen bytes begin that a lane's address stands for, in the tile that is loaded:
    those of lanes 0 to 7 are the first of four matrices, and so on."""
    matrix, row = lane // 8, lane % 8
    own, other = (matrix % 2, matrix // 2) if side == "left" else (matrix // 2, matrix % 2)
    first, term = own * 8, other * _together(dtype)[1]
    return (first + row, term) if not turned else (term + row, first)
