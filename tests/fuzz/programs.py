"""A random program of 3 to 30 steps, and the arrays it runs on: both follow from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from mlir_lite import Function
from mlir_lite.types import Array

from . import elementwise, loops, moving, reducing, windows
from .maker import Maker, Step

Families: TypeAlias = tuple[tuple[tuple[Step, ...], int], ...]  # each with its weight
FAMILIES: Families = (
    (elementwise.STEPS, 7),
    (moving.STEPS, 6),
    (reducing.STEPS, 6),
    (windows.STEPS, 4),
    (loops.STEPS, 1),
)
# Without products of special values: what overflows depends on the order there.
LOOSE: Families = (
    (tuple(step for step in elementwise.STEPS if step is not elementwise.positive), 8),
    (moving.STEPS, 6),
    ((reducing.extreme, reducing.masked_rows, reducing.rows, reducing.decided), 2),
    ((windows.pooled,), 1),
)
# What is smooth enough for a finite difference, and has gradients.
SMOOTH: Families = (
    ((elementwise.tame, elementwise.arithmetic, elementwise.limited, elementwise.positive), 5),
    ((elementwise.with_number, elementwise.quotient, elementwise.power), 2),
    (
        tuple(
            step
            for step in moving.STEPS
            if step not in (moving.created, moving.one_hot, moving.scattered, moving.scattered_nd)
        ),
        5,
    ),
    ((reducing.reduced, reducing.running, reducing.rows, reducing.norm, reducing.trained_norm), 3),
    ((reducing.matmul, reducing.transposed_product, reducing.attention, reducing.loss), 3),
    (windows.STEPS, 3),
    ((loops.scan, loops.cond, loops.again, loops.while_loop), 1),
)


@dataclass(frozen=True)
class Program:
    fn: Function
    arrays: tuple[Array, ...]


def random_program(
    seed: int,
    families: Families = FAMILIES,
    *,
    special: bool = False,
    most: int = 30,
) -> Program:
    """The program of a seed: steps of some families, each with its weight."""
    maker = Maker(Random(seed), special, smooth=families is SMOOTH)
    steps, weights = zip(*families, strict=True)
    wanted = maker.random.randint(3, most)
    done = 0
    for _ in range(4 * wanted):
        family = maker.random.choices(steps, weights)[0]
        done += maker.step(maker.random.choice(family))
        if done == wanted:
            break
    fn = maker.function(f"seed{seed}")
    return Program(fn, tuple(maker.arrays[param] for param in fn.params))
