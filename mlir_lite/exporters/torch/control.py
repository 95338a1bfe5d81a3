"""Loops and branches: programs within the program, run by plain Python functions, which
torch.compile reads like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch

from ...errors import RunError, UnsupportedError, check
from ...ir import Op
from ...ops.regions.control import Cond, Scan, WhileLoop, over_limit
from .site import Call, Site, Tensor, Tensors

Program: TypeAlias = Callable[..., Tensors]


def run_scan(
    step: Program,
    steps: Sequence[int],
    carries: Tensors,
    inputs: Tensors,
    invariants: Tensors,
) -> Tensors:
    """The last carries, and what the steps gave, stacked in the order of the inputs."""
    stacked: dict[int, Tensors] = {}
    for t in steps:
        given = step(*carries, *(x[t] for x in inputs), *invariants)
        carries, stacked[t] = given[: len(carries)], given[len(carries) :]
    rows = (stacked[t] for t in sorted(stacked))
    return (*carries, *(torch.stack(column) for column in zip(*rows, strict=True)))


def run_branch(then: Program, otherwise: Program, predicate: Tensor, inputs: Tensors) -> Tensors:
    """The results of one of two programs."""
    return then(*inputs) if predicate else otherwise(*inputs)


def run_while(
    condition: Program, step: Program, limit: int | None, carries: Tensors, invariants: Tensors
) -> Tensors:
    """The carries when the condition no longer holds."""
    turns = 0
    while condition(*carries, *invariants)[0]:
        check(turns != limit, over_limit(limit), RunError)
        carries = step(*carries, *invariants)
        turns += 1
    return carries


def _scan(site: Site, op: Scan, carries: Tensors, inputs: Tensors, invariants: Tensors) -> Tensor:
    check(op.length != 0 or not op.outputs, "scan of no steps", UnsupportedError)
    assert isinstance(op.length, int)
    steps = tuple(range(op.length))
    turned = steps[::-1] if op.reverse else steps
    return site.call(run_scan, site.program(op.step), turned, carries, inputs, invariants)


def _cond(site: Site, op: Cond, predicate: Tensor, inputs: Tensors) -> Tensor:
    then, otherwise = site.program(op.then), site.program(op.otherwise)
    return site.call(run_branch, then, otherwise, predicate, inputs)


def _while(site: Site, op: WhileLoop, carries: Tensors, invariants: Tensors) -> Tensor:
    programs = site.program(op.condition), site.program(op.step)
    return site.call(run_while, *programs, op.limit, carries, invariants)


CALLS: Mapping[type[Op], Call] = {Scan: _scan, Cond: _cond, WhileLoop: _while}
