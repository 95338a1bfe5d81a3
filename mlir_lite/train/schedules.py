"""Learning rates that depend on the step: computed inside of the compiled step, in f64.

    ml.train.WarmUp(ml.train.Cosine(3e-3, 10_000), 500)

A schedule is any function of the number of steps done before, an `f64[()]`, that gives the rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import InputError, check
from ..ir import Value
from ..ops import clip, cos, floor, minimum, where
from ..ops.base.promote import as_value
from ..types import f64

Schedule: TypeAlias = Callable[[Value], Value]


@dataclass(frozen=True)
class Constant:
    """One rate throughout."""

    rate: float

    def __call__(self, step: Value) -> Value:
        return as_value(self.rate, f64)


@dataclass(frozen=True)
class StepDecay:
    """`rate`, times `factor` after each `every` steps (torch's StepLR)."""

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        check(self.every > 0, f"a rate decays every 1 steps or more, not {self.every}", InputError)

    def __call__(self, step: Value) -> Value:
        return self.rate * as_value(self.factor, f64) ** floor(step / self.every)


@dataclass(frozen=True)
class Cosine:
    """From `rate` to `final` along half a cosine of `steps` steps; then `final`.

    Loshchilov, Hutter: SGDR (2017), without restarts; torch's CosineAnnealingLR.
    """

    rate: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check(self.steps > 0, f"a cosine takes 1 step or more, not {self.steps}", InputError)

    def __call__(self, step: Value) -> Value:
        done = minimum(step / self.steps, 1.0)
        return self.final + (self.rate - self.final) * 0.5 * (1.0 + cos(math.pi * done))


@dataclass(frozen=True)
class WarmUp:
    """From a share of 1 / (steps + 1) of another schedule's rate linearly up to all of it; the
    other schedule begins where this ends."""

    after: Schedule | float
    steps: int

    def __call__(self, step: Value) -> Value:
        rest = as_schedule(self.after)
        share = (step + 1.0) / (self.steps + 1)
        first = rest(as_value(0.0, f64))
        return where(step < self.steps, first * share, rest(clip(step - self.steps, 0.0)))


def as_schedule(rate: Schedule | float) -> Schedule:
    """A number as the schedule that does not change."""
    return Constant(float(rate)) if isinstance(rate, (int, float)) else rate
