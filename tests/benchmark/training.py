"""Steps of training on every engine: each makes a call that does one step and gives the loss; the
first call gives the weights after it, too, in the order of their names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import mlir_lite as ml
from mlir_lite.cli.runners import Call
from mlir_lite.types import Array

from .workload import Workload

Weights = Mapping[str, Array]


def training_arrays(work: Workload) -> dict[str, Array]:
    """The inputs, the first weights, and the loss and weights after one step in float64."""
    import torch

    module = work.module()
    inputs = {f"x{place}": array for place, array in enumerate(work.inputs())}
    weights = {f"w.{name}": entry.numpy().copy() for name, entry in module.state_dict().items()}
    x, y = (torch.from_numpy(array) for array in inputs.values())
    wide = y.double() if y.is_floating_point() else y
    loss, *moved = _torch_step(work, module.double(), x.double(), wide, lambda f: f)()
    wanted = {f"y.{name}": array for name, array in zip(sorted(module.state_dict()), moved,
                                                         strict=True)}
    return {**inputs, **weights, "y": np.array(loss), **wanted}


def our_step(work: Workload, weights: Weights, inputs: Sequence[Array], threads: int) -> Call:
    """One compiled function; the state is overwritten in place."""
    assert work.training is not None
    step = work.training.step(work)
    run = ml.compile(step.function, threads=threads)
    state = step.initial(weights)
    loss = len(state)

    def call() -> Sequence[Array]:
        found = run(*state.values(), *inputs)
        return [np.asarray(found[loss])]

    return _with_weights(call, lambda: [state[name].copy() for name in sorted(weights)])


def torch_step(
    work: Workload, weights: Weights, inputs: Sequence[Array], threads: int, *, compiled: bool
) -> Call:
    """Eager, or the loss and the optimiser's step by `torch.compile`."""
    import torch

    torch.set_num_threads(threads)
    module = work.module()
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    x, y = (torch.from_numpy(array) for array in inputs)
    return _torch_step(work, module, x, y, torch.compile if compiled else lambda f: f)


def _torch_step(work: Workload, module: Any, x: Any, y: Any, wrap: Callable[..., Any]) -> Call:
    import torch

    training = work.training
    assert training is not None
    optimiser = getattr(torch.optim, training.optimiser)(module.parameters(), **training.options)
    measure = getattr(torch.nn.functional, training.loss)
    loss_of, move = wrap(lambda x, y: measure(module(x), y)), wrap(optimiser.step)

    def call() -> Sequence[Array]:
        optimiser.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        move()
        return [loss.detach().numpy()]

    def now() -> list[Array]:
        entries = module.state_dict()
        return [entries[name].numpy().copy() for name in sorted(entries)]

    return _with_weights(call, now)


def jax_step(work: Workload, weights: Weights, inputs: Sequence[Array]) -> Call:
    """One function by `jax.jit`, its state donated."""
    import jax

    training = work.training
    assert training is not None and work.jax is not None
    forward, update = work.jax(), _JAX_UPDATES[training.optimiser]

    def loss_of(w: Any, x: Any, y: Any) -> Any:
        return _JAX_LOSSES[training.loss](forward(w, x), y)

    def step(state: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(state["w"], x, y)
        return update(state, gradients, training.options), loss

    run = jax.jit(step, donate_argnums=0)
    first = {name: jax.numpy.array(array) for name, array in weights.items()}
    zeros = {name: jax.numpy.zeros_like(array) for name, array in first.items()}
    kept: list[Any] = [{"w": first, "mean": zeros, "power": copy.deepcopy(zeros), "step": 0.0}]
    x, y = (jax.device_put(array) for array in inputs)

    def call() -> Sequence[Array]:
        kept[0], loss = run(kept[0], x, y)
        return [np.asarray(loss.block_until_ready())]

    return _with_weights(call, lambda: [np.array(kept[0]["w"][name]) for name in sorted(weights)])


def _jax_cross_entropy(logits: Any, labels: Any) -> Any:
    import jax

    logs = jax.nn.log_softmax(logits)
    return -jax.numpy.take_along_axis(logs, labels[:, None], 1).mean()


def _jax_sgd(state: Any, gradients: Any, options: Mapping[str, float]) -> Any:
    moved = {name: w - options["lr"] * gradients[name] for name, w in state["w"].items()}
    return {**state, "w": moved}


def _jax_adamw(state: Any, gradients: Any, options: Mapping[str, float]) -> Any:
    import jax

    count, rate = state["step"] + 1, options["lr"]
    mean = {name: 0.9 * m + 0.1 * gradients[name] for name, m in state["mean"].items()}
    power = {name: 0.999 * v + 0.001 * gradients[name] ** 2 for name, v in state["power"].items()}
    scale, length = (1 - 0.999**count) ** -0.5, rate / (1 - 0.9**count)
    moved = {
        name: w * (1 - rate * options["weight_decay"])
        - length * mean[name] / (jax.numpy.sqrt(power[name]) * scale + options["eps"])
        for name, w in state["w"].items()
    }
    return {"w": moved, "mean": mean, "power": power, "step": count}


_JAX_LOSSES: Mapping[str, Callable[[Any, Any], Any]] = {
    "cross_entropy": _jax_cross_entropy,
    "mse_loss": lambda x, y: ((x - y) ** 2).mean(),
}
_JAX_UPDATES: Mapping[str, Callable[..., Any]] = {"SGD": _jax_sgd, "AdamW": _jax_adamw}


def _with_weights(call: Call, weights: Callable[[], Sequence[Array]]) -> Call:
    """The call, whose first results have the weights after it too."""
    calls = 0

    def counted() -> Sequence[Array]:
        nonlocal calls
        calls += 1
        return [*call(), *(weights() if calls == 1 else ())]

    return counted
