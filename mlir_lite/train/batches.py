"""Examples in batches, in an order that the seed and the epoch's number decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..errors import InputError, check
from ..types import Array

# Makes of a batch another one, at random if it likes: noise, shifts, flips.
Transform: TypeAlias = Callable[..., Sequence[Array]]


@dataclass(frozen=True)
class Batches:
    """Arrays of examples, `(count, ..)` each, by `size` of them at a time.

    `transform(random, *batch)` gives the batch that is trained with; its random numbers are of
    `seed`, the epoch and the batch, so that a training that goes on later gets the same.
    """

    arrays: Sequence[Array]
    size: int
    seed: int = 0
    shuffle: bool = True
    drop_last: bool = False  # what does not fill a batch; in another order that are other examples
    transform: Transform | None = None

    def __post_init__(self) -> None:
        counts = sorted({len(array) for array in self.arrays})
        check(len(counts) == 1, f"arrays of {counts} examples do not go together", InputError)
        check(self.size > 0, f"a batch holds one example or more, not {self.size}", InputError)
        check(len(self) > 0, f"{counts[0]} examples do not fill a batch of {self.size}", InputError)

    @property
    def count(self) -> int:
        """The number of examples."""
        return len(self.arrays[0])

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self.count // self.size if self.drop_last else -(-self.count // self.size)

    def epoch(self, number: int, first: int = 0) -> Iterator[tuple[Array, ...]]:
        """The batches of one epoch, counted from 0, from the batch `first` on."""
        order = np.arange(self.count)
        if self.shuffle:
            np.random.default_rng([self.seed, number]).shuffle(order)
        for batch in range(first, len(self)):
            chosen = order[batch * self.size : (batch + 1) * self.size]
            examples: Sequence[Array] = [array[chosen] for array in self.arrays]
            if self.transform is not None:
                random = np.random.default_rng([self.seed, number, batch])
                examples = self.transform(random, *examples)
            yield tuple(examples)

    def epochs(self, count: int, done: int = 0) -> Iterator[tuple[Array, ...]]:
        """The batches of so many epochs, one after the other, without the first `done` batches."""
        for number in range(done // len(self), count):
            yield from self.epoch(number, max(0, done - number * len(self)))
