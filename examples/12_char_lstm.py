"""An LSTM that learns to write Python's documentation, a character at a time.

    python examples/12_char_lstm.py
"""

from pydoc_data.topics import topics

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, i64, nn, train
from mlir_lite.types import Array

LENGTH, BATCH, EPOCHS, HIDDEN = 32, 32, 2, 128
TEXT = "".join(topics[name] for name in sorted(topics))[:120_000]
LETTERS = "".join(sorted(set(TEXT)))
CODES = {letter: code for code, letter in enumerate(LETTERS)}


class Writer(nn.Module):
    """Scores for the letter after each, `(batch, length, letters)`, and the last state."""

    letters: nn.Embedding = nn.Embedding(len(LETTERS), HIDDEN)
    memory: nn.LSTM = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
    scores: nn.Linear = nn.Linear(HIDDEN, len(LETTERS))

    def step(self, codes: Value, *state: Value) -> tuple[Value, ...]:
        y, *state_after = self.memory.forward(self.letters(codes), *state)
        return (self.scores(y), *state_after)


class Scores(Writer):
    def forward(self, codes: Value) -> Value:
        return self.step(codes)[0]


class OneLetter(Writer):
    def forward(self, codes: Value, h: Value, c: Value) -> tuple[Value, ...]:
        return self.step(codes, h, c)


def loss(scores: Value, following: Value) -> Value:
    return ml.cross_entropy(scores, following, axis=2)


def write(weights: dict[str, Array], start: str, count: int) -> str:
    """The start, gone on with by drawing each letter from its probabilities."""
    state = ml.f32[1, 1, HIDDEN]
    go_on = ml.compile(ml.function(OneLetter(), i64[1, 1], state, state).bind(weights))
    random = np.random.default_rng(0)
    h = c = np.zeros((1, 1, HIDDEN), np.float32)
    text = start
    for at in range(len(start) + count):
        scores, h, c = go_on(np.array([[CODES[text[at]]]]), h, c)
        if at >= len(start) - 1:
            powers = np.exp(2 * (scores[0, 0] - scores.max()).astype(np.float64))
            text += LETTERS[random.choice(len(LETTERS), p=powers / powers.sum())]
    return text


def main() -> None:
    codes = np.array([CODES[letter] for letter in TEXT])
    rows = len(codes) // LENGTH - 1
    inputs = codes[: rows * LENGTH].reshape(rows, LENGTH)
    following = codes[1 : rows * LENGTH + 1].reshape(rows, LENGTH)
    optimiser = train.Adam(5e-3)
    data = (inputs, following)
    fitted = train.fit(Scores(), loss, optimiser, data, epochs=EPOCHS, batch_size=BATCH)
    losses = fitted.history.epochs["loss"]
    guess = np.log(len(LETTERS))
    print(f"loss {guess:.2f} of guesses, {losses[0]:.2f} in the first epoch, {losses[-1]:.2f} then")
    print(write(fitted.weights, "The ", 200))
    print("it has learned to spell:", losses[-1] < 2.0)


if __name__ == "__main__":
    main()
