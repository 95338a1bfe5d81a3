"""An operation of your own: one class, and the rest follows from it.

`infer` is its type rule, `reference` its meaning in NumPy, `body` its value at one index. Loops,
fusion with neighbours, vector code and the text form are derived.

    python examples/04_own_op.py
"""

import numpy as np

import mlir_lite as ml
from mlir_lite import TensorType, Value, f32
from mlir_lite.expr import Expr, apply
from mlir_lite.ir import Element, Op, constructor, op
from mlir_lite.types import Array


@op
class Swish(Op):
    """`x * sigmoid(beta * x)` (Ramachandran, Zoph and Le, 2017)."""

    x: Value
    beta: float = 1.0

    def infer(self) -> TensorType:
        return self.x.type

    def reference(self, x: Array) -> Array:
        return np.asarray(x / (1 + np.exp(-self.beta * x))).astype(x.dtype)

    def body(self, at: tuple[Expr, ...], x: Element) -> Expr:
        return x[at] * apply("sigmoid", x[at] * self.beta)


swish = constructor(Swish)


@ml.function(f32[32, 64], f32[64, 48])
def layer(x: Value, w: Value) -> Value:
    return swish(x @ w, beta=1.5)


def main() -> None:
    print(layer)
    run = ml.compile(layer)
    print("One group, so one kernel: the operation ends the matrix product's loop.\n")
    print(run.stages["fused"])

    random = np.random.default_rng(0)
    x = random.standard_normal((32, 64), dtype=np.float32)
    w = random.standard_normal((64, 48), dtype=np.float32)
    close = np.allclose(run(x, w), ml.evaluate(layer, x, w), rtol=1e-4, atol=1e-5)
    print(f"compiled as interpreted: {close}")


if __name__ == "__main__":
    main()
