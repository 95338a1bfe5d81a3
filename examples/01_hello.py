"""A function of matrices in Python, compiled and run.

    python examples/01_hello.py
"""

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f32


@ml.function(f32[64, 784], f32[784, 10], f32[10])
def classifier(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ w + b)


def main() -> None:
    print(classifier)  # the IR, before anything

    run = ml.compile(classifier)
    random = np.random.default_rng(0)
    x = random.standard_normal((64, 784), dtype=np.float32)
    w = random.standard_normal((784, 10), dtype=np.float32)
    b = random.standard_normal(10, dtype=np.float32)
    y = np.asarray(run(x, w, b))

    expected = np.maximum(x.astype(np.float64) @ w + b, 0)
    error = np.abs(y - expected).max() / np.abs(expected).max()
    print(f"result {y.dtype}{list(y.shape)}, largest error {error:.1e} of the largest element")


if __name__ == "__main__":
    main()
