"""States that are rows just stacked are read there in the next turn, with no copy between."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32, nn
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.passes.program.changes import change_program
from mlir_lite.passes.program.previous_rows import previous_rows
from mlir_lite.target import named_target
from mlir_lite.tile.parser import parse_program
from mlir_lite.tile.program import Program

TARGET = cpu_target("cpu:avx512", 1)[0]

KERNELS = """
  kernel @copy(%x: f32[4], %result: out f32[4]) {
    for i in 0..4 { result[i] = x[i] }
  }
  kernel @step(%h: f32[4], %result: out f32[4]) {
    for i in 0..4 { result[i] = h[3 - i] * 2.0 }
  }"""


def program(body: str, *, results: str = "%y", after: str = "") -> Program:
    return parse_program(f"""
program @f(%first) -> ({results}) {{
  parameter %first: tensor<4xf32>
  arena %h: tensor<4xf32> at 0
  result %y: tensor<8x4xf32>{KERNELS}
  call @copy(%first, %h)
  loop turn in 0..8 {{{body}
  }}{after}
}}""")


def steps(made: Program) -> list[str]:
    """The lines of the steps."""
    lines = str(made).rstrip().split("\n")
    calls = next(number for number, line in enumerate(lines) if line.startswith("  call"))
    return [line.strip() for line in lines[calls:-1]]


def test_the_row_before_is_the_state() -> None:
    given = program("""
    call @step(%h, %y + 4 * turn) alternating
    call @copy(%y + 4 * turn, %h)""")
    assert steps(previous_rows(given)[0]) == [
        "call @copy(%first, %h)",
        "call @step(%h, %y)",
        "loop turn in 0..7 {",
        "call @step(%y + 4 * turn, %y + 4 + 4 * turn) alternating",
        "}",
    ]


def test_from_the_end_rows_are_those_after() -> None:
    given = program("""
    call @step(%h, %y + 28 + -4 * turn)
    call @copy(%y + 28 + -4 * turn, %h)""")
    assert steps(previous_rows(given)[0])[1:4] == [
        "call @step(%h, %y + 28)",
        "loop turn in 0..7 {",
        "call @step(%y + 28 + -4 * turn, %y + 24 + -4 * turn)",
    ]


def test_what_is_read_after_the_loop_is_copied_once() -> None:
    given = program(
        """
    call @step(%h, %y + 4 * turn)
    call @copy(%y + 4 * turn, %h)""",
        after="\n  call @step(%h, %y)",
    )
    made = steps(previous_rows(given)[0])
    assert made[-2:] == ["call @copy(%y + 28, %h)", "call @step(%h, %y)"]


@pytest.mark.parametrize(
    "body",
    [
        "call @step(%h, %y + 4 * turn)\n call @copy(%y + 4 * turn, %h)\n call @step(%h, %y)",
        "call @step(%h, %y + 4 * turn)\n call @step(%y, %h)\n call @copy(%y + 4 * turn, %h)",
        "call @step(%h, %y)\n call @copy(%y, %h)",
        "call @step(%h, %y + 4 * turn)\n call @copy(%y + 2 * turn, %h)",
        "call @step(%h, %y + 4 * turn)\n call @step(%y + 4 * turn, %h)",
        "call @copy(%y + 4 * turn, %h)\n call @step(%h, %y + 4 * turn)",
    ],
    ids=["read after", "written twice", "one row", "other rows", "no copy", "copied first"],
)
def test_other_states_stay(body: str) -> None:
    given = program(body)
    assert previous_rows(given)[0] is given


def test_programs_of_cards_stay() -> None:
    card = named_target("cuda:sm_90")
    given = program("call @step(%h, %y + 4 * turn)\n call @copy(%y + 4 * turn, %h)")
    assert card is not None and change_program(given, {}, card)[0] is given
    assert change_program(given, {}, TARGET)[0] is not given


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_layers_both_ways_give_what_the_interpreter_gives(kind: str) -> None:
    class Net(nn.Module):
        layer: nn.RNN | nn.GRU | nn.LSTM

        def forward(self, x: Value) -> tuple[Value, ...]:
            return self.layer.forward(x)

    layer = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}[kind]
    net = Net(layer(5, 6, num_layers=2, bidirectional=True))
    fn = ml.function(net, f32[7, 3, 5]).bind(net.init(seed=0))
    x = np.random.default_rng(0).standard_normal((7, 3, 5)).astype("f4")
    run = ml.compile(fn)
    loops = str(run.program).split("loop turn")[1:]
    assert loops and not any("call @copy" in loop.split("\n  }")[0] for loop in loops)
    # Seven steps of sums of some twelve products, in f32.
    for made, wanted in zip(run(x), ml.evaluate(fn, x), strict=True):
        np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-6)
