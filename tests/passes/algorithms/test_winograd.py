"""winograd: the matrices, the choice, the rewrite, and the error of what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from mlir_lite.driver import compile
from mlir_lite.errors import InputError, TypeRuleError
from mlir_lite.expr import Apply, Const, Expr, Var, walk_expr
from mlir_lite.ir import Builder, ConstantData, Function, Value, parameter
from mlir_lite.ops.algorithms.winograd_blocked import WinogradConv
from mlir_lite.ops.algorithms.winograd_transform import (
    POINTS,
    TAPS,
    Matrix,
    derive,
    multiply,
    transform_of,
)
from mlir_lite.ops.base.constant import constant
from mlir_lite.ops.elementwise.activation import relu
from mlir_lite.ops.table import TABLE
from mlir_lite.ops.windows.conv import Conv
from mlir_lite.ops.windows.windows import Padding
from mlir_lite.passes.algorithms.winograd import choose_algorithms, winograd
from mlir_lite.target import Target, named_target
from mlir_lite.tile.nodes import Kind, Loop
from mlir_lite.types import Array, TensorType, f32

from ..expect import expect

SAME: Padding = ((1, 1), (1, 1))


def cpu() -> Target:
    target = named_target("cpu:avx512")
    assert target is not None
    return target


def conv_function(
    x: Sequence[int],
    outer: int,
    padding: Padding = SAME,
    *,
    change: Callable[[Conv], Conv] = lambda op: op,
    follow: Callable[[Value], Value] = lambda y: y,
) -> tuple[Function, Array]:
    """A channels-last convolution by a constant weight of normal numbers, and the weight."""
    weight = np.random.default_rng(0).standard_normal((outer, x[-1], 3, 3)).astype(np.float32)
    builder = Builder(TABLE)
    given = parameter("x", TensorType(tuple(x), f32))
    with builder.active():
        filters = constant(ConstantData.of(weight, "w"))
        op = change(Conv(given, filters, (1, 1), padding, (1, 1), 1, "nhwc"))
        result = follow(builder.emit(op)[0])
    return builder.finish("layer", (given,), (result,)), weight


def algorithm_of(fn: Function) -> str:
    (found,) = [node.op.algorithm for node in fn.nodes if isinstance(node.op, Conv)]
    return found


def exact_convolution(x: Array, weight: Array, padding: Padding) -> Array:
    """In f64, tap by tap."""
    padded = np.pad(x.astype(np.float64), ((0, 0), *padding, (0, 0)))
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    wide = weight.astype(np.float64)
    return np.asarray(
        sum(
            padded[:, i : i + height, j : j + width] @ wide[:, :, i, j].T
            for i in range(3)
            for j in range(3)
        )
    )


# The matrices

SIX = tuple(Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2"))


@pytest.mark.parametrize(
    ("points", "tile", "taps"),
    [(POINTS[2], 2, TAPS), (POINTS[4], 4, TAPS), (SIX, 6, 3), (POINTS[4], 2, 5)],
)
def test_matrices_give_the_filter_exactly(
    points: tuple[Fraction, ...], tile: int, taps: int
) -> None:
    """Output j is the sum over taps k of g[k] d[j + k]: as polynomials, so for all g and d."""
    found = derive(points, tile, taps)
    size = tile + taps - 1
    for j in range(tile):
        for k in range(taps):
            for i in range(size):
                total = sum(
                    found.output[j][t] * found.filter[t][k] * found.input[t][i]
                    for t in range(size)
                )
                assert total == (i == j + k)


@pytest.mark.parametrize("tile", POINTS)
def test_output_matrix_is_exact_in_f32(tile: int) -> None:
    entries = [entry for row in transform_of(tile).output for entry in row]
    assert all(entry.denominator == 1 and abs(entry) < 2**24 for entry in entries)


def value_of(expr: Expr, values: dict[str, Fraction]) -> Fraction:
    match expr:
        case Var(name=name):
            return values[name]
        case Const(value=value):
            return Fraction(value)
        case Apply(function="add", args=(a, b)):
            return value_of(a, values) + value_of(b, values)
        case Apply(function="sub", args=(a, b)):
            return value_of(a, values) - value_of(b, values)
        case Apply(function="mul", args=(a, b)):
            return value_of(a, values) * value_of(b, values)
    raise AssertionError(f"no arithmetic: {expr}")


def straight_line(matrix: Matrix, numbers: Sequence[Fraction]) -> tuple[list[Fraction], int]:
    """The product by the code for it, and how many additions and subtractions that has."""
    values = {f"x{place}": number for place, number in enumerate(numbers)}
    additions = 0

    def bind(expr: Expr) -> Expr:
        nonlocal additions
        if isinstance(expr, Var):
            return expr
        functions = [node.function for node in walk_expr(expr) if isinstance(node, Apply)]
        additions += sum(function in ("add", "sub") for function in functions)
        name = f"t{len(values)}"
        values[name] = value_of(expr, values)
        return Var(f32, name)

    results = multiply(matrix, [Var(f32, f"x{place}") for place in range(len(numbers))], bind)
    return [value_of(result, values) for result in results], additions


@pytest.mark.parametrize(("tile", "input_", "output"), [(2, 4, 4), (4, 16, 11)])
def test_code_multiplies_with_few_additions(tile: int, input_: int, output: int) -> None:
    """Without pairs F(4, 3) would take 18 and 15 additions; F(2, 3) is Lavin and Gray's count."""
    found = transform_of(tile)
    for matrix, most in ((found.input, input_), (found.output, output)):
        numbers = [Fraction(7 * place**2 - 11, 4) for place in range(len(matrix[0]))]
        product, additions = straight_line(matrix, numbers)
        rounded = [[Fraction(float(entry)) for entry in row] for row in matrix]
        assert product == [
            sum(a * b for a, b in zip(row, numbers, strict=True)) for row in rounded
        ]
        assert additions <= most


# The choice

CONV = """
    func @f(%x: tensor<1x5x6x1xf32>) -> tensor<1x5x6x1xf32> {
      %0 = constant {value = dense<[[[[1.0, 2.0, 3.0], [0.0, 1.0, -1.0], [0.5, 0.0, 2.0]]]]>} \
: tensor<1x1x3x3xf32>
      %1 = conv %x, %0 {strides = [1, 1], padding = [[1, 1], [1, 1]], dilations = [1, 1], \
layout = "nhwc"ALGORITHM} : tensor<1x5x6x1xf32>
      return %1
    }"""
DIRECT = CONV.replace("ALGORITHM", "")
CHOSEN = CONV.replace("ALGORITHM", ', algorithm = "winograd4"')


def test_choice_is_written_on_the_convolution() -> None:
    expect(
        lambda fn: choose_algorithms(fn, target=cpu(), choice=4), before=DIRECT, after=CHOSEN
    )


def test_auto_keeps_what_is_written() -> None:
    expect(lambda fn: choose_algorithms(fn, target=cpu(), choice="auto"), before=CHOSEN)


def test_off_makes_every_convolution_direct() -> None:
    expect(lambda fn: winograd(fn, target=cpu(), choice="off"), before=CHOSEN, after=DIRECT)


def test_convolution_is_written_out_in_three_stages() -> None:
    expect(
        lambda fn: winograd(fn, target=cpu()),
        before=CHOSEN,
        after="""
            func @f(%x: tensor<1x5x6x1xf32>) -> tensor<1x5x6x1xf32> {
              %0 = constant {value = dense<[[[[1.0, 2.0, 3.0], [0.0, 1.0, -1.0], \
[0.5, 0.0, 2.0]]]]>} : tensor<1x1x3x3xf32>
              %1 = winograd_input %x {tile = 4, padding = [[1, 1], [1, 1]]} : tensor<36x4x1xf32>
              %2 = winograd_filter %0 {tile = 4} : tensor<36x1x1xf32>
              %3 = matmul %1, %2 : tensor<36x4x1xf32>
              %4 = winograd_output [%3] {tile = 4, sizes = [1, 5, 6]} : tensor<1x5x6x1xf32>
              return %4
            }""",
    )


@pytest.mark.parametrize(
    ("size", "inner", "outer", "block"),
    [
        (56, 64, 64, (1, 14)),
        (224, 64, 64, None),  # any of several
        (112, 64, 128, None),
    ],
)
def test_large_images_are_done_in_blocks(
    size: int, inner: int, outer: int, block: tuple[int, int] | None
) -> None:
    """What is between the stages of a block, and the filters, stay in the caches."""
    fn, _ = conv_function((1, size, size, inner), outer)
    (op,) = [n.op for n in winograd(fn, target=cpu()).nodes if isinstance(n.op, WinogradConv)]
    assert block is None or (op.rows, op.columns) == block
    across = -(-size // op.tile)
    assert across % op.rows == 0 and across % op.columns == 0
    between = (op.tile + 2) ** 2 * op.rows * op.columns * (inner + outer) * 4
    assert between <= cpu().l2_bytes // 2


@pytest.mark.parametrize(
    ("size", "inner", "outer"),
    [(112, 128, 128), (28, 128, 128), (14, 256, 256), (7, 512, 512), (28, 512, 512)],
)
def test_many_channels_are_done_stage_by_stage(size: int, inner: int, outer: int) -> None:
    """The filters are too much to be read anew for each of some blocks."""
    fn, _ = conv_function((1, size, size, inner), outer)
    names = [node.op.name for node in winograd(fn, target=cpu()).nodes]
    assert "winograd_conv" not in names
    assert names[-1] == "winograd_output"


def test_blocks_are_dealt_to_threads_with_all_that_follows() -> None:
    """One kernel: the stages of a block, and the relu where the last one stores."""
    fn, weight = conv_function((1, 48, 48, 32), 32, follow=relu)
    executable = compile(fn, threads=2)
    (kernel,) = executable.program.kernels
    (blocks,) = kernel.body
    assert isinstance(blocks, Loop) and blocks.kind is Kind.PARALLEL
    assert len(blocks.body) == 3
    array = np.random.default_rng(1).standard_normal((1, 48, 48, 32)).astype(np.float32)
    exact = np.maximum(exact_convolution(array, weight, SAME), 0)
    assert np.abs(np.asarray(executable(array)) - exact).max() <= ERRORS[4] * np.abs(exact).max()


@pytest.mark.parametrize(
    ("size", "inner", "outer", "algorithm"),
    [
        (56, 64, 64, "winograd4"),
        (28, 128, 128, "winograd4"),
        (14, 256, 256, "winograd4"),
        (7, 512, 512, "winograd2"),  # the weights of F(4, 3) take longer to read than all else
        (224, 3, 64, "direct"),
        (8, 4, 4, "direct"),
    ],
)
def test_auto_goes_by_cost(size: int, inner: int, outer: int, algorithm: str) -> None:
    fn, _ = conv_function((1, size, size, inner), outer)
    assert algorithm_of(choose_algorithms(fn, target=cpu(), choice="auto")) == algorithm


@pytest.mark.parametrize(
    "change",
    [
        lambda op: replace(op, strides=(2, 2)),
        lambda op: replace(op, dilations=(2, 2)),
        lambda op: replace(op, layout="nchw"),
    ],
    ids=["strides", "dilations", "channels first"],
)
def test_what_winograd_is_not_for_stays(change: Callable[[Conv], Conv]) -> None:
    fn, _ = conv_function((1, 16, 16, 16), 16, change=change)
    assert str(winograd(fn, target=cpu(), choice=4)) == str(fn)


def test_unknown_choice_is_the_users_mistake() -> None:
    fn, _ = conv_function((1, 4, 4, 1), 1)
    with pytest.raises(InputError, match="auto, off, 2 or 4, not 3"):
        winograd(fn, target=cpu(), choice=3)


def test_algorithm_must_fit_the_convolution() -> None:
    with pytest.raises(TypeRuleError, match="3×3 filters"):
        conv_function(
            (1, 8, 8, 1), 1, change=lambda op: replace(op, strides=(2, 2), algorithm="winograd2")
        )


# What comes out

# Errors of F(2, 3) are about those of the direct algorithm, 3e-7 to 8e-7 of the largest output;
# F(4, 3) with these points has 1e-6 to 4e-6.
ERRORS = {2: 1e-6, 4: 5e-6}


@pytest.mark.parametrize("tile", POINTS)
@pytest.mark.parametrize(
    ("x", "outer", "padding"),
    [
        ((1, 14, 14, 128), 64, SAME),
        ((2, 9, 11, 17), 33, SAME),
        ((1, 5, 20, 16), 16, ((0, 2), (3, 1))),
        ((1, 3, 3, 8), 8, ((0, 0), (0, 0))),
        ((1, 1, 2, 4), 3, SAME),
        ((2, 46, 45, 8), 12, ((1, 1), (0, 2))),  # in blocks, the last ones beyond the edge
    ],
    ids=str,
)
def test_error_of_a_layer(
    tile: int, x: tuple[int, ...], outer: int, padding: Padding
) -> None:
    fn, weight = conv_function(x, outer, padding)
    array = np.random.default_rng(1).standard_normal(x).astype(np.float32)
    actual = np.asarray(compile(fn, winograd=tile, threads=1)(array))
    exact = exact_convolution(array, weight, padding)
    assert np.abs(actual - exact).max() <= ERRORS[tile] * np.abs(exact).max()


@pytest.mark.parametrize(("size", "inner"), [(14, 256), (7, 512), (28, 32)])
def test_error_of_the_chosen_algorithm(size: int, inner: int) -> None:
    fn, weight = conv_function((1, size, size, inner), 32)
    array = np.random.default_rng(2).standard_normal((1, size, size, inner)).astype(np.float32)
    actual = np.asarray(compile(fn, threads=1)(array))
    exact = exact_convolution(array, weight, SAME)
    assert np.abs(actual - exact).max() <= 1e-5 * np.abs(exact).max()
