"""A training step as one function: loss, gradients, clipping and optimiser, compiled together.

    step = ml.train.step(
        net, ml.cross_entropy, ml.train.AdamW(3e-3),
        inputs=f32["batch", 1, 8, 8], targets=i64["batch"],
    )
    print(step)         # one function of the state and a batch, to the new state and the loss
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..dsl import function, trace
from ..dsl.nn import Module
from ..errors import InputError, check
from ..ir import Function, Value, parameter, vjp
from ..ir.arguments import unknown_names
from ..ops import cast, ones_like, random
from ..types import Array, TensorType, i64
from .clipping import Clipping
from .optimisers import Optimiser

Types: TypeAlias = TensorType | Sequence[TensorType]
Measure: TypeAlias = Callable[..., Value]
# One for all weights, or what gives each its own by its name: None for one that stays as it is.
Optimisers: TypeAlias = Optimiser | Callable[[str], Optimiser | None]

STEP, SEED = "step", "seed"


@dataclass(frozen=True)
class Step:
    """A step of training: a function, and which of its parameters are what.

    `function` takes the state, by name, and then a batch. It gives the new state in the same
    order, into the arrays of the old one, then the loss and the metrics.
    """

    function: Function
    weights: tuple[str, ...]  # what is trained
    statistics: tuple[str, ...]  # what the forward pass itself changes, and what stays
    slots: Mapping[str, float]  # what the optimiser keeps, and the number it is filled with first
    metrics: tuple[str, ...]
    draws: bool  # whether the function takes a seed

    @property
    def state(self) -> tuple[str, ...]:
        """The names of the parameters that each call overwrites; the number of steps is last."""
        return (*self.weights, *self.statistics, *self.slots, STEP)

    @property
    def batch(self) -> tuple[str, ...]:
        """The names of the parameters that hold the examples."""
        names = [param.name for param in self.function.params]
        return tuple(names[len(self.state) + self.draws :])

    def initial(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """The first state: copies of these weights and statistics, the optimiser's arrays, 0."""
        names = (*self.weights, *self.statistics)
        missing = [name for name in names if name not in weights]
        check(not missing, f"there are no weights for {', '.join(missing)}", InputError)
        unknown = unknown_names(weights, names)
        check(not unknown, f"@{self.function.name} trains no {unknown}", InputError)
        state = {name: np.array(weights[name], order="C") for name in names}
        for name, number in self.slots.items():
            type_ = self.function.param(name).type
            state[name] = np.full(type_.static_shape, number, type_.dtype.numpy)
        return {**state, STEP: np.zeros((), np.int64)}

    def __str__(self) -> str:
        return str(self.function)


def step(
    module: Module,
    loss: Measure,
    optimiser: Optimisers,
    *,
    inputs: Types,
    targets: Types = (),
    metrics: Mapping[str, Measure] | None = None,
    clipping: Clipping | None = None,
    name: str = "step",
) -> Step:
    """One step of training a module.

    `loss(output, target)` gives a scalar, `metrics` are others of the kind to look at; both take
    all of the module's results and then all targets. `clipping` is `ml.train.clip_by_norm(1.0)` or
    the like. Types may have named sizes, such as the batch's. `optimiser` may be a function of a
    weight's name, for weights that are to be treated differently:

        lambda name: AdamW(3e-4) if name.endswith("weight") else AdamW(3e-4, weight_decay=0.0)
    """
    forward = function(module, *_types(inputs), training=True)
    declared = module.parameters()
    optimisers = {
        dotted: _chosen(optimiser, dotted) for dotted, entry in declared.items() if entry.trained
    }
    statistics = [dotted for dotted, entry in declared.items() if not entry.trained]
    measures = {"loss": loss, **(metrics or {})}
    whole = measured(forward, len(statistics), _types(targets), measures)
    # The loss, which is differentiated, comes first.
    carried: dict[str, int | None] = {
        dotted: len(measures) + at for at, dotted in enumerate(statistics)
    }
    carried |= {dotted: None for dotted, chosen in optimisers.items() if chosen is None}
    return step_of(
        whole,
        optimiser,
        weights=[dotted for dotted, chosen in optimisers.items() if chosen is not None],
        statistics=carried,
        metrics=tuple(metrics or ()),
        clipping=clipping,
        name=name,
    )


def measured(
    forward: Function,
    statistics: int,
    targets: Sequence[TensorType],
    measures: Mapping[str, Measure],
) -> Function:
    """The function of a module and targets that gives measures of its results, then statistics."""
    several = len(targets) > 1
    aims = [
        parameter(f"target{at if several else ''}", type_) for at, type_ in enumerate(targets)
    ]
    params = [parameter(param.name, param.type) for param in forward.params]

    def run() -> tuple[object, ...]:
        found = forward(*params)
        results = found if isinstance(found, tuple) else (found,)
        own, changed = results[: len(results) - statistics], results[len(results) - statistics :]
        return (*(measure(*own, *aims) for measure in measures.values()), *changed)

    return trace(forward.name, [*params, *aims], (), run)


def step_of(
    loss: Function,
    optimiser: Optimisers,
    *,
    weights: Sequence[str],
    statistics: Mapping[str, int | None] | None = None,
    metrics: Sequence[str] = (),
    clipping: Clipping | None = None,
    name: str = "step",
) -> Step:
    """One step that lessens the first result of a function, by its parameters named in `weights`.

    `statistics` says which results are the new values of which other parameters (None: the old
    one is); `metrics` names the results after the first. A parameter `seed` (i64) gets another
    value at each step, made of the one that is given.
    """
    carried = dict(statistics or {})
    unknown = unknown_names([*weights, *carried], (param.name for param in loss.params))
    check(not unknown, f"@{loss.name} has no parameter {unknown}", InputError)
    first = loss.results[0]
    check(
        first.rank == 0 and first.dtype.is_float,
        f"the loss of @{loss.name} is {first.type}, not a single float; take its mean()",
        InputError,
    )
    optimisers: dict[str, Optimiser] = {}
    for weight in weights:
        chosen = _chosen(optimiser, weight)
        check(chosen is not None, f"there is no optimiser for the weight '{weight}'", InputError)
        assert chosen is not None
        optimisers[weight] = chosen
    slots = {
        f"{weight}.{slot}": number
        for weight, chosen in optimisers.items()
        for slot, number in chosen.slots(loss.param(weight).type).items()
    }
    draws = any(param.name == SEED for param in loss.params)
    maker = _Maker(loss, optimisers, carried, clipping)
    made = maker.function(name, slots, len(metrics))
    return Step(made, tuple(weights), tuple(carried), slots, tuple(metrics), draws)


@dataclass(frozen=True)
class _Maker:
    loss: Function
    optimisers: Mapping[str, Optimiser]  # by weight
    statistics: Mapping[str, int | None]
    clipping: Clipping | None

    def function(self, name: str, slots: Mapping[str, float], metrics: int) -> Function:
        """The step's function, its state donated."""
        owned = (*self.optimisers, *self.statistics)
        state = [parameter(own, self.loss.param(own).type) for own in owned]
        for slot in slots:
            state.append(parameter(slot, self.loss.param(slot.rpartition(".")[0]).type))
        state.append(parameter(STEP, i64[()]))
        known = {param.name: param for param in state}
        others = [param for param in self.loss.params if param.name not in known]
        others.sort(key=lambda param: param.name != SEED)
        params = [*state, *(parameter(param.name, param.type) for param in others)]
        values = {param.name: param for param in params}
        made = trace(name, params, (), lambda: self._emit(values, metrics))
        return made.donating({param.name: at for at, param in enumerate(state)})

    def _emit(self, values: Mapping[str, Value], metrics: int) -> list[Value]:
        step, places = values[STEP], {param.name: at for at, param in enumerate(self.loss.params)}
        given = dict(values)
        if SEED in given:
            given[SEED] = random.fold_in(given[SEED], step)
        args = [given[param.name] for param in self.loss.params]
        wrt = [places[weight] for weight in self.optimisers]
        results, pullback = vjp(self.loss, args, wrt=wrt, of=(0,))
        found = pullback(ones_like(results[0]), *[None for _ in results[1:]])
        gradients = {own: found[places[own]] for own in self.optimisers}
        new, slots = self._updated(values, gradients)
        statistics = [
            values[own] if at is None else results[at] for own, at in self.statistics.items()
        ]
        return [*new, *statistics, *slots, step + 1, *results[: 1 + metrics]]

    def _updated(
        self, values: Mapping[str, Value], gradients: Mapping[str, Value | None]
    ) -> tuple[list[Value], list[Value]]:
        """The new weights, and the new arrays of the optimiser, in their orders."""
        moving = {own: gradient for own, gradient in gradients.items() if gradient is not None}
        if self.clipping is not None and moving:
            clipped = self.clipping(list(moving.values()))
            moving = dict(zip(moving, clipped, strict=True))
        new: list[Value] = []
        slots: list[Value] = []
        for own, optimiser in self.optimisers.items():
            kept = optimiser.slots(values[own].type)
            before = {slot: values[f"{own}.{slot}"] for slot in kept}
            if own not in moving:  # the loss does not depend on it
                new.append(values[own])
                slots += before.values()
                continue
            at = optimiser.moment(values[STEP])
            value, after = optimiser.update(values[own], moving[own], before, at)
            new.append(cast(value, values[own].dtype))
            slots += [after[slot] for slot in kept]
        return new, slots


def _chosen(optimiser: Optimisers, weight: str) -> Optimiser | None:
    return optimiser if isinstance(optimiser, Optimiser) else optimiser(weight)


def _types(given: Types) -> tuple[TensorType, ...]:
    return (given,) if isinstance(given, TensorType) else tuple(given)
