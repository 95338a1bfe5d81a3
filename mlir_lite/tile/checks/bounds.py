"""The verifier's check that indices lie within their buffers.

What the linear forms do not prove is enumerated where the loops are small enough.
"""

from __future__ import annotations

from ...expr import Expr, has_loads, vars_of
from ...expr.simplify import linear
from ...expr.traverse import children
from ...types import Array
from ..analyses.accesses import Accesses, Site, points
from ..analyses.conditions import conditional_bounds
from ..analyses.scopes import constant_limits
from ..evaluate import evaluate
from ..frame import Frame


def check_bounds(accesses: Accesses, *, strict: bool) -> None:
    """Every index lies in its buffer; with `strict` that must be proven."""
    for site in accesses.sites(accesses.body):
        access = site.access
        shape = accesses.buffers[access.buffer].shape
        for dimension, (part, extent) in enumerate(zip(access.indices, shape, strict=True)):
            reason = _outside(accesses, part, extent, site, strict)
            if reason:
                raise accesses.fail(
                    access.stmt,
                    f"the index of dimension {dimension} of '{access.buffer}' {reason}, its "
                    f"extent is {extent}",
                )


def _outside(accesses: Accesses, part: Expr, extent: int, site: Site, strict: bool) -> str:
    """Why an index is wrong; empty if it is right, or may be and that is enough."""
    low, high = conditional_bounds(part, site.conditions, accesses.bounds)
    never = low > high  # the conditions contradict each other
    if never or (low >= 0 and high < extent):
        return ""
    known = tuple(held for held in site.conditions if not has_loads(held))
    frame = accesses.enumerate(site, (part, *known))
    if frame is not None:
        for held in known:
            frame = frame.masked(evaluate(held, frame))
        wrong = _wrong_value(evaluate(part, frame), extent, frame)
        if wrong is None:
            return ""
        if len(known) == len(site.conditions):
            return f"is {wrong}"
    elif low >= extent or high < 0 or (not site.conditions and _attained(part, site)):
        return f"goes from {low} to {high}"
    return "is not proven to be inside" if strict else ""


def _attained(part: Expr, site: Site) -> bool:
    """Does the index take the ends of its bounds? So if linear over constant loops."""
    constant = {loop.axis for loop in site.loops if constant_limits(loop)}
    terms = [term for term in linear(part) if term is not None]
    return all(not children(term) and vars_of(term) <= constant for term in terms)


def _wrong_value(index: Array, extent: int, frame: Frame) -> int | None:
    """An index outside `0..extent` that an active point has."""
    values = points([index], frame)[0]
    wrong = values[(values < 0) | (values >= extent)]
    return int(wrong[0]) if wrong.size else None
