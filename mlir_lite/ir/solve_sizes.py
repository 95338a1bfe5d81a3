"""The named sizes of a function, read off the shapes of what it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError, check
from ..sizes import Dim, Size, substitute


@dataclass(frozen=True)
class Extent:
    """The size of one axis of a parameter, as declared and as it is given: a number, or a size of
    the function that calls."""

    param: str
    declared: Size
    actual: Size


def solved_sizes(name: str, extents: Sequence[Extent]) -> dict[str, Size]:
    """The named sizes of the function of this name.

    A size such as `2*n + 1` is solved for `n`, or checked where `n` is known. `InputError` for
    shapes that do not fit, with the parameters that contradict each other, and for a size that no
    shape decides.
    """
    sizes: dict[str, Size] = {}
    found_in: dict[str, str] = {}
    open_ = extents
    while open_:
        left: list[Extent] = []
        for extent in open_:
            decided = all(used in sizes for used in _names(extent.declared))
            solved = None if decided else _solve(_known(extent.declared, sizes), extent)
            if decided:
                _check_extent(extent, substitute(extent.declared, sizes), found_in)
            elif solved is None:
                left.append(extent)
            else:
                found, value = solved
                sizes[found], found_in[found] = value, extent.param
        names = ", ".join(str(extent.declared) for extent in left)
        progress = len(left) < len(open_)
        check(progress, f"the shapes for @{name} do not decide the sizes {names}", InputError)
        open_ = left
    return sizes


def _names(size: Size) -> frozenset[str]:
    return size.names if isinstance(size, Dim) else frozenset()


def _known(size: Size, sizes: Mapping[str, Size]) -> Size:
    """The size with what is known put in, as far as that is numbers."""
    numbers = {name: known for name, known in sizes.items() if isinstance(known, int)}
    return substitute(size, numbers)


def _solve(size: Size, extent: Extent) -> tuple[str, Size] | None:
    """The one named size in `a*name + b` that makes it the actual extent; None for other forms."""
    if not isinstance(size, Dim) or len(size.names) != 1:
        return None
    (name,) = size.names
    terms = dict(size.terms)
    factor, rest = terms.pop((name,), 0), terms.pop((), 0)
    if factor == 0 or terms:
        return None
    above = extent.actual - rest
    value = above // factor
    fits = value * factor == above and (not isinstance(value, int) or value >= 0)
    check(
        fits,
        f"a size of parameter '{extent.param}' is {extent.declared}, which is never "
        f"{extent.actual}",
        InputError,
    )
    return name, value


def _check_extent(extent: Extent, known: Size, found_in: Mapping[str, str]) -> None:
    if known == extent.actual:
        return
    names = sorted(_names(extent.declared))
    if not names:
        message = f"parameter '{extent.param}' has the size {known}, not {extent.actual}"
    else:
        others = ", ".join(f"'{found_in[name]}'" for name in names)
        message = (
            f"the size {extent.declared} is {known} by parameter {others}, but {extent.actual} in "
            f"parameter '{extent.param}'"
        )
    raise InputError(message)
