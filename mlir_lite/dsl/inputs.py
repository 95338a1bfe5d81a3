"""The arrays of a call: counted, and checked against the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import InputError, check
from ..ir import Function
from ..ir.arguments import checked_array, unknown_names
from ..types import Array


def named_arrays(
    fn: Function, arrays: Sequence[object], named: Mapping[str, object]
) -> dict[str, Array]:
    """The arrays of a call by parameter name, in the parameters' order.

    Element types and known sizes are checked, nothing is converted; `InputError` says what is
    missing, unknown, or does not fit.
    """
    names = [param.name for param in fn.params]
    unknown = unknown_names(named, names)
    has = ", ".join(names)
    check(not unknown, f"@{fn.name} has no parameter {unknown}; it has {has}", InputError)
    free = [name for name in names if name not in named]
    count = len(arrays) + len(named)
    check(
        len(arrays) == len(free),
        f"@{fn.name} takes {len(names)} arrays ({has}), got {count}",
        InputError,
    )
    given = {**dict(zip(free, arrays, strict=True)), **named}
    return {
        param.name: checked_array(
            given[param.name], param.type, f"parameter '{param.name}' of @{fn.name}"
        )
        for param in fn.params
    }
