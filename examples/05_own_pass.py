"""A pass of your own: patterns on operations, each a function with a line of algebra.

    python examples/05_own_pass.py
"""

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ir import rewrite, rewrite_all
from mlir_lite.ops.elementwise.unary import Exp, Log
from mlir_lite.ops.table import TABLE


@rewrite(Exp)
def exp_of_log(op: Exp) -> Value | None:
    """exp(log(x))  ->  x, where the sign of x is of no interest"""
    match op.x.op:
        case Log(x=x):
            return x
    return None


@rewrite(Log)
def log_of_exp(op: Log) -> Value | None:
    """log(exp(x))  ->  x"""
    match op.x.op:
        case Exp(x=x):
            return x
    return None


def cancel_logarithms(fn: Function) -> Function:
    """Undo what an exponential and a logarithm do to each other."""
    return rewrite_all(fn, [exp_of_log, log_of_exp], TABLE)


@ml.function(f32[4, 100])
def product(x: Value) -> Value:
    return ml.exp(ml.log(x)) * ml.log(ml.exp(x))


def main() -> None:
    print("before:\n")
    print(product)
    changed = cancel_logarithms(product)
    print("after:\n")
    print(changed)

    x = np.random.default_rng(0).uniform(0.5, 2, (4, 100)).astype(np.float32)
    same = np.allclose(ml.evaluate(product, x), ml.evaluate(changed, x), rtol=1e-5)
    print(f"the same result: {same}")
    print(f"compiled: {np.allclose(ml.compile(changed)(x), x * x, rtol=1e-5)}")


if __name__ == "__main__":
    main()
