"""Train the network of `mlir-lite demo` to read handwritten digits: its weights are made here.

One function does a whole step: the network, its gradient, the optimiser; it overwrites the weights
in place. The images that the accuracy is measured on are used once, at the end.

    python examples/09_train_digits.py
"""

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f32, train
from mlir_lite.demo.assets import load, load_training
from mlir_lite.demo.model import DigitClassifier
from mlir_lite.types import Array

EPOCHS, BATCH = 24, 64
NET = DigitClassifier()


def smoothed(logits: Value, labels: Value) -> Value:
    return ml.cross_entropy(logits, labels, label_smoothing=0.05)


def shifted(random: np.random.Generator, images: Array, labels: Array) -> tuple[Array, Array]:
    """Each image moved by at most one pixel a side, with background coming in."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    places = random.integers(0, 3, (len(images), 2))
    moved = [
        image[:, row : row + 8, column : column + 8]
        for image, (row, column) in zip(padded, places, strict=True)
    ]
    return np.stack(moved), labels


def main() -> None:
    images, labels = load_training()
    steps = EPOCHS * (len(images) // BATCH)
    fitted = train.fit(
        NET,
        smoothed,
        train.AdamW(train.Cosine(3e-3, steps), weight_decay=1e-2),
        (images, labels),
        epochs=EPOCHS,
        batch_size=BATCH,
        metrics={"accuracy": train.accuracy},
        transform=shifted,
        seed=0,
    )
    losses = fitted.history.epochs["loss"]
    print(f"loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last")
    fitted.history.plot("digits.svg")
    train.save_arrays("digits.safetensors", fitted.weights)

    held_out = load()
    classify = ml.compile(ml.function(NET, f32["batch", 1, 8, 8]).bind(fitted.weights))
    scores = np.asarray(classify(held_out.images))
    right = np.mean(scores.argmax(1) == held_out.labels)
    print(f"{right:.2%} of the images it never saw; 98 % or more: {right >= 0.98}")


if __name__ == "__main__":
    main()
