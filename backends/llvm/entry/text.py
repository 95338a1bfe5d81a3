"""The LLVM text of an executable's entry: check the arrays, collect their addresses, run the body.

For one parameter `x: f32[8, 8]` and one result:

    define i64 @ml_check(ptr %state, ptr %objects)

The objects are two NumPy arrays as Python holds them. The check is a loop over a table of what is
expected, so that a model of two hundred arrays costs no more code than one of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from string import Template

from ...arrays import ArraySpec, check_specs
from ..machine.machine import Machine
from ..program.state import STATE_TYPE, state_field
from .numpy_header import C_CONTIGUOUS, WRITEABLE, ArrayHeader
from .python_call import call_text


class Fault(IntEnum):
    """Why the entry did not run the body, or that the body reports a fault of the data."""

    NONE = 0
    TYPE = 1  # not exactly a numpy.ndarray
    RANK = 2
    SHAPE = 3
    DTYPE = 4  # not the dtype's one object; it may still be equal
    FLAGS = 5  # not C-contiguous, or a result that is read-only
    OVERLAP = 6
    STATUS = 7  # the body ran and set the status word


def decode(code: int) -> tuple[Fault, int]:
    """Kind of fault and index of the array (parameters, then results) in a code of the entry."""
    return Fault(code & 0xFF), code >> 8


def entry_text(
    parameters: Sequence[ArraySpec],
    results: Sequence[ArraySpec],
    body_symbol: str,
    header: ArrayHeader | None,
    machine: Machine,
) -> str:
    """The module of the entry. It calls `void @body_symbol(ptr %state, ptr %arguments)`.

    `%arguments` points to the addresses of the data, parameters then results. Defined are
    `i64 @ml_run(ptr %state, ptr %arguments)`, which checks nothing, and, where `header` says how to
    read arrays, `i64 @ml_check(ptr %state, ptr %objects)` and what `python_call` has. All
    return 0 or a code for `decode`. Raises `InputError` for types that no array can have.
    """
    check_specs(parameters, results)
    run = Template(_RUN).substitute(
        body=body_symbol, status_field=state_field("status", "status"), STATUS=Fault.STATUS
    )
    count = len(parameters) + len(results)
    parts = [STATE_TYPE, run]
    if header is not None:
        check_text = _check_text(len(parameters), count, header)
        parts += [_tables(parameters, results), check_text, call_text(machine)]
    return "\n".join(parts)


def entry_exports(header: ArrayHeader | None) -> tuple[str, ...]:
    """The functions of `entry_text` that Python calls."""
    return ("ml_run",) if header is None else ("ml_call", "ml_poll", "ml_run_unlocked")


_ROW = 5  # rank, flags, bytes, donor or -1, index of the first size in @ml_sizes


def _tables(parameters: Sequence[ArraySpec], results: Sequence[ArraySpec]) -> str:
    rows: list[int] = []
    sizes: list[int] = []
    for index, spec in enumerate((*parameters, *results)):
        flags = C_CONTIGUOUS | (WRITEABLE if index >= len(parameters) else 0)
        donor = -1 if spec.donor is None else spec.donor
        rows += (spec.type.rank, flags, spec.type.nbytes, donor, len(sizes))
        sizes += spec.type.static_shape
    return f"{_table('ml_rows', rows)}\n{_table('ml_sizes', sizes)}"


def _table(name: str, values: Sequence[int]) -> str:
    elements = ", ".join(f"i64 {value}" for value in values)
    return f"@{name} = private unnamed_addr constant [{len(values)} x i64] [{elements}]"


def _check_text(first_result: int, count: int, header: ArrayHeader) -> str:
    return Template(_CHECK).substitute(
        {f"{name}_offset": str(offset) for name, offset in vars(header).items()},
        types_field=state_field("types", "types"),
        first_result=first_result,
        count=count,
        row=_ROW,
        **{fault.name: str(fault.value) for fault in Fault},
    )


_RUN = """
declare void @$body(ptr, ptr)

define i64 @ml_run(ptr %state, ptr %arguments) nounwind {
$status_field
  store i64 0, ptr %status
  call void @$body(ptr %state, ptr %arguments)
  %fault = load i64, ptr %status
  %good = icmp eq i64 %fault, 0
  %code = select i1 %good, i64 0, i64 $STATUS
  ret i64 %code
}
"""

_CHECK = """
define i64 @ml_check(ptr %state, ptr %objects) nounwind {
entry:
  %arguments = alloca [$count x ptr]
$types_field
  %array.type = load ptr, ptr %types
  br label %array
array:
  %index = phi i64 [ 0, %entry ], [ %index.next, %next.array ]
  %more = icmp ult i64 %index, $count
  br i1 %more, label %check.type, label %result
check.type:
  %object.at = getelementptr ptr, ptr %objects, i64 %index
  %object = load ptr, ptr %object.at
  %row.at = mul i64 %index, $row
  %row = getelementptr i64, ptr @ml_rows, i64 %row.at
  %type.at = getelementptr i8, ptr %object, i64 $type_offset
  %is.type = load ptr, ptr %type.at
  %type.good = icmp eq ptr %is.type, %array.type
  br i1 %type.good, label %check.rank, label %fault
check.rank:
  %rank.at = getelementptr i8, ptr %object, i64 $rank_offset
  %is.rank.i32 = load i32, ptr %rank.at
  %is.rank = sext i32 %is.rank.i32 to i64
  %rank = load i64, ptr %row
  %rank.good = icmp eq i64 %is.rank, %rank
  br i1 %rank.good, label %check.dtype, label %fault
check.dtype:
  %dtype.at = getelementptr i8, ptr %object, i64 $dtype_offset
  %is.dtype = load ptr, ptr %dtype.at
  %dtype.index = add i64 %index, 1
  %dtype.expected = getelementptr ptr, ptr %types, i64 %dtype.index
  %dtype = load ptr, ptr %dtype.expected
  %dtype.good = icmp eq ptr %is.dtype, %dtype
  br i1 %dtype.good, label %check.flags, label %fault
check.flags:
  %flags.at = getelementptr i8, ptr %object, i64 $flags_offset
  %is.flags.i32 = load i32, ptr %flags.at
  %is.flags = zext i32 %is.flags.i32 to i64
  %flags.expected = getelementptr i64, ptr %row, i64 1
  %flags = load i64, ptr %flags.expected
  %flags.common = and i64 %is.flags, %flags
  %flags.good = icmp eq i64 %flags.common, %flags
  br i1 %flags.good, label %check.shape, label %fault
check.shape:
  %shape.at = getelementptr i8, ptr %object, i64 $shape_offset
  %is.shape = load ptr, ptr %shape.at
  %sizes.at = getelementptr i64, ptr %row, i64 4
  %sizes.index = load i64, ptr %sizes.at
  %sizes = getelementptr i64, ptr @ml_sizes, i64 %sizes.index
  br label %axis
axis:
  %axis.index = phi i64 [ 0, %check.shape ], [ %axis.next, %check.size ]
  %axis.more = icmp ult i64 %axis.index, %rank
  br i1 %axis.more, label %check.size, label %next.array
check.size:
  %is.size.at = getelementptr i64, ptr %is.shape, i64 %axis.index
  %size.at = getelementptr i64, ptr %sizes, i64 %axis.index
  %is.size = load i64, ptr %is.size.at
  %size.expected = load i64, ptr %size.at
  %axis.next = add i64 %axis.index, 1
  %size.good = icmp eq i64 %is.size, %size.expected
  br i1 %size.good, label %axis, label %fault
next.array:
  %data.at = getelementptr i8, ptr %object, i64 $data_offset
  %data = load ptr, ptr %data.at
  %argument.at = getelementptr ptr, ptr %arguments, i64 %index
  store ptr %data, ptr %argument.at
  %index.next = add i64 %index, 1
  br label %array
fault:
  %kind = phi i64 [ $TYPE, %check.type ], [ $RANK, %check.rank ], [ $DTYPE, %check.dtype ],
                  [ $FLAGS, %check.flags ], [ $SHAPE, %check.size ]
  %place = shl i64 %index, 8
  %code = or i64 %place, %kind
  ret i64 %code

; Every result against every array before it, its donor apart.
result:
  %r = phi i64 [ $first_result, %array ], [ %r.next, %next.result ]
  %r.more = icmp ult i64 %r, $count
  br i1 %r.more, label %extent, label %run
extent:
  %r.row.at = mul i64 %r, $row
  %r.row = getelementptr i64, ptr @ml_rows, i64 %r.row.at
  %r.bytes.at = getelementptr i64, ptr %r.row, i64 2
  %r.donor.at = getelementptr i64, ptr %r.row, i64 3
  %r.bytes = load i64, ptr %r.bytes.at
  %r.donor = load i64, ptr %r.donor.at
  %r.argument.at = getelementptr ptr, ptr %arguments, i64 %r
  %r.start = load i64, ptr %r.argument.at
  %r.end = add i64 %r.start, %r.bytes
  br label %other
other:
  %o = phi i64 [ 0, %extent ], [ %o.next, %compare ], [ %o.next, %next.other ]
  %o.more = icmp ult i64 %o, %r
  br i1 %o.more, label %next.other, label %next.result
next.other:
  %o.next = add i64 %o, 1
  %o.donor = icmp eq i64 %o, %r.donor
  br i1 %o.donor, label %other, label %compare
compare:
  %o.row.at = mul i64 %o, $row
  %o.row = getelementptr i64, ptr @ml_rows, i64 %o.row.at
  %o.bytes.at = getelementptr i64, ptr %o.row, i64 2
  %o.bytes = load i64, ptr %o.bytes.at
  %o.argument.at = getelementptr ptr, ptr %arguments, i64 %o
  %o.start = load i64, ptr %o.argument.at
  %o.end = add i64 %o.start, %o.bytes
  %r.before = icmp ult i64 %r.start, %o.end
  %o.before = icmp ult i64 %o.start, %r.end
  %both = and i1 %r.before, %o.before
  br i1 %both, label %overlap, label %other
overlap:
  %r.place = shl i64 %r, 8
  %r.code = or i64 %r.place, $OVERLAP
  ret i64 %r.code
next.result:
  %r.next = add i64 %r, 1
  br label %result
run:
  %status = call i64 @ml_run(ptr %state, ptr %arguments)
  ret i64 %status
}
"""
