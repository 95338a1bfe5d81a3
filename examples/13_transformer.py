"""A small causal transformer learns to sort: `3 1 2 = 1 2 3`, a digit at a time.

    python examples/13_transformer.py
"""

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, nn, train
from mlir_lite.types import Array

DIGITS, EQUALS, WIDTH, HEADS, LAYERS = 6, 10, 48, 4, 2
LENGTH = 2 * DIGITS  # the digits, "=", and all but the last of the sorted ones
BATCH, STEPS = 64, 600


class Sorter(nn.Module):
    """Scores of the next token after each, `(batch, length, 11)`."""

    tokens: nn.Embedding = nn.Embedding(11, WIDTH)
    places: nn.Embedding = nn.Embedding(LENGTH, WIDTH)
    layers: tuple[nn.Module, ...] = tuple(
        nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, 0.0, norm_first=True, causal=True)
        for _ in range(LAYERS)
    )
    norm: nn.LayerNorm = nn.LayerNorm(WIDTH)
    scores: nn.Linear = nn.Linear(WIDTH, 11)

    def forward(self, tokens: Value) -> Value:
        x = self.tokens(tokens) + self.places(ml.iota(LENGTH))
        for layer in self.layers:
            x = layer(x)
        return self.scores(self.norm(x))


def examples(random: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Tokens, and what follows each; what follows the unsorted digits does not count."""
    digits = random.integers(0, 10, (count, DIGITS))
    ordered = np.sort(digits, axis=1)
    tokens = np.concatenate([digits, np.full((count, 1), EQUALS), ordered[:, :-1]], axis=1)
    following = np.concatenate([np.full((count, DIGITS), -100), ordered], axis=1)
    return tokens, following


def loss(scores: Value, following: Value) -> Value:
    return ml.cross_entropy(scores, following, axis=2)


def sort(run: ml.Executable, digits: Array) -> Array:
    """Let the network write the sorted digits, each after those before."""
    tokens = np.zeros((len(digits), LENGTH + 1), np.int64)
    tokens[:, :DIGITS], tokens[:, DIGITS] = digits, EQUALS
    for place in range(DIGITS, LENGTH):
        scores = np.asarray(run(np.ascontiguousarray(tokens[:, :LENGTH])))
        tokens[:, place + 1] = scores[:, place].argmax(1)
    return tokens[:, DIGITS + 1 :]


def main() -> None:
    random = np.random.default_rng(0)
    data = examples(random, BATCH * STEPS)
    optimiser = train.AdamW(train.Cosine(3e-3, STEPS))
    fitted = train.fit(Sorter(), loss, optimiser, data, epochs=1, batch_size=BATCH)
    losses = fitted.history.steps["loss"]
    print(f"loss {losses[0]:.2f} in the first step, {losses[-1]:.4f} in the last")

    digits = np.random.default_rng(1).integers(0, 10, (500, DIGITS))
    run = ml.compile(ml.function(Sorter(), ml.i64[len(digits), LENGTH]).bind(fitted.weights))
    written = sort(run, digits)
    right = np.mean(written == np.sort(digits, axis=1))
    print(*digits[0], "=", *written[0])
    print(f"{right:.2%} of the digits of {len(digits)} new rows; 99 % or more: {right >= 0.99}")


if __name__ == "__main__":
    main()
