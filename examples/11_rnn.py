"""A recurrent network from its definition, h = tanh(W_hh h + W_xh x + b), and its gradient.

`ml.scan` makes one loop of it, however many steps there are. The compiler multiplies all inputs by
`W_xh` before the loop at once, and sums the gradients of the weights in one product after it.

    python examples/11_rnn.py
"""

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f64
from mlir_lite.types import Array

STEPS, INPUT, HIDDEN = 50, 3, 8


@ml.function(f64[STEPS, INPUT], f64[HIDDEN, INPUT], f64[HIDDEN, HIDDEN], f64[HIDDEN])
def states(xs: Value, w_xh: Value, w_hh: Value, b: Value) -> Value:
    """The states after each step, (steps, hidden)."""

    def step(h: Value, x: Value) -> tuple[Value, Value]:
        h = ml.tanh(w_hh @ h + w_xh @ x + b)
        return h, h

    every: Value = ml.scan(step, ml.zeros((HIDDEN,), f64), xs)[1]
    return every


@ml.function(*(param.type for param in states.params), f64[STEPS, HIDDEN])
def loss(xs: Value, w_xh: Value, w_hh: Value, b: Value, target: Value) -> Value:
    every = states(xs, w_xh, w_hh, b)
    assert isinstance(every, Value)  # a function of several results would give a tuple
    return ml.mse_loss(every, target)


def in_numpy(xs: Array, w_xh: Array, w_hh: Array, b: Array) -> Array:
    h = np.zeros(HIDDEN)
    every = []
    for x in xs:
        h = np.tanh(w_hh @ h + w_xh @ x + b)
        every.append(h)
    return np.stack(every)


def main() -> None:
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(param.type.static_shape) / 3 for param in loss.params]
    xs, w_xh, w_hh, b, target = arrays
    print(states)
    found = np.asarray(ml.compile(states)(xs, w_xh, w_hh, b))
    print("as NumPy's loop:", np.allclose(found, in_numpy(xs, w_xh, w_hh, b)))

    run, gradient = ml.compile(loss), ml.compile(ml.grad(loss, wrt="w_hh"))
    way = random.standard_normal(w_hh.shape)
    ahead, behind = (run(xs, w_xh, w_hh + move * way, b, target) for move in (1e-6, -1e-6))
    slope = (np.asarray(ahead) - np.asarray(behind)) / 2e-6
    along = np.sum(gradient(*arrays) * way)
    print("gradient as the slope of the loss:", np.isclose(along, slope, rtol=1e-6))

    print("loops of the gradient, in machine code:")
    fused = str(ml.compile(ml.grad(loss)).stages["fused"])
    print("\n".join(line for line in fused.splitlines() if " = scan " in line))


if __name__ == "__main__":
    main()
