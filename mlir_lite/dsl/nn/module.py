"""Modules: frozen trees of layers that name their parameters and hold no arrays.

    class Net(nn.Module):
        conv: nn.Conv2d
        head: nn.Linear

        def forward(self, x: Value) -> Value:
            return self.head(ml.relu(self.conv(x)).mean((2, 3)))

    net = Net(nn.Conv2d(1, 16, 3), nn.Linear(16, 10))
    fn = ml.function(net, f32["batch", 1, 8, 8])      # parameters conv.weight, conv.bias, ..., x
    classify = fn.bind(net.init(seed=0))

Arrays meet a module's parameters only in the traced function, by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, Self, cast, dataclass_transform

import numpy as np

from ...errors import TypeRuleError, check
from ...ir import Value
from ...location import caller_location
from ...types import Array, TensorType
from .initialisers import Initialiser
from .training import Training


@dataclass(frozen=True)
class Parameter:
    """What a module wants to know: its type and first value.

    A running statistic is not `trained`: no gradient flows to it.
    """

    type: TensorType
    initial: Initialiser
    trained: bool = True


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
@dataclass(frozen=True, eq=False)
class Module:
    """Base of layers and models; a subclass is a frozen dataclass without writing so.

    Fields that are modules, or tuples or mappings of modules, are its children; their parameters
    have dotted names, as in torch: `blocks.0.conv.weight`. A module that stands in two places has
    two sets of parameters; to share one, call it twice in `forward`.
    """

    # The parameters and results of `forward` are a subclass's own.
    forward: ClassVar[Callable[..., Any]]

    _values: Mapping[str, Value] | None = field(default=None, kw_only=True, repr=False)
    _training: Training | None = field(default=None, kw_only=True, repr=False)

    def __init_subclass__(cls) -> None:
        for name, entry in vars(cls).items():
            layer = next((found for _, found in _modules_in(name, entry)), None)
            if layer is not None and name not in cls.__annotations__:
                kind = "Module" if layer is not entry else type(layer).__name__
                raise TypeRuleError(
                    f"the layer '{name}' of {cls.__name__} is no field without a type: write "
                    f"`{name}: nn.{kind} = …`",
                    caller_location().full(),
                )
        dataclass(frozen=True, eq=False)(cls)
        # Over what `dataclass` gave it: who comes from torch sets layers, and is told what to do.
        setattr(cls, "__setattr__", _refuse_setting)  # noqa: B010 (a checker sees a method here)

    def __call__(self, *inputs: Value) -> Value:
        """`forward`, for the usual module of one result."""
        result: Value = self.forward(*inputs)
        return result

    def own_parameters(self) -> Mapping[str, Parameter]:
        """The parameters of this module itself, by name; its children's are not among them."""
        return {}

    def own(self, name: str) -> Value:
        """The value of a parameter of this module itself, for use in `forward`."""
        message = (
            f"{type(self).__name__} is not being traced; trace it with ml.function(module, types)"
        )
        check(self._values is not None, message)
        assert self._values is not None
        declared = ", ".join(self._values)
        known = name in self._values
        check(known, f"{type(self).__name__} declares no parameter '{name}', but: {declared}")
        value = self._values[name]
        return value if self._training is None else self._training.latest(value)

    @property
    def training(self) -> bool:
        """Whether `forward` is being traced for training: `ml.function(…, training=True)`."""
        return self._training is not None

    def update(self, name: str, value: Value) -> None:
        """Give a running statistic of this module a new value; only in training."""
        self.own(name)
        trained = self.own_parameters()[name].trained
        check(not trained, f"'{name}' is trained, so that no forward pass may change it")
        assert self._values is not None
        self._noted().update(name, self._values[name], value)

    def draw(self) -> tuple[Value, int]:
        """A seed and a stream for random numbers of this call alone; only in training.

        The seed is the function's parameter `seed`, which each step gives another value.
        """
        return self._noted().draw()

    def _noted(self) -> Training:
        message = f"{type(self).__name__} is not being traced for training"
        check(self._training is not None, message)
        assert self._training is not None
        return self._training

    def children(self) -> dict[str, Module]:
        """The modules in the fields, by name: `conv`, `blocks.0`, `heads.mask`."""
        found: dict[str, Module] = {}
        for entry in dataclasses.fields(self):
            found.update(_modules_in(entry.name, getattr(self, entry.name)))
        return found

    def with_children(self, children: Mapping[str, Module]) -> Self:
        """This module with other children in the places of its own."""
        changed = {
            entry.name: _replaced(entry.name, getattr(self, entry.name), children)
            for entry in dataclasses.fields(self)
            if entry.name not in ("_values", "_training")
        }
        # Which fields there are, and of what types, is a subclass's own.
        replaced: Self = dataclasses.replace(cast(Any, self), **changed)
        return replaced

    def parameters(self) -> dict[str, Parameter]:
        """All parameters by their dotted names: its own, then its children's in order."""
        found = dict(self.own_parameters())
        for name, child in self.children().items():
            below = child.parameters()
            found.update((f"{name}.{inner}", entry) for inner, entry in below.items())
        return found

    def init(self, seed: int = 0) -> dict[str, Array]:
        """First values for all parameters, from the distributions that torch draws them from.

        Each depends on the seed and the parameter's name alone, so that a new layer changes no
        other's.
        """
        return {
            name: entry.initial(_generator(seed, name), entry.type.static_shape).astype(
                entry.type.dtype.numpy
            )
            for name, entry in self.parameters().items()
        }

    def attach(self, values: Mapping[str, Value], training: Training | None = None) -> Self:
        """The same tree with these values, by dotted name, standing for its parameters; for
        training if it is given where to note what that changes."""
        children = {
            name: child.attach(_below(name, values), training)
            for name, child in self.children().items()
        }
        own = {name: values[name] for name in self.own_parameters()}
        attached = self.with_children(children)
        # A subclass may have an `__init__` that takes neither of these.
        noted = copy(attached)
        object.__setattr__(noted, "_values", own or None)
        object.__setattr__(noted, "_training", training)
        return noted


def _refuse_setting(module: Module, name: str, value: object) -> NoReturn:
    kind = type(module).__name__
    raise dataclasses.FrozenInstanceError(
        f"'{name}' of {kind} is not set: a module is frozen, and its layers are fields, as in\n"
        f"    class {kind}(nn.Module):\n        {name}: nn.Linear = nn.Linear(784, 10)"
    )


def _modules_in(name: str, entry: object) -> Iterator[tuple[str, Module]]:
    match entry:
        case Module():
            yield name, entry
        case tuple() | list():
            for position, part in enumerate(entry):
                yield from _modules_in(f"{name}.{position}", part)
        case Mapping():
            for key, part in entry.items():
                yield from _modules_in(f"{name}.{key}", part)


def _replaced(name: str, entry: object, children: Mapping[str, Module]) -> object:
    """A field with the modules in it replaced by those of the same names."""
    match entry:
        case Module():
            return children[name]
        case tuple() | list():
            parts = enumerate(entry)
            return tuple(_replaced(f"{name}.{at}", part, children) for at, part in parts)
        case Mapping():
            return {key: _replaced(f"{name}.{key}", part, children) for key, part in entry.items()}
    return entry


def _below(name: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """The entries under a child's name, without it."""
    prefix = f"{name}."
    return {
        dotted.removeprefix(prefix): value
        for dotted, value in values.items()
        if dotted.startswith(prefix)
    }


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *name.encode()])
