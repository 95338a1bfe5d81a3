"""`fit`: epochs over batches, with validation, checkpoints, a history and a bar.

    fitted = ml.train.fit(
        net, ml.cross_entropy, ml.train.AdamW(3e-3), (images, labels), epochs=10, seed=0,
        validation=(test_images, test_labels), metrics={"accuracy": ml.train.accuracy},
    )
    fitted.history.plot("history.svg")
    classify = ml.compile(ml.function(net, f32["batch", 1, 8, 8]).bind(fitted.weights))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..driver import compile
from ..dsl import function
from ..dsl.nn import Module
from ..errors import InputError, check
from ..ir import Value
from ..ops import argmax, cast, equal, mean
from ..sizes import Dim
from ..types import Array, TensorType, dtype_of, f32
from .batches import Batches, Transform
from .clipping import Clipping
from .history import History
from .progress import Progress, progress
from .step import Measure, Optimisers, measured, step
from .trainer import Trainer


@dataclass(frozen=True)
class Fitted:
    """A training that ended: its history, and the trainer, which can go on."""

    trainer: Trainer
    history: History

    @property
    def weights(self) -> dict[str, Array]:
        """The weights and running statistics, for `Function.bind`."""
        return self.trainer.state_dict()


def accuracy(scores: Value, labels: Value) -> Value:
    """The share of examples whose largest score, along axis 1, is that of the label."""
    return mean(cast(equal(cast(argmax(scores, 1), labels.dtype), labels), f32))


def fit(
    module: Module,
    loss: Measure,
    optimiser: Optimisers,
    data: Sequence[Array],
    *,
    epochs: int,
    batch_size: int = 64,
    validation: Sequence[Array] | None = None,
    metrics: Mapping[str, Measure] | None = None,
    clipping: Clipping | None = None,
    transform: Transform | None = None,
    weights: Mapping[str, Array] | None = None,
    seed: int = 0,
    drop_last: bool = True,
    checkpoint: str | Path | None = None,
    after_epoch: Callable[[Trainer, History], object] | None = None,
    show: bool | None = None,
    target: str = "cpu",
    threads: int | None = None,
) -> Fitted:
    """Train a module on arrays: its inputs, and last the target, with an example per row.

    `seed` decides the first weights (if none are given), the order, and what is random in a step
    or in `transform(random, *batch)`: of one seed, the same bits. With `drop_last` what does not
    fill a batch waits for another epoch. A `checkpoint` is written after each epoch, and gone on
    from if it is there. `after_epoch` sees the trainer and the history; what it returns, if it is
    true, ends the training. `show` is the progress on stderr: by default on a terminal. For the
    target "cuda" the state is on the card, and stays there.
    """
    batches = Batches(data, batch_size, seed, drop_last=drop_last, transform=transform)
    inputs, targets = _types(data)
    made = step(
        module,
        loss,
        optimiser,
        inputs=inputs,
        targets=targets,
        metrics=metrics,
        clipping=clipping,
        name=type(module).__name__,
    )
    first = module.init(seed) if weights is None else weights
    trainer = Trainer(made, first, seed=seed, target=target, threads=threads)
    history = History()
    if checkpoint is not None and Path(checkpoint).exists():
        history = History.from_arrays(trainer.load(checkpoint))
    measures = {"loss": loss, **(metrics or {})}
    held_out = None
    if validation is not None:
        held_out = Evaluator(
            module, measures, validation, batch_size, target=target, threads=threads
        )
    with progress(epochs, len(batches), trainer.steps, wanted=show) as shown:
        for number in range(trainer.steps // len(batches), epochs):
            _epoch(trainer, batches, number, history, shown)
            found = {} if held_out is None else held_out(trainer.state_dict())
            shown.epoch(number + 1, history.end_epoch(len(batches), found))
            if checkpoint is not None:
                trainer.save(checkpoint, history.to_arrays())
            if after_epoch is not None and after_epoch(trainer, history):
                break
    return Fitted(trainer, history)


def _epoch(
    trainer: Trainer, batches: Batches, number: int, history: History, shown: Progress
) -> None:
    """The rest of an epoch, from the step that the trainer is at."""
    for batch in batches.epoch(number, trainer.steps - number * len(batches)):
        values = trainer(*batch)
        history.add_step(values)
        shown.step(len(batch[0]), values)


class Evaluator:
    """A module's measures on data: means over all examples, without training."""

    def __init__(
        self,
        module: Module,
        measures: Mapping[str, Measure],
        data: Sequence[Array],
        batch_size: int = 64,
        *,
        target: str = "cpu",
        threads: int | None = None,
    ) -> None:
        inputs, targets = _types(data)
        forward = function(module, *inputs)
        self._names = tuple(measures)
        self._run = compile(measured(forward, 0, targets, measures), target, threads)
        self._batches = Batches(data, batch_size, shuffle=False)

    def __call__(self, weights: Mapping[str, Array]) -> dict[str, float]:
        """The measures with these weights and running statistics."""
        totals = np.zeros(len(self._names))
        for batch in self._batches.epoch(0):
            inputs = dict(zip(self._batch_names, batch, strict=True))
            found = self._run(**weights, **inputs)
            several = found if isinstance(found, tuple) else (found,)
            totals += len(batch[0]) * np.array([float(value) for value in several])
        shares = totals / self._batches.count
        return dict(zip(self._names, shares.tolist(), strict=True))

    @property
    def _batch_names(self) -> list[str]:
        names = [param.name for param in self._run.function.params]
        return names[len(names) - len(self._batches.arrays) :]


def _types(data: Sequence[Array]) -> tuple[list[TensorType], list[TensorType]]:
    """The types of the inputs and of the target, for any number of examples."""
    check(len(data) > 1, "data are arrays of the inputs and of the target", InputError)
    batch = Dim.named("batch")
    types = [TensorType((batch, *array.shape[1:]), dtype_of(array)) for array in data]
    return types[:-1], types[-1:]
