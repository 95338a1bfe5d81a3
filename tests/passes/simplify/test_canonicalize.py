"""canonicalize: one test a pattern, and for each that it leaves alone what only looks like it."""

from __future__ import annotations

import pytest

import mlir_lite as ml
from mlir_lite.passes.simplify.canonicalize import PATTERNS, canonicalize

from ..expect import expect, operations


def unary(body: str, result: str, *, type_: str = "2x3xf32") -> str:
    """A function of %x whose lines are `body` and whose result is a value of type `result`."""
    value, of_type = result.split(":")
    return f"func @f(%x: tensor<{type_}>) -> tensor<{of_type}> {{\n{body}\nreturn {value}\n}}"


def test_reshapes_compose() -> None:
    expect(
        canonicalize,
        before=unary(
            "%0 = reshape %x {shape = [3, 2]} : tensor<3x2xf32>\n"
            "%1 = reshape %0 {shape = [6]} : tensor<6xf32>",
            "%1:6xf32",
        ),
        after=unary("%0 = reshape %x {shape = [6]} : tensor<6xf32>", "%0:6xf32"),
    )


def test_a_reshape_to_the_same_shape_disappears() -> None:
    expect(
        canonicalize,
        before=unary("%0 = reshape %x {shape = [2, 3]} : tensor<2x3xf32>", "%0:2x3xf32"),
        after=unary("", "%x:2x3xf32"),
    )


def sliced(start: int, width: int, shape: str, seen: str) -> str:
    return f"""
        func @f(%x: tensor<9x96xf32>) -> tensor<{seen}xf32> {{
          %0 = slice %x {{starts = [0, {start}], sizes = [9, {width}], steps = [1, 1]}} \
: tensor<9x{width}xf32>
          %1 = reshape %0 {{shape = {shape}}} : tensor<{seen}xf32>
          return %1
        }}"""


def test_a_part_seen_in_groups_is_a_part_of_the_groups() -> None:
    expect(
        canonicalize,
        before=sliced(32, 48, "[9, 3, 16]", "9x3x16"),
        after="""
            func @f(%x: tensor<9x96xf32>) -> tensor<9x3x16xf32> {
              %0 = reshape %x {shape = [9, 6, 16]} : tensor<9x6x16xf32>
              %1 = slice %0 {starts = [0, 2, 0], sizes = [9, 3, 16], steps = [1, 1, 1]} \
: tensor<9x3x16xf32>
              return %1
            }""",
    )


@pytest.mark.parametrize(
    "before",
    [
        sliced(24, 48, "[9, 3, 16]", "9x3x16"),
        sliced(36, 36, "[9, 2, 18]", "9x2x18"),
        sliced(32, 48, "[27, 16]", "27x16"),
    ],
    ids=["begins in a group", "groups do not divide all", "rows and columns"],
)
def test_a_part_that_is_not_of_whole_groups_stays(before: str) -> None:
    expect(canonicalize, before=before)


def test_transposes_compose() -> None:
    expect(
        canonicalize,
        before=unary(
            "%0 = transpose %x {perm = [1, 2, 0]} : tensor<3x4x2xf32>\n"
            "%1 = transpose %0 {perm = [0, 2, 1]} : tensor<3x2x4xf32>",
            "%1:3x2x4xf32",
            type_="2x3x4xf32",
        ),
        after=unary(
            "%0 = transpose %x {perm = [1, 0, 2]} : tensor<3x2x4xf32>",
            "%0:3x2x4xf32",
            type_="2x3x4xf32",
        ),
    )


def test_transposes_that_undo_each_other_disappear() -> None:
    expect(
        canonicalize,
        before=unary(
            "%0 = transpose %x {perm = [1, 0]} : tensor<3x2xf32>\n"
            "%1 = transpose %0 {perm = [1, 0]} : tensor<2x3xf32>",
            "%1:2x3xf32",
        ),
        after=unary("", "%x:2x3xf32"),
    )


def test_a_transpose_that_moves_only_unit_axes_is_a_reshape() -> None:
    expect(
        canonicalize,
        before=unary(
            "%0 = transpose %x {perm = [1, 0, 2]} : tensor<3x1x4xf32>",
            "%0:3x1x4xf32",
            type_="1x3x4xf32",
        ),
        after=unary(
            "%0 = reshape %x {shape = [3, 1, 4]} : tensor<3x1x4xf32>",
            "%0:3x1x4xf32",
            type_="1x3x4xf32",
        ),
    )


def test_a_transpose_that_moves_data_stays() -> None:
    expect(
        canonicalize,
        before=unary(
            "%0 = transpose %x {perm = [2, 0, 1]} : tensor<4x1x3xf32>",
            "%0:4x1x3xf32",
            type_="1x3x4xf32",
        ),
    )


def test_broadcasts_compose() -> None:
    expect(
        canonicalize,
        before=unary(
            "%0 = broadcast %x {shape = [2, 3]} : tensor<2x3xf32>\n"
            "%1 = broadcast %0 {shape = [4, 2, 3]} : tensor<4x2x3xf32>",
            "%1:4x2x3xf32",
            type_="3xf32",
        ),
        after=unary(
            "%0 = broadcast %x {shape = [4, 2, 3]} : tensor<4x2x3xf32>",
            "%0:4x2x3xf32",
            type_="3xf32",
        ),
    )


def test_a_cast_to_the_same_type_disappears() -> None:
    expect(
        canonicalize,
        before=unary("%0 = cast %x {dtype = f32} : tensor<2x3xf32>", "%0:2x3xf32"),
        after=unary("", "%x:2x3xf32"),
    )


def clipped(low: float, high: float, dtype: str) -> str:
    return unary(
        f"%0 = clip %x {{minimum = {low}, maximum = {high}}} : tensor<2x3xf32>\n"
        f"%1 = cast %0 {{dtype = {dtype}}} : tensor<2x3x{dtype}>",
        f"%1:2x3x{dtype}",
    )


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(0.0, 255.0, "u8"), (-128.0, 127.0, "i8"), (-1e9, 1e9, "i16")]
)
def test_limits_that_a_cast_has_anyway_disappear(low: float, high: float, dtype: str) -> None:
    expect(
        canonicalize,
        before=clipped(low, high, dtype),
        after=unary(
            f"%0 = cast %x {{dtype = {dtype}}} : tensor<2x3x{dtype}>", f"%0:2x3x{dtype}"
        ),
    )


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(1.0, 255.0, "u8"), (-128.0, 126.0, "i8"), (0.0, 255.0, "i8")]
)
def test_narrower_limits_before_a_cast_stay(low: float, high: float, dtype: str) -> None:
    expect(canonicalize, before=clipped(low, high, dtype))


def test_a_cast_there_and_back_stays() -> None:
    """f32 -> i64 -> f32 loses the fraction."""
    expect(
        canonicalize,
        before=unary(
            "%0 = cast %x {dtype = i64} : tensor<2x3xi64>\n"
            "%1 = cast %0 {dtype = f32} : tensor<2x3xf32>",
            "%1:2x3xf32",
        ),
    )


def number(text: str, dtype: str = "f32") -> str:
    """%c: a number repeated over 2x3."""
    return (
        f"%k = constant {{value = dense<{text}>}} : tensor<{dtype}>\n"
        f"%c = broadcast %k {{shape = [2, 3]}} : tensor<2x3x{dtype}>\n"
    )


def raised(by: str, dtype: str) -> str:
    return unary(
        f"{number(by)}%0 = add %x, %c : tensor<2x3xf32>\n"
        f"%1 = cast %0 {{dtype = {dtype}}} : tensor<2x3x{dtype}>",
        f"%1:2x3x{dtype}",
    )


def test_a_zero_added_before_a_cast_to_integers_disappears() -> None:
    after = unary("%0 = cast %x {dtype = i8} : tensor<2x3xi8>", "%0:2x3xi8")
    expect(canonicalize, before=raised("0.0", "i8"), after=after)


@pytest.mark.parametrize(("by", "dtype"), [("1.0", "i8"), ("0.0", "f64")])
def test_what_else_is_added_before_a_cast_stays(by: str, dtype: str) -> None:
    expect(canonicalize, before=raised(by, dtype))


@pytest.mark.parametrize("operation", ["multiply %x, %c", "multiply %c, %x", "divide %x, %c"])
def test_a_unit_factor_disappears(operation: str) -> None:
    expect(
        canonicalize,
        before=unary(f"{number('1.0')}%0 = {operation} : tensor<2x3xf32>", "%0:2x3xf32"),
        after=unary("", "%x:2x3xf32"),
    )


def test_one_over_x_stays() -> None:
    expect(
        canonicalize,
        before=unary(f"{number('1.0')}%0 = divide %c, %x : tensor<2x3xf32>", "%0:2x3xf32"),
    )


@pytest.mark.parametrize("operation", ["add %x, %c", "add %c, %x", "subtract %x, %c"])
def test_an_integer_zero_disappears(operation: str) -> None:
    of_type = "2x3xi64"
    line = f"%0 = {operation} : tensor<{of_type}>"
    expect(
        canonicalize,
        before=unary(number("0", "i64") + line, f"%0:{of_type}", type_=of_type),
        after=unary("", f"%x:{of_type}", type_=of_type),
    )


@pytest.mark.parametrize(
    ("operation", "dtype"), [("add %x, %c", "f32"), ("subtract %c, %x", "i64")]
)
def test_a_float_zero_and_a_negation_stay(operation: str, dtype: str) -> None:
    """-0.0 + 0.0 is 0.0, and 0 - x is not x."""
    of_type = f"2x3x{dtype}"
    zero = "0" if dtype == "i64" else "0.0"
    expect(
        canonicalize,
        before=unary(
            f"{number(zero, dtype)}%0 = {operation} : tensor<{of_type}>",
            f"%0:{of_type}",
            type_=of_type,
        ),
    )


@pytest.mark.parametrize(("divisor", "factor"), [("4.0", "0.25"), ("-0.5", "-2.0")])
def test_dividing_by_a_power_of_two_is_multiplying(divisor: str, factor: str) -> None:
    expect(
        canonicalize,
        before=unary(f"{number(divisor)}%0 = divide %x, %c : tensor<2x3xf32>", "%0:2x3xf32"),
        after=unary(f"{number(factor)}%0 = multiply %x, %c : tensor<2x3xf32>", "%0:2x3xf32"),
    )


@pytest.mark.parametrize("divisor", ["3.0", "0.0", "1e30"])
def test_dividing_by_anything_else_stays(divisor: str) -> None:
    expect(
        canonicalize,
        before=unary(f"{number(divisor)}%0 = divide %x, %c : tensor<2x3xf32>", "%0:2x3xf32"),
    )


def test_the_first_power_is_the_number() -> None:
    expect(
        canonicalize,
        before=unary(f"{number('1.0')}%0 = power %x, %c : tensor<2x3xf32>", "%0:2x3xf32"),
        after=unary("", "%x:2x3xf32"),
    )


def test_the_second_power_is_the_square() -> None:
    expect(
        canonicalize,
        before=unary(f"{number('2.0')}%0 = power %x, %c : tensor<2x3xf32>", "%0:2x3xf32"),
        after=unary("%0 = square %x : tensor<2x3xf32>", "%0:2x3xf32"),
    )


def test_the_third_power_stays() -> None:
    expect(
        canonicalize,
        before=unary(f"{number('3.0')}%0 = power %x, %c : tensor<2x3xf32>", "%0:2x3xf32"),
    )


def named_numbers(**numbers: float) -> str:
    """Numbers by name, each repeated over 2x3."""
    return "".join(
        number(str(value)).replace("%k", f"%{name}.0").replace("%c", f"%{name}")
        for name, value in numbers.items()
    )


def gelu_text(product: str, argument: str, result: str, **changed: float) -> str:
    """A gelu written out: `argument` of erf and `product` of x and %gate = erf + 1."""
    numbers = {"root": 2**0.5, "scale": 0.5**0.5, "one": 1.0, "half": 0.5, **changed}
    lines = [
        f"%v = {argument}",
        "%erf = erf %v",
        "%gate = add %erf, %one",
        *product.split("; "),
    ]
    typed = "\n".join(f"{line} : tensor<2x3xf32>" for line in lines)
    return unary(named_numbers(**numbers) + typed, f"{result}:2x3xf32")


OVER_ROOT = "divide %x, %root"


@pytest.mark.parametrize("argument", [OVER_ROOT, "multiply %x, %scale", "multiply %scale, %x"])
@pytest.mark.parametrize(
    "product",
    [
        "%p = multiply %x, %gate; %y = multiply %p, %half",
        "%p = multiply %x, %half; %y = multiply %p, %gate",
        "%p = multiply %half, %x; %y = multiply %gate, %p",
        "%p = multiply %gate, %half; %y = multiply %x, %p",
    ],
)
def test_a_gelu_written_out_is_one_operation(product: str, argument: str) -> None:
    expect(
        canonicalize,
        before=gelu_text(product, argument, "%y"),
        after=unary('%y = gelu %x {approximate = "none"} : tensor<2x3xf32>', "%y:2x3xf32"),
    )


def test_a_gelu_of_a_product_is_one_operation() -> None:
    """The factors of x are told from those of gelu."""
    fn = ml.parse(
        gelu_text("%p = multiply %z, %gate; %y = multiply %p, %half", "divide %z, %root", "%y")
        .replace("%v =", "%z = multiply %x, %root : tensor<2x3xf32>\n%v =")
    )
    assert operations(canonicalize(fn)) == ["broadcast", "multiply", "gelu"]


def tanh_gelu_text(cube: str, product: str, bend: float = 0.044715) -> str:
    """A gelu by tanh written out: `cube` gives %cube, and `product` is of x and %gate."""
    numbers = {"bend": bend, "scale": (2 / 3.141592653589793) ** 0.5, "one": 1.0, "half": 0.5}
    lines = [
        *cube.split("; "),
        "%b = multiply %bend, %cube",
        "%c = add %x, %b",
        "%v = multiply %c, %scale",
        "%tanh = tanh %v",
        "%gate = add %one, %tanh",
        *product.split("; "),
    ]
    typed = "\n".join(f"{line} : tensor<2x3xf32>" for line in lines)
    exponent = number("3.0").replace("%k", "%three.0").replace("%c", "%three")
    return unary(named_numbers(**numbers) + exponent + typed, "%y:2x3xf32")


HALF_LAST = "%p = multiply %x, %gate; %y = multiply %p, %half"


@pytest.mark.parametrize(
    ("cube", "product"),
    [
        ("%s = multiply %x, %x; %cube = multiply %x, %s", HALF_LAST),
        ("%s = square %x; %cube = multiply %s, %x", HALF_LAST),
        ("%cube = power %x, %three", "%p = multiply %half, %x; %y = multiply %p, %gate"),
    ],
)
def test_a_gelu_by_tanh_written_out_is_one_operation(cube: str, product: str) -> None:
    expect(
        canonicalize,
        before=tanh_gelu_text(cube, product),
        after=unary('%y = gelu %x {approximate = "tanh"} : tensor<2x3xf32>', "%y:2x3xf32"),
    )


@pytest.mark.parametrize(
    ("cube", "product", "bend"),
    [
        ("%cube = square %x", HALF_LAST, 0.044715),
        ("%cube = power %x, %three", HALF_LAST, 0.0447),
        ("%cube = power %x, %three", "%p = multiply %x, %gate; %y = add %p, %half", 0.044715),
        ("%cube = power %x, %three", "%p = square %x; %y = multiply %p, %gate", 0.044715),
    ],
)
def test_what_only_looks_like_a_gelu_by_tanh_stays(cube: str, product: str, bend: float) -> None:
    fn = canonicalize(ml.parse(tanh_gelu_text(cube, product, bend)))
    assert "gelu" not in operations(fn)
    assert "tanh" in operations(fn)


def test_powers_of_powers_are_not_written_out() -> None:
    """Forty squarings have 2⁴⁰ factors."""
    lines = ["%0 = multiply %x, %x"] + [f"%{n + 1} = multiply %{n}, %{n}" for n in range(39)]
    text = unary("\n".join(f"{line} : tensor<2x3xf32>" for line in lines), "%39:2x3xf32")
    expect(canonicalize, before=text)


@pytest.mark.parametrize(
    ("product", "argument", "changed"),
    [
        ("%p = multiply %x, %gate; %y = multiply %p, %half", "negative %x", {}),
        ("%p = multiply %x, %gate; %y = multiply %p, %half", OVER_ROOT, {"root": 1.4142}),
        ("%p = multiply %x, %gate; %y = multiply %p, %half", OVER_ROOT, {"half": 0.7}),
        ("%p = multiply %x, %gate; %y = multiply %p, %half", OVER_ROOT, {"one": 0.9}),
        ("%z = exp %x; %p = multiply %z, %gate; %y = multiply %p, %half", OVER_ROOT, {}),
        ("%p = multiply %x, %gate; %y = multiply %p, %gate", OVER_ROOT, {}),
    ],
)
def test_what_only_looks_like_a_gelu_stays(
    product: str, argument: str, changed: dict[str, float]
) -> None:
    fn = canonicalize(ml.parse(gelu_text(product, argument, "%y", **changed)))
    assert "gelu" not in operations(fn)
    assert "erf" in operations(fn)


def batched(axes: str, result: str) -> str:
    return f"""
        func @f(%x: tensor<2x3x5x4xf32>, %y: tensor<2x3x5x6xf32>) -> tensor<{result}> {{
          %0 = transpose %x {{perm = [0, 1, 3, 2]}} : tensor<2x3x4x5xf32>
          %1 = matmul %0, %y : tensor<2x3x4x6xf32>
          %2 = sum %1 {{{axes}}} : tensor<{result}>
          return %2
        }}"""


def test_a_sum_of_products_is_one_product() -> None:
    expect(
        canonicalize,
        before=batched("axes = [0, 1]", "4x6xf32"),
        after="""
            func @f(%x: tensor<2x3x5x4xf32>, %y: tensor<2x3x5x6xf32>) -> tensor<4x6xf32> {
              %0 = reshape %x {shape = [30, 4]} : tensor<30x4xf32>
              %1 = reshape %y {shape = [30, 6]} : tensor<30x6xf32>
              %2 = transpose %0 {perm = [1, 0]} : tensor<4x30xf32>
              %3 = matmul %2, %1 : tensor<4x6xf32>
              return %3
            }""",
    )


@pytest.mark.parametrize(
    ("axes", "result"),
    [
        ("axes = [0]", "3x4x6xf32"),
        ("axes = [1, 2]", "2x6xf32"),
        ("axes = [0, 1], keepdims = true", "1x1x4x6xf32"),
    ],
)
def test_a_sum_of_some_products_stays(axes: str, result: str) -> None:
    expect(canonicalize, before=batched(axes, result))


def test_every_pattern_says_before_and_after() -> None:
    """The docstring of a pattern is its rule."""
    for pattern in PATTERNS:
        assert "  ->  " in (pattern.apply.__doc__ or ""), pattern.name
