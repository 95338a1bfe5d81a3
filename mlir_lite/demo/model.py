"""The digit classifier in the Python DSL, with its trained weights."""

from __future__ import annotations

from ..dsl import function, nn
from ..ir import Function, Value
from ..ops import relu, softmax
from ..types import f32
from .assets import NORM_EPSILON, load


class DigitClassifier(nn.Module):
    """Images `(batch, 1, 8, 8)` of values 0..1 to logits `(batch, 10)`."""

    conv1: nn.Conv2d = nn.Conv2d(1, 16, 3, padding=1, bias=False)
    norm1: nn.BatchNorm2d = nn.BatchNorm2d(16, NORM_EPSILON)
    conv2: nn.Conv2d = nn.Conv2d(16, 32, 3, padding=1, bias=False)
    norm2: nn.BatchNorm2d = nn.BatchNorm2d(32, NORM_EPSILON)
    conv3: nn.Conv2d = nn.Conv2d(32, 64, 3, padding=1, bias=False)
    norm3: nn.BatchNorm2d = nn.BatchNorm2d(64, NORM_EPSILON)
    pool: nn.MaxPool2d = nn.MaxPool2d(2)
    fc1: nn.Linear = nn.Linear(256, 64)
    fc2: nn.Linear = nn.Linear(64, 10)

    def forward(self, images: Value) -> Value:
        x = relu(self.norm1(self.conv1(images)))
        x = self.pool(relu(self.norm2(self.conv2(x))))
        x = self.pool(relu(self.norm3(self.conv3(x))))
        return self.fc2(relu(self.fc1(x.flatten(1))))


class DigitProbabilities(DigitClassifier):
    """Images `(batch, 1, 8, 8)` of values 0..1 to probabilities `(batch, 10)`."""

    def forward(self, images: Value) -> Value:
        return softmax(super().forward(images))


def digits() -> Function:
    """The trained classifier for any number of images, its weights bound."""
    traced = function(DigitProbabilities(), f32["batch", 1, 8, 8], name="digits")
    return traced.bind(load().weights)
