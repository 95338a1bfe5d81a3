"""Train the digit classifier whose weights ship in `mlir_lite/demo`, and write its files.

    python examples/training/train_digits.py

Needs PyTorch and scikit-learn and takes less than a minute. One fixed split: the held-out images
are used once, at the end, to print the accuracy; nothing is chosen by them.
"""

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save as serialise
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

import mlir_lite.demo.assets as assets

SEED = 0
HELD_OUT = 360
EPOCHS = 30
BATCH = 64


def digit_classifier() -> nn.Sequential:
    """`[N, 1, 8, 8]` in 0..1 -> logits `[N, 10]`."""
    layers: dict[str, nn.Module] = {}
    for index, (channels_in, channels_out) in enumerate([(1, 16), (16, 32), (32, 64)], start=1):
        layers[f"conv{index}"] = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        layers[f"norm{index}"] = nn.BatchNorm2d(channels_out, eps=assets.NORM_EPSILON)
        layers[f"relu{index}"] = nn.ReLU()
        if index > 1:
            layers[f"pool{index}"] = nn.MaxPool2d(2)
    layers |= {
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(256, 64),
        "relu4": nn.ReLU(),
        "fc2": nn.Linear(64, 10),
    }
    return nn.Sequential(OrderedDict(layers))


def as_input(images: NDArray[np.uint8]) -> Tensor:
    """`[N, 8, 8]` counts -> `[N, 1, 8, 8]` in 0..1, as `assets.load` scales them."""
    return torch.from_numpy(images.astype(np.float32))[:, None] / assets.PIXEL_MAXIMUM


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by at most one pixel a side, filling with background."""
    padded = F.pad(images, (1, 1, 1, 1))
    rows, columns = torch.randint(0, 3, (2, len(images)), generator=generator)
    moved = [
        image[:, row : row + 8, column : column + 8]
        for image, row, column in zip(padded, rows.tolist(), columns.tolist(), strict=True)
    ]
    return torch.stack(moved)


def train(images: Tensor, labels: Tensor) -> nn.Sequential:
    """Fit for a fixed number of epochs; the last weights are the result."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = digit_classifier()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(images) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            logits = model(shifted(images[batch], generator))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    model.eval()
    return model


def write(path: Path, tensors: dict[str, NDArray[np.generic]]) -> None:
    """Replace `path` in one step, so that a reader never sees half a file."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(serialise(tensors))
    os.replace(unfinished, path)


def main() -> None:
    torch.set_num_threads(1)  # the bits of a sum depend on how threads cut it
    torch.use_deterministic_algorithms(True)
    digits = load_digits()
    train_images, test_images, train_labels, test_labels = train_test_split(
        digits.images.astype(np.uint8),
        digits.target.astype(np.int64),
        test_size=HELD_OUT,
        stratify=digits.target,
        random_state=SEED,
    )
    model = train(as_input(train_images), torch.from_numpy(train_labels))
    with torch.no_grad():
        predicted = model(as_input(test_images)).argmax(1).numpy()
    print(f"held-out accuracy: {np.mean(predicted == test_labels):.4f} of {HELD_OUT} images")

    folder = Path(assets.__file__).parent
    weights = {
        name: tensor.numpy()
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    write(folder / assets.WEIGHTS_FILE, weights)
    write(
        folder / assets.IMAGES_FILE,
        {"images": test_images, "labels": test_labels.astype(np.uint8)},
    )


if __name__ == "__main__":
    main()
