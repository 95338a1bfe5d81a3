"""Optimisers: what a step makes of a parameter and its gradient, written in the DSL.

They have torch's names, formulas and defaults. An optimiser holds no arrays: `slots` says what it
keeps for each parameter, `update` gives the new values. Both become part of one compiled step.

    class SignDescent(ml.train.Optimiser):
        lr: float = 1e-3

        def update(self, x, gradient, slots, at):
            return x - at.rate(x) * ml.sign(gradient), {}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, dataclass_transform

from ..ir import Value
from ..ops import cast, equal, maximum, sqrt, square, where
from ..types import TensorType, f64
from .schedules import Schedule, as_schedule

Slots: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True)
class Moment:
    """Where in the training a step is: `count` numbers the steps from 1; both are `f64[()]`."""

    count: Value
    learning_rate: Value

    def rate(self, x: Value) -> Value:
        """The learning rate in the type of a parameter."""
        return cast(self.learning_rate, x.dtype)

    def correction(self, decay: float) -> Value:
        """`1 - decay ** count`: how much of a running mean that began with 0 is there."""
        return 1.0 - decay**self.count


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Optimiser:
    """Base of optimisers; a subclass is a frozen dataclass without writing so.

    `lr` is the learning rate: a number, or a schedule of `ml.train`.
    """

    lr: float | Schedule

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)

    def slots(self, type_: TensorType) -> Mapping[str, float]:
        """What is kept for a parameter of this type, by name: arrays of its type, filled first
        with these numbers."""
        return {}

    def update(
        self, x: Value, gradient: Value, slots: Slots, at: Moment
    ) -> tuple[Value, Slots]:
        """The new value of a parameter, and of what is kept for it."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def moment(self, step: Value) -> Moment:
        """The moment of a step, of which `step` (i64) have been done before."""
        before = cast(step, f64)
        return Moment(before + 1.0, cast(as_schedule(self.lr)(before), f64))


class SGD(Optimiser):
    """Gradient descent, with momentum (Polyak 1964) or Nesterov's, as torch writes them."""

    lr: float | Schedule = 1e-3
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def slots(self, type_: TensorType) -> Mapping[str, float]:
        return {"momentum_buffer": 0.0} if self.momentum else {}

    def update(
        self, x: Value, gradient: Value, slots: Slots, at: Moment
    ) -> tuple[Value, Slots]:
        gradient = _decayed(gradient, x, self.weight_decay)
        if not self.momentum:
            return x - at.rate(x) * gradient, {}
        buffer = self.momentum * slots["momentum_buffer"] + (1 - self.dampening) * gradient
        if self.dampening:  # the first gradient is taken whole
            buffer = where(equal(at.count, 1.0), gradient, buffer)
        way = gradient + self.momentum * buffer if self.nesterov else buffer
        return x - at.rate(x) * way, {"momentum_buffer": buffer}


class Adam(Optimiser):
    """Kingma, Ba (2015); with `amsgrad` Reddi et al. (2018). Weight decay adds to the gradient."""

    lr: float | Schedule = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False

    def slots(self, type_: TensorType) -> Mapping[str, float]:
        kept = {"exp_avg": 0.0, "exp_avg_sq": 0.0}
        return {**kept, "max_exp_avg_sq": 0.0} if self.amsgrad else kept

    def update(
        self, x: Value, gradient: Value, slots: Slots, at: Moment
    ) -> tuple[Value, Slots]:
        return self._moved(x, _decayed(gradient, x, self.weight_decay), slots, at)

    def _moved(
        self, x: Value, gradient: Value, slots: Slots, at: Moment
    ) -> tuple[Value, Slots]:
        first, second = self.betas
        mean = _mixed(slots["exp_avg"], gradient, first)
        power = _mixed(slots["exp_avg_sq"], square(gradient), second)
        new = {"exp_avg": mean, "exp_avg_sq": power}
        if self.amsgrad:
            power = maximum(slots["max_exp_avg_sq"], power)
            new["max_exp_avg_sq"] = power
        # Both corrections are numbers of the whole step; only their product meets the arrays.
        scale = cast(1.0 / sqrt(at.correction(second)), x.dtype)
        length = cast(at.learning_rate / at.correction(first), x.dtype)
        return x - length * mean / (sqrt(power) * scale + self.eps), new


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself (Loshchilov, Hutter 2019)."""

    weight_decay: float = 1e-2

    def update(
        self, x: Value, gradient: Value, slots: Slots, at: Moment
    ) -> tuple[Value, Slots]:
        shrunk = x * cast(1.0 - at.learning_rate * self.weight_decay, x.dtype)
        return self._moved(shrunk if self.weight_decay else x, gradient, slots, at)


class RMSprop(Optimiser):
    """Hinton's (2012), with torch's places of epsilon and momentum."""

    lr: float | Schedule = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    def slots(self, type_: TensorType) -> Mapping[str, float]:
        wanted = {
            "square_avg": True,
            "momentum_buffer": self.momentum > 0,
            "grad_avg": self.centered,
        }
        return {name: 0.0 for name, is_wanted in wanted.items() if is_wanted}

    def update(
        self, x: Value, gradient: Value, slots: Slots, at: Moment
    ) -> tuple[Value, Slots]:
        gradient = _decayed(gradient, x, self.weight_decay)
        power = _mixed(slots["square_avg"], square(gradient), self.alpha)
        new = {"square_avg": power}
        if self.centered:
            new["grad_avg"] = _mixed(slots["grad_avg"], gradient, self.alpha)
            power = power - square(new["grad_avg"])
        way = gradient / (sqrt(power) + self.eps)
        if self.momentum:
            way = self.momentum * slots["momentum_buffer"] + way
            new["momentum_buffer"] = way
        return x - at.rate(x) * way, new


class Adagrad(Optimiser):
    """Duchi, Hazan, Singer (2011)."""

    lr: float | Schedule = 1e-2
    lr_decay: float = 0.0
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10

    def slots(self, type_: TensorType) -> Mapping[str, float]:
        return {"sum": self.initial_accumulator_value}

    def update(
        self, x: Value, gradient: Value, slots: Slots, at: Moment
    ) -> tuple[Value, Slots]:
        gradient = _decayed(gradient, x, self.weight_decay)
        total = slots["sum"] + square(gradient)
        slowed = at.learning_rate / (1.0 + (at.count - 1.0) * self.lr_decay)
        length = cast(slowed, x.dtype) if self.lr_decay else at.rate(x)
        return x - length * gradient / (sqrt(total) + self.eps), {"sum": total}


def _decayed(gradient: Value, x: Value, weight_decay: float) -> Value:
    """The gradient with that of half the squared length of `x` added."""
    return gradient + weight_decay * x if weight_decay else gradient


def _mixed(old: Value, new: Value, share: float) -> Value:
    """A running mean that keeps this share of what it was."""
    return share * old + (1 - share) * new
