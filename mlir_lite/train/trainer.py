"""A training step with its state: called with batches, saved, and taken up again.

    trainer = ml.train.Trainer(step, net.init(seed=0))
    for x, y in ml.train.Batches((images, labels), 64).epochs(10):
        loss = trainer(x, y)["loss"]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..backends import base
from ..backends.cuda.card.given import stand_in
from ..driver import compile
from ..errors import InputError, check
from ..types import Array
from .checkpoint import check_note, load_arrays, save_arrays
from .state import State, on_host
from .step import STEP, Step

# What torch counts besides, and nothing needs.
_COUNTERS = "num_batches_tracked"


class Trainer:
    """The state of a training, and the compiled step that changes it in place.

    Of one seed, one history: the same calls give the same bits, on any number of threads.
    """

    def __init__(
        self,
        step: Step,
        weights: Mapping[str, Array],
        *,
        seed: int = 0,
        target: str = "cpu",
        threads: int | None = None,
    ) -> None:
        """`weights` and statistics are copied, to the card for the target "cuda", where they stay;
        `seed` is that of dropout and the like."""
        self.step = step
        self.seed = seed
        self._state = State(step.initial(weights), target)
        self._compiled = compile(step.function, target, threads)
        self._by_shapes: dict[tuple[tuple[int, ...], ...], base.Executable] = {}

    def __call__(self, *batch: Array) -> dict[str, float]:
        """Do one step; the loss, and then the metrics, of this batch before it.

        After a `RunError`, as of a label that is no class, the state is partly a new one: go on
        from a checkpoint.
        """
        run = self._by_shapes.get(tuple(array.shape for array in batch))
        run = self._new(batch) if run is None else run
        seeds = [np.asarray(self.seed, np.int64)] if self.step.draws else []
        results = run(*self._state.values(), *seeds, *batch)
        names = ("loss", *self.step.metrics)
        found = results[len(self._state) :]
        return {name: float(on_host(value)) for name, value in zip(names, found, strict=True)}

    def _new(self, batch: tuple[Array, ...]) -> base.Executable:
        """The executable for a batch of shapes not seen before."""
        names = self.step.batch
        wanted = f"a batch is {len(names)} arrays ({', '.join(names)}), got {len(batch)}"
        check(len(batch) == len(names), wanted, InputError)
        seeds = {"seed": np.asarray(self.seed, np.int64)} if self.step.draws else {}
        state = {name: stand_in(array) for name, array in self._state.items()}
        given = {**state, **seeds, **dict(zip(names, batch, strict=True))}
        run = self._compiled.for_arrays(given)
        self._by_shapes[tuple(array.shape for array in batch)] = run
        return run

    @property
    def steps(self) -> int:
        """The number of steps done."""
        return int(on_host(self._state[STEP]))

    def state_dict(self) -> dict[str, Array]:
        """Copies of the weights and running statistics, by torch's names."""
        return {name: array.copy() for name, array in self._state.on_host(self._own).items()}

    def load_state_dict(self, weights: Mapping[str, Array]) -> None:
        """Take over weights and statistics, torch's too; `InputError` unless they are all there."""
        given = {name: np.asarray(weights[name]) for name in weights if _COUNTERS not in name}
        self._put(self.step.initial(given), self._own)

    def save(self, path: str | Path, more: Mapping[str, Array] | None = None) -> None:
        """Write everything that goes on from here: weights, optimiser, number of steps, seed.

        `more` arrays are written beside them. The file is whole at any time.
        """
        state = self._state.on_host(self._state)
        save_arrays(path, {**state, **(more or {})}, {"seed": str(self.seed)})

    def load(self, path: str | Path) -> dict[str, Array]:
        """Go on where `save` was called; gives the arrays that were saved beside the state.

        `InputError` for a file of another model, another optimiser or another seed.
        """
        arrays, notes = load_arrays(path)
        check_note(notes, "seed", str(self.seed), path)
        missing = [name for name in self._state if name not in arrays]
        check(not missing, f"{path} lacks {', '.join(missing)}", InputError)
        self._put(arrays, tuple(self._state))
        return {name: array for name, array in arrays.items() if name not in self._state}

    @property
    def _own(self) -> tuple[str, ...]:
        return (*self.step.weights, *self.step.statistics)

    def _put(self, arrays: Mapping[str, Array], names: tuple[str, ...]) -> None:
        """Overwrite parts of the state, once all of them are known to fit."""
        for name in names:
            have, new = self._state[name], arrays[name]
            fits = (have.shape, have.dtype) == (new.shape, new.dtype)
            given = f"{new.dtype}{list(new.shape)}"
            wanted = f"{have.dtype}{list(have.shape)}"
            check(fits, f"'{name}' is {given}, expected {wanted}", InputError)
        for name in names:
            self._state.put(name, arrays[name])
