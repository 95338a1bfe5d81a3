"""A convolution with padding and steps as a matrix product, from its definition.

    y[o, i, j] = sum over c, p, q of
        w[o, c, p, q] * x[c, i * stride + p - padding, j * stride + q - padding]

Each row of a matrix of patches has what one filter sees for one (i, j); the filters are the columns
of another. `ml.conv2d` is the same in one operation, which needs no such matrix in memory.

    python examples/08_convolution_as_a_product.py
"""

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f32

CHANNELS, FILTERS, SIZE, KERNEL, STRIDE, PADDING = 3, 8, 13, 3, 2, 1
COUNT = (SIZE + 2 * PADDING - KERNEL) // STRIDE + 1  # windows along each axis
IMAGE, WEIGHTS = f32[CHANNELS, SIZE, SIZE], f32[FILTERS, CHANNELS, KERNEL, KERNEL]


@ml.function(IMAGE, WEIGHTS)
def by_product(x: Value, w: Value) -> Value:
    padded = ml.pad(x, [(0, 0), (PADDING, PADDING), (PADDING, PADDING)])
    span = STRIDE * (COUNT - 1) + 1  # from the first window to the last
    seen = [
        padded[c, p : p + span : STRIDE, q : q + span : STRIDE].reshape(COUNT * COUNT)
        for c in range(CHANNELS)
        for p in range(KERNEL)
        for q in range(KERNEL)
    ]
    patches = ml.stack(seen, axis=1)  # (windows, channels · kernel · kernel)
    filters = w.reshape(FILTERS, CHANNELS * KERNEL * KERNEL)
    return (patches @ filters.T).T.reshape(FILTERS, COUNT, COUNT)


@ml.function(IMAGE, WEIGHTS)
def by_operation(x: Value, w: Value) -> Value:
    batch = x.reshape(1, *x.shape)
    return ml.conv2d(batch, w, stride=STRIDE, padding=PADDING).reshape(FILTERS, COUNT, COUNT)


random = np.random.default_rng(0)
x = random.standard_normal(IMAGE.static_shape, np.float32)
w = random.standard_normal(WEIGHTS.static_shape, np.float32)
product, operation = ml.compile(by_product), ml.compile(by_operation)
print("the product is the convolution:", np.allclose(product(x, w), operation(x, w), atol=1e-5))

# So are their gradients: that of a padded, sliced and stacked image, and that of a convolution.
ones = np.ones((FILTERS, COUNT, COUNT), np.float32)
for name in ("x", "w"):
    first, second = (ml.compile(ml.vjp(fn, wrt=name)) for fn in (by_product, by_operation))
    same = np.allclose(first(x, w, ones)[1], second(x, w, ones)[1], atol=1e-4)
    print(f"with the same gradient of {name}:", same)
print("memory of intermediates:", product.memory.arena_bytes, "and", operation.memory.arena_bytes)
