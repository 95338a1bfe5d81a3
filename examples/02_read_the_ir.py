"""Every stage of a compilation has a text: print them all, and watch the passes.

    python examples/02_read_the_ir.py
"""

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.ir.printer import print_function


@ml.function(f32["batch", 32], f32[32, 8])
def attention_weights(x: Value, w: Value) -> Value:
    scores = x @ w / 4.0
    return ml.softmax(scores, axis=-1)


def main() -> None:
    # `batch` is a named size: it stays open until the function is called, or specialised.
    static = ml.specialise(attention_weights, {"batch": 16})

    print("What each pass changed:")
    run = ml.compile(
        static,
        observe=lambda record, _: print(
            f"  {record.name:15} {1e3 * record.seconds:7.2f} ms  {record.summary()}"
        ),
    )

    for stage in ("graph", "fused", "tile", "llvm", "asm"):
        text = run.stages[stage]
        lines = text.splitlines()
        print(f"\n--- {stage}: {len(lines)} lines")
        print("\n".join(lines[:24]))

    # The text is the program: what is printed is read back.
    again = ml.parse(print_function(static, locations=True))
    print(f"\nread back alike: {str(again) == str(static)}")
    print(f"arena: {run.memory.arena_bytes} bytes, at least {run.memory.lower_bound_bytes}")


if __name__ == "__main__":
    main()
