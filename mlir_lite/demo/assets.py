"""Loads the digit classifier's trained weights, the images it was trained on, and those it never
saw.

The weights belong to a convolutional network over `[N, 1, 8, 8]` images (NCHW, values 0..1):

    conv1 3x3 1->16, norm1, relu
    conv2 3x3 16->32, norm2, relu, max pool 2x2
    conv3 3x3 32->64, norm3, relu, max pool 2x2, flatten
    fc1 256->64, relu, fc2 64->10

The convolutions have padding 1 and no bias; batch norm uses epsilon `NORM_EPSILON`.
`examples/09_train_digits.py` trained it; `LICENSE-digits.txt` names the data's source. The images
are those of scikit-learn's `load_digits`, split once by
`train_test_split(images, labels, test_size=360, stratify=labels, random_state=0)`.
"""

from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as parse_safetensors

NORM_EPSILON = 1e-5
PIXEL_MAXIMUM = 16
"""The data set's pixels are counts 0..16 of set dots in a 4x4 block of the scanned bitmap."""

WEIGHTS_FILE = "digits.safetensors"
IMAGES_FILE = "digits_test.safetensors"
TRAINING_FILE = "digits_train.safetensors"


class Images(NamedTuple):
    """Images with what they show."""

    images: NDArray[np.float32]
    """`[N, 1, 8, 8]`, values 0..1 in steps of 1/16."""
    labels: NDArray[np.int64]
    """`[N]`, the digits 0..9."""


class DigitsAssets(NamedTuple):
    """Trained weights with held-out images and labels."""

    weights: dict[str, NDArray[np.float32]]
    """By dotted name: `conv1.weight` `[out, in, kh, kw]`, `norm1.weight`, `norm1.bias`,
    `norm1.running_mean`, `norm1.running_var` `[channels]`, `fc1.weight` `[out, in]`, `fc1.bias`."""
    images: NDArray[np.float32]
    """`[N, 1, 8, 8]`, values 0..1 in steps of 1/16."""
    labels: NDArray[np.int64]
    """`[N]`, the digits 0..9."""


def load() -> DigitsAssets:
    """Read the files that ship with the package."""
    weights: dict[str, NDArray[np.float32]] = parse_safetensors(_read(WEIGHTS_FILE))
    return DigitsAssets(dict(sorted(weights.items())), *_images(IMAGES_FILE))


def load_training() -> Images:
    """The 1437 images that the weights were trained on."""
    return _images(TRAINING_FILE)


def _images(name: str) -> Images:
    found: dict[str, NDArray[np.uint8]] = parse_safetensors(_read(name))
    images = found["images"].astype(np.float32)[:, np.newaxis] / np.float32(PIXEL_MAXIMUM)
    return Images(images, found["labels"].astype(np.int64))


def _read(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()
