"""The vector mathematics, compiled for several CPUs and compared with extended precision."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
import pytest

from mlir_lite.backends.llvm.math import pieces, tables
from mlir_lite.backends.llvm.math.constants import TANH_IS_ONE, TWO_OVER_PI
from mlir_lite.backends.llvm.math.elementary import MATH_FUNCTIONS, emit_math
from mlir_lite.backends.llvm.text.builder import FloatType, LlvmText, constant
from mlir_lite.errors import UnsupportedError
from mlir_lite.expr import FUNCTIONS

Array = npt.NDArray[np.floating]
Extended = npt.NDArray[np.longdouble]
BINARY = ("atan2", "pow")
UNARY = tuple(sorted(MATH_FUNCTIONS.difference(BINARY)))
NUMPY_TYPE: Mapping[FloatType, type[np.floating]] = {"f32": np.float32, "f64": np.float64}


@dataclass(frozen=True)
class Variant:
    """What the functions are emitted and compiled for."""

    dtype: FloatType
    width: int
    cpu: str = "host"

    @property
    def fma(self) -> bool:
        return self.cpu != "x86-64"

    @property
    def avx512(self) -> bool:
        return self.cpu == "x86-64-v4"


HOST = (Variant("f32", 16), Variant("f64", 8))
WIDE = (Variant("f32", 16, "x86-64-v4"), Variant("f64", 8, "x86-64-v4"))
OTHERS = (
    *WIDE,
    *(Variant("f32", width) for width in (1, 4, 8)),
    *(Variant("f64", width) for width in (1, 2, 4)),
    Variant("f32", 8, "haswell"),
    Variant("f64", 4, "haswell"),
    Variant("f32", 4, "x86-64"),
    Variant("f64", 2, "x86-64"),
)


def loop_text(function: str, variant: Variant, declarations: set[str]) -> str:
    """void function(x, y, result, n): the function over n elements, n a multiple of the width."""
    out = LlvmText(fma=variant.fma, avx512=variant.avx512, block="loop")
    element = "float" if variant.dtype == "f32" else "double"
    kind = element if variant.width == 1 else f"<{variant.width} x {element}>"
    args = ["%x", "%y"] if function in BINARY else ["%x"]
    result = emit_math(out, function, args, variant.dtype, variant.width)
    declarations |= out.declarations
    body = "\n  ".join(out.lines)
    return f"""
define void @{function}(ptr %xs, ptr %ys, ptr %results, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %{out.block} ]
  %xp = getelementptr {element}, ptr %xs, i64 %i
  %yp = getelementptr {element}, ptr %ys, i64 %i
  %rp = getelementptr {element}, ptr %results, i64 %i
  %x = load {kind}, ptr %xp, align 4
  %y = load {kind}, ptr %yp, align 4
  {body}
  store {kind} {result}, ptr %rp, align 4
  %next = add i64 %i, {variant.width}
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %exit
exit:
  ret void
}}"""


CPU_FEATURES = {
    "x86-64-v4": {"avx512f", "avx512vl", "avx512dq"},
    "haswell": {"avx2", "fma"},
    "x86-64": {"sse2"},
}


def runs_here(cpu: str) -> bool:
    features = llvm.get_host_cpu_features()
    return all(features.get(name, False) for name in CPU_FEATURES.get(cpu, ()))


def target_machine(cpu: str) -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    if cpu == "host":
        features = llvm.get_host_cpu_features().flatten()
        return target.create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True
        )
    return target.create_target_machine(cpu=cpu, opt=2, jit=True)


def module_text(variant: Variant) -> str:
    declarations: set[str] = set()
    functions = [loop_text(f, variant, declarations) for f in sorted(MATH_FUNCTIONS)]
    attributes = 'attributes #0 = { nounwind "prefer-vector-width"="512" }'
    text = "\n".join([*sorted(declarations), *functions, attributes])
    return text.replace("i64 %n) {", "i64 %n) #0 {")


@cache
def compiled(variant: Variant) -> llvm.ResourceTracker:
    """The functions of a variant; the tracker keeps the code alive."""
    machine = target_machine(variant.cpu)
    jit = llvm.create_lljit_compiler(machine)
    builder = llvm.JITLibraryBuilder().add_ir(module_text(variant))
    for function in MATH_FUNCTIONS:
        builder = builder.export_symbol(function)
    return builder.link(jit, "mathematics")


def evaluate(variant: Variant, function: str, x: Array, y: Array | None = None) -> Array:
    padding = (0, -len(x) % variant.width)
    xs = np.pad(x, padding)
    ys = xs if y is None else np.pad(y, padding)
    results = np.empty_like(xs)
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
    call = signature(compiled(variant)[function])
    call(xs.ctypes.data, ys.ctypes.data, results.ctypes.data, len(xs))
    return results[: len(x)]


# The largest error in ulp, (f32, f64), over all variants; measured, rounded up a little.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "acos": (1.3, 1.3),
    "acosh": (0.51, 2.5),
    "asin": (2.0, 2.1),
    "asinh": (0.51, 1.8),
    "atan": (1.9, 1.9),
    "atan2": (1.9, 1.9),
    "atanh": (0.51, 1.9),
    "cos": (1.6, 1.7),
    "cosh": (1.6, 1.6),
    "erf": (1.4, 1.4),
    "erfc": (0.51, 5.5),
    "exp": (1.2, 1.2),
    "exp2": (1.3, 1.3),
    "expm1": (1.7, 2.0),
    "gelu": (1.2, 1.3),
    "gelu_bf16": (1300.0, 1.3),
    "log": (1.0, 1.0),
    "log10": (1.7, 1.7),
    "log1p": (1.1, 1.1),
    "log2": (1.9, 1.9),
    "pow": (0.51, 1.5),
    "sigmoid": (2.4, 2.2),
    "sin": (1.6, 1.7),
    "sinh": (1.7, 1.7),
    "tan": (0.51, 2.7),
    "tanh": (1.4, 1.4),
}
SLOW_ORACLES = ("erf", "erfc", "gelu", "gelu_bf16")
RELATIVE_TO_ARGUMENT = ("gelu", "gelu_bf16")  # the result may be a small part of it
TRIGONOMETRIC = ("cos", "sin", "tan")


def sigmoid(x: Extended) -> Extended:
    e = np.exp(-np.abs(x))
    result: Extended = np.where(x < 0, e, 1) / (1 + e)
    return result


def with_mpmath(function: str) -> Callable[[Extended], Extended]:
    """erf and erfc, which NumPy lacks; beyond 28 they are constant even in f64."""
    mpmath = pytest.importorskip("mpmath")

    def one(x: float) -> np.longdouble:
        if not 1e-300 < abs(x) < 28:
            return np.longdouble(getattr(math, function)(x))
        with mpmath.workdps(25):
            return np.longdouble(mpmath.nstr(getattr(mpmath, function)(mpmath.mpf(x)), 22))

    return lambda xs: np.array([one(float(x)) for x in xs], np.longdouble)


def gelu(xs: Extended) -> Extended:
    """x times the normal distribution up to x; 0 of -inf, the limit."""
    mpmath = pytest.importorskip("mpmath")

    def one(x: float) -> np.longdouble:
        if not 0 < abs(x) < 40:
            return np.longdouble(-0.0 if x < 0 else x)
        with mpmath.workdps(25):
            return np.longdouble(mpmath.nstr(x * mpmath.ncdf(x), 22))

    return np.array([one(float(x)) for x in xs], np.longdouble)


def oracle(function: str) -> Callable[..., Extended]:
    """The function on arrays of `longdouble`."""
    match function:
        case "sigmoid":
            return sigmoid
        case "erf" | "erfc":
            return with_mpmath(function)
        case "gelu" | "gelu_bf16":
            return gelu
        case "pow":
            return np.power
    name = re.sub("^a(?=cos|sin|tan)", "arc", function)
    ufunc: Callable[..., Extended] = getattr(np, name)
    return ufunc


def error_in_ulp(result: Array, expected: Extended, scale: Extended | None = None) -> Extended:
    """|result - expected| in units of the last place of `scale`, which is `expected` by default.

    It is inf where only one is NaN.
    """
    info = np.finfo(result.dtype)
    overflow = np.longdouble(2) ** info.maxexp  # the number that inf stands for
    got = np.clip(result.astype(np.longdouble), -overflow, overflow)
    want = np.clip(expected, -overflow, overflow)
    size = np.abs(want if scale is None else scale)
    exponent = np.floor(np.log2(np.clip(size, info.tiny, info.max)))
    error: Extended = np.abs(got - want) / np.exp2(exponent) / np.longdouble(info.eps)
    error[np.isnan(got) & np.isnan(want)] = 0
    error[np.isnan(got) != np.isnan(want)] = np.inf
    return error


def special_values(dtype: FloatType) -> Array:
    info = np.finfo(NUMPY_TYPE[dtype])
    edges = [info.max, info.tiny, info.smallest_subnormal, info.tiny / 2]
    values = np.array([0, 0.5, 1, 2, 3, 8, 1000, np.inf, *edges], info.dtype)
    return np.concatenate([values, -values, np.array([np.nan], info.dtype)])


def samples(dtype: FloatType, count: int) -> Array:
    """Special values, random bit patterns, and the ranges where the functions are interesting."""
    rng = np.random.default_rng(1)
    kind = NUMPY_TYPE[dtype]
    bits = rng.bytes(count * np.dtype(kind).itemsize)
    sign = rng.choice([-1.0, 1.0], count)
    ranges = [
        *(rng.uniform(-limit, limit, count) for limit in (1, 2, 12, 110, 800)),
        np.exp2(rng.uniform(-40, 12, count)) * sign,
        1 + np.exp2(rng.uniform(-30, -1, count)) * sign,
    ]
    parts = [special_values(dtype), np.frombuffer(bits, kind), *(r.astype(kind) for r in ranges)]
    return np.concatenate(parts)


def exponents_for(base: Array) -> Array:
    """Exponents that bring |base|**y anywhere between the smallest and the largest number."""
    rng = np.random.default_rng(2)
    largest = np.log(np.finfo(base.dtype).max)
    y = rng.uniform(-1.05, 1.05, len(base)) * largest / np.log(np.abs(base.astype(np.float64)))
    whole = rng.random(len(base)) < 0.3
    exponents: Array = np.where(whole, np.round(y), y).astype(base.dtype)
    return exponents


def variant_id(variant: Variant) -> str:
    return f"{variant.dtype}x{variant.width}-{variant.cpu}"


@pytest.fixture(params=[*HOST, *OTHERS], ids=variant_id)
def variant(request: pytest.FixtureRequest) -> Variant:
    chosen: Variant = request.param
    if not runs_here(chosen.cpu):
        pytest.skip(f"this machine does not run code for {chosen.cpu}")
    return chosen


needs_extended = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="long double has no more precision than double"
)


@needs_extended
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("function", sorted(MATH_FUNCTIONS))
def test_error_is_within_bound(variant: Variant, function: str) -> None:
    x = samples(variant.dtype, 100 if function in SLOW_ORACLES else 2000)
    args = [x]
    if function in BINARY:
        partner = np.random.default_rng(3).permutation(x)
        args = [np.concatenate([x, x]), np.concatenate([partner, exponents_for(x)])]
    expected = oracle(function)(*(arg.astype(np.longdouble) for arg in args))
    result = evaluate(variant, function, *args)
    scale = args[0].astype(np.longdouble) if function in RELATIVE_TO_ARGUMENT else None
    error = error_in_ulp(result, expected, scale)
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS[function][variant.dtype == "f64"], [a[worst] for a in args]
    numbers = ~np.isnan(expected) & ((result != 0) | (expected == 0))
    assert np.array_equal(np.signbit(result[numbers]), np.signbit(expected[numbers]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("function", [f for f in UNARY if hasattr(np, f)])
def test_special_values_are_those_of_numpy(variant: Variant, function: str) -> None:
    x = special_values(variant.dtype)
    assert_same_specials(evaluate(variant, function, x), getattr(np, function)(x))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("function", "ufunc"), [("pow", np.power), ("atan2", np.arctan2)])
def test_special_pairs_are_those_of_numpy(
    variant: Variant, function: str, ufunc: Callable[..., Array]
) -> None:
    huge = 2.0 ** (np.finfo(NUMPY_TYPE[variant.dtype]).nmant + 1)
    integers = np.array([huge - 1, huge, 1.5 * huge, 7, 0.25, -0.75, 1 - huge])
    values = np.concatenate([special_values(variant.dtype), integers]).astype(
        NUMPY_TYPE[variant.dtype]
    )
    x, y = (axis.ravel() for axis in np.meshgrid(values, values))
    assert_same_specials(evaluate(variant, function, x, y), ufunc(x, y))


def assert_same_specials(result: Array, expected: Array) -> None:
    """Zeros with their signs, infinities and NaN agree exactly, all other values closely."""
    special = (expected == 0) | ~np.isfinite(expected)
    np.testing.assert_array_equal(result[special], expected[special])
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[numbers]), np.signbit(expected[numbers]))
    # 8 ulp, or the last bit of a subnormal
    info = np.finfo(result.dtype)
    tolerance = 8 * info.eps * np.abs(expected[~special]) + info.smallest_subnormal
    assert np.all(np.abs(result[~special] - expected[~special]) <= tolerance)


@needs_extended
@pytest.mark.parametrize("function", TRIGONOMETRIC)
def test_large_angles_near_a_quarter_turn_are_reduced_exactly(
    variant: Variant, function: str
) -> None:
    """Multiples of a quarter turn, where most digits cancel, up to the largest number, beside
    small ones in one vector; among them the f64 that comes nearest to one (Kahan 1983)."""
    rng = np.random.default_rng(4)
    kind, info = NUMPY_TYPE[variant.dtype], np.finfo(NUMPY_TYPE[variant.dtype])
    exponents = rng.uniform(0, info.maxexp - 1, 4000)
    turns = np.where(exponents < 50, np.round(np.exp2(exponents)), np.exp2(exponents))
    x = (turns * (math.pi / 2) * rng.choice([-1, 1], 4000)).astype(kind)
    x[::7] = rng.uniform(-3, 3, len(x[::7]))
    if variant.dtype == "f64":
        x[0] = 6381956970095103 * 2.0**797
    error = error_in_ulp(evaluate(variant, function, x), oracle(function)(x.astype("g")))
    assert error.max() <= BOUNDS[function][variant.dtype == "f64"], x[int(np.argmax(error))]


def test_the_bits_of_two_over_pi() -> None:
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workprec(1400):
        assert int(mpmath.floor(2 / mpmath.pi * mpmath.mpf(2) ** 1216)) == TWO_OVER_PI


@pytest.mark.parametrize("function", ["exp", "exp2", "sigmoid", "erfc", "gelu", "gelu_bf16"])
def test_an_instruction_that_scales_changes_no_bit(function: str) -> None:
    for plain, scaling in zip(HOST, WIDE, strict=True):
        if not (runs_here(scaling.cpu) and plain.fma):
            pytest.skip("no AVX-512")
        x = samples(plain.dtype, 5000)
        expected = evaluate(plain, function, x)
        np.testing.assert_array_equal(evaluate(scaling, function, x), expected)


def test_nothing_is_called_but_for_large_angles(variant: Variant) -> None:
    text = module_text(variant)
    inline = {"sqrt", "fabs", "copysign", "ctlz", "fshl"}
    inline |= {"vector"} if variant.width > 1 else set()  # whether any lane has a large angle
    inline |= ({"fma"} if variant.fma else set()) | ({"x86"} if variant.avx512 else set())
    assert set(re.findall(r"declare .*@llvm\.(\w+)", text)) == inline
    module = llvm.parse_assembly(text)
    module.verify()
    assembly = target_machine(variant.cpu).emit_assembly(module)
    called = re.findall(r"call .*@(?!llvm)([\w.]+)", text)
    assert called == [f"ml.far_angles.{variant.width}"] * len(TRIGONOMETRIC)
    assert len(re.findall(r"\bcall", assembly)) == len(called)
    # a call at the end would be a jump to an address: `jmpq *%rax`
    assert not re.search(r"\bjmpq?\s+\*", assembly)


@pytest.mark.parametrize(
    ("table", "fits"), [(tables, "fit_polynomials"), (pieces, "fit_pieces")]
)
def test_tables_are_what_the_fits_give(table: ModuleType, fits: str) -> None:
    pytest.importorskip("mpmath")
    script = import_module(f"mlir_lite.backends.llvm.math.{fits}")  # needs mpmath
    assert table.__file__ is not None
    assert script.table_text() == Path(table.__file__).read_text(encoding="utf-8")


def test_gelu_for_bf16_errs_by_a_sixteenth_of_its_last_place(variant: Variant) -> None:
    """All numbers of bf16, and as many of f32 among them where gelu bends."""
    if variant.dtype == "f64":
        pytest.skip("is gelu itself there")
    every = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    x = np.concatenate([every[np.isfinite(every)], np.linspace(-10, 5, 1 << 16, dtype=np.float32)])
    wide = x.astype(np.float64)
    exact = FUNCTIONS["gelu"].evaluate(wide)
    error = np.abs(evaluate(variant, "gelu_bf16", x) - exact)
    allowed = 2.0**-12 * np.maximum(np.abs(exact), 2.0**-9 * np.abs(wide))
    worst = int(np.argmax(error - allowed))
    # what flushes subnormal numbers may leave out
    assert error[worst] <= allowed[worst] + np.finfo(np.float32).tiny, x[worst]


@needs_extended
@pytest.mark.parametrize("variant", [HOST[0], WIDE[0]], ids=variant_id)
def test_tanh_is_right_where_pieces_meet(variant: Variant) -> None:
    if not runs_here(variant.cpu):
        pytest.skip(f"this machine does not run code for {variant.cpu}")
    edges = [2.0**power * part for power in range(-5, 4) for part in (1.0, 1.5)]
    edges += [9.01, TANH_IS_ONE["f32"], 22.8]
    near = np.array(edges, np.float32).view(np.int32)[:, None] + np.arange(-500, 500)
    x = near.astype(np.int32).view(np.float32).ravel()
    found = evaluate(variant, "tanh", x)
    assert error_in_ulp(found, np.tanh(x.astype("g"))).max() <= BOUNDS["tanh"][0]
    assert found.max() == 1.0
    np.testing.assert_array_equal(evaluate(variant, "tanh", -x), -found)


def test_tanh_of_the_smallest_is_themselves(variant: Variant) -> None:
    info = np.finfo(NUMPY_TYPE[variant.dtype])
    x = (np.arange(-64, 64) * info.smallest_subnormal).astype(info.dtype)
    x = np.concatenate([x, np.exp2(np.arange(info.minexp, -30)).astype(info.dtype)])
    np.testing.assert_array_equal(evaluate(variant, "tanh", x), x)


def test_constant_is_rounded_to_its_type() -> None:
    assert constant(0.1, "f32", 1) == f"0x{np.float64(np.float32(0.1)).view(np.uint64):016X}"
    assert constant(-1.0, "f64", 4) == "splat (double 0xBFF0000000000000)"


def test_unknown_function_is_named() -> None:
    with pytest.raises(UnsupportedError, match="gamma"):
        emit_math(LlvmText(), "gamma", ["%x"], "f32", 4)


def test_wrong_argument_count_is_named() -> None:
    with pytest.raises(TypeError, match=r"pow takes 2 argument\(s\), got 1"):
        emit_math(LlvmText(), "pow", ["%x"], "f32", 4)
