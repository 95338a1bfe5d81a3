"""Back-propagation written out by hand, and the same from `ml.grad`.

A layer of a feed-forward net takes a column vector: a = f(W x + b). With the loss L = -log p[y] of
a softmax p, the errors δ = ∂L/∂(W x + b) go back from layer to layer:

    δ₂ = p - y,    δ₁ = (W₂ᵀ δ₂) ⊙ f′(W₁ x + b₁),    ∂L/∂W = δ aᵀ,    ∂L/∂b = δ

where a is what the layer took.

    python examples/07_backward_by_hand.py
"""

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f64

IN, HIDDEN, OUT = 5, 7, 3
TYPES = f64[HIDDEN, IN], f64[HIDDEN, 1], f64[OUT, HIDDEN], f64[OUT, 1], f64[IN, 1], f64[OUT, 1]


@ml.function(*TYPES)
def loss(w1: Value, b1: Value, w2: Value, b2: Value, x: Value, y: Value) -> Value:
    """The cross-entropy of a two-layer net; x and the one-hot y are columns."""
    a1 = ml.relu(w1 @ x + b1)
    p = ml.softmax(w2 @ a1 + b2, axis=0)
    return -(y * ml.log(p)).sum()


@ml.function(*TYPES)
def by_hand(
    w1: Value, b1: Value, w2: Value, b2: Value, x: Value, y: Value
) -> tuple[Value, Value, Value, Value]:
    """The gradients of w1, b1, w2, b2, from the formulas above."""
    z1 = w1 @ x + b1  # forward
    a1 = ml.relu(z1)
    p = ml.softmax(w2 @ a1 + b2, axis=0)
    delta2 = p - y  # backward
    delta1 = (w2.T @ delta2) * (z1 > 0).astype(f64)
    return delta1 @ x.T, delta1, delta2 @ a1.T, delta2


by_compiler = ml.grad(loss, wrt=("w1", "b1", "w2", "b2"))
print(by_compiler)  # as a function: the same formulas, found by the compiler

random = np.random.default_rng(0)
shapes = [type_.static_shape for type_ in TYPES[:-1]]
arrays = [*(random.standard_normal(shape) for shape in shapes), np.eye(OUT)[:, [1]]]
ours, theirs = ml.compile(by_hand)(*arrays), ml.compile(by_compiler)(*arrays)
equal = [np.allclose(one, other, rtol=1e-12) for one, other in zip(ours, theirs, strict=True)]
print("by hand as by ml.grad:", all(equal))

# The slope of the loss along one weight, from the loss alone.
step = np.zeros((HIDDEN, IN))
step[2, 3] = 1e-6
run = ml.compile(loss)
ahead, behind = (np.asarray(run(arrays[0] + by, *arrays[1:])) for by in (step, -step))
slope = (ahead - behind) / 2e-6
print("as the slope of the loss:", np.isclose(slope, theirs[0][2, 3], rtol=1e-6))
