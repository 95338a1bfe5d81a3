"""Where the elements of a sparse matrix are stored, in compressed rows (CSR): what its operations
share.

`columns[k]` is the column of the stored element k; those of row r are the ones from `starts[r]` to
`starts[r + 1]`. Columns may come in any order and several times, rows may be empty.
"""

from __future__ import annotations

import numpy as np

from ...errors import RunError, check
from ...expr import Expr, apply, boolean, const, index, select, to_index
from ...ir import Element, Value
from ...sizes import Shape, Size
from ...types import Array
from ..base.body import Indices
from ..base.promote import check_kind

OUT_OF_PLACE = "a column of a sparse matrix is out of range"
OUT_OF_ORDER = (
    "the starts of a sparse matrix' rows do not ascend from 0 to the number of stored elements"
)
BROKEN = f"{OUT_OF_PLACE}, or {OUT_OF_ORDER}"


def check_starts(starts: Value) -> Size:
    """The type rule of the starts of rows; the number of rows."""
    check_kind(starts, "iu")
    check(starts.rank == 1, "the starts of rows are a vector")
    check(starts.shape[0] != 0, "there is one start more than there are rows")
    return starts.shape[0] - 1


def check_stored(stored: Value, what: str, *others: Value) -> None:
    """The type rule of vectors with one entry for each stored element."""
    check(stored.rank == 1, f"the {what} are a vector")
    alike = all(other.shape == stored.shape for other in others)
    shapes = " and ".join(str(value.type) for value in (stored, *others))
    check(alike, f"there is one of all for each stored element, not {shapes}")


# Faults: the index space is that of stored elements and starts together, so that one kernel looks.


def structure_shape(columns: Value, starts: Value) -> Shape:
    """The index space in which the faults of a structure are asked."""
    (stored,), (many,) = columns.type.static_shape, starts.type.static_shape
    return (max(stored, many),)


def misplaced(at: Indices, columns: Element, width: int) -> Expr:
    """Whether the column of a stored element lies outside of a matrix so wide."""
    column = columns[at]  # compared in vectors of its own type
    dtype = column.dtype
    negative = column < const(0, dtype)
    reaches = width <= np.iinfo(dtype.numpy).max
    return negative | (column >= const(width, dtype)) if reaches else negative


def disordered(at: Indices, starts: Element, stored: int) -> Expr:
    """Whether the start of a row is none: they ascend from 0 to the number of stored elements."""
    (row,) = at
    last = starts.type.static_shape[0] - 1
    falls = starts[row] < starts[apply("max", row - 1, index(0))]
    start = to_index(starts[row])
    first = row.eq(0) & apply("ne", start, index(0))
    final = row.eq(last) & apply("ne", start, index(stored))
    return falls | first | final


def faulty(at: Indices, columns: Element, starts: Element, width: int) -> Expr:
    """Whether a column or a start is none that there may be."""
    (place,) = at
    (stored,), (many,) = columns.type.static_shape, starts.type.static_shape
    wrong = select(place < many, disordered(at, starts, stored), boolean(False))
    if not stored:
        return wrong
    return select(place < stored, misplaced(at, columns, width), boolean(False)) | wrong


# In NumPy


def rows_in_numpy(starts: Array, stored: int) -> Array:
    """The row of each stored element; `RunError` where the starts are none."""
    wide = starts.astype(np.int64)
    ascend = wide[0] == 0 and wide[-1] == stored and bool((np.diff(wide) >= 0).all())
    check(ascend, OUT_OF_ORDER, RunError)
    return np.repeat(np.arange(len(wide) - 1), np.diff(wide))


def columns_in_numpy(columns: Array, width: int) -> Array:
    """The columns as indices; `RunError` where one is out of range."""
    wide = columns.astype(np.int64)
    check(bool(((wide >= 0) & (wide < width)).all()), OUT_OF_PLACE, RunError)
    return np.asarray(wide)
