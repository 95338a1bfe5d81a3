"""Conversions: element types to each other, and between registers and memory.

f16 and bf16 are computed in f32 and rounded after every operation. Where the target cannot convert
half floats, LLVM would call a library; the sequences here need no more than f32 and i32.
"""

from __future__ import annotations

import numpy as np

from ....types import DType, bf16, bool_, f32, f64, i8, i32
from ..text.avx512 import has_halves, normal_halves
from ..text.builder import splat, vector_type
from ..text.scopes import ScopedText, Value, literal, memory_type, register_type, suffix
from ..text.vectors import Ints, Mask, Shape, Vec

_F16_SCALE = 2.0**112  # between the exponents of f16 and f32: biases 15 and 127


def convert(out: ScopedText, value: Value, dtype: DType, *, native_half: bool) -> Value:
    """What `expr.Cast` says: saturating float to integer, NaN to 0, `!= 0` to bool."""
    source = value.dtype
    if source == dtype:
        return value
    if value.number is not None and not source.is_float and dtype.kind != "b":
        return literal(value.number, dtype, value.lanes)
    if dtype.kind == "b":
        test = "fcmp une" if source.is_float else "icmp ne"
        zero = literal(0, source, value.lanes)
        return Value(out.define(f"{test} {value}, {zero.name}"), bool_, value.lanes)
    if not dtype.is_float:
        return _to_integer(out, value, dtype)
    if not source.is_float:
        opcode = "uitofp" if source.kind in "ub" else "sitofp"
        wide = f64 if dtype.bits == 64 else f32
        name = out.define(f"{opcode} {value} to {register_type(wide, value.lanes)}")
        return _to_float(out, Value(name, wide, value.lanes), dtype, native_half)
    return _to_float(out, value, dtype, native_half)


def _to_integer(out: ScopedText, value: Value, dtype: DType) -> Value:
    target = register_type(dtype, value.lanes)
    if value.dtype.is_float and dtype.bits < i32.bits:
        return _to_narrow_integer(out, value, dtype)
    if value.dtype.is_float:
        kind = "fptoui" if dtype.kind == "u" else "fptosi"
        function = f"llvm.{kind}.sat.{suffix(target)}.{suffix(value.type)}"
        return Value(out.call(target, function, value), dtype, value.lanes)
    if dtype.bits == value.dtype.bits:
        return Value(value.name, dtype, value.lanes)
    extension = "zext" if value.dtype.kind in "ub" else "sext"
    opcode = "trunc" if dtype.bits < value.dtype.bits else extension
    return Value(out.define(f"{opcode} {value} to {target}"), dtype, value.lanes)


def _to_narrow_integer(out: ScopedText, value: Value, dtype: DType) -> Value:
    """By way of i32 from a float moved into the range before: LLVM's saturating conversion to
    fewer bits goes lane by lane."""
    limits = np.iinfo(dtype.numpy)
    x = Vec(Shape(out, "f64" if value.dtype.bits == 64 else "f32", value.lanes), value.name)
    if limits.min:
        x = x.compare("uno", x).select(0.0, x)
    x = (x > float(limits.min)).select(x, float(limits.min))  # of no sign: NaN goes to 0 here
    x = (x < float(limits.max)).select(x, float(limits.max))
    whole = out.define(f"fptosi {x.shape.type} {x.name} to {register_type(i32, value.lanes)}")
    return _to_integer(out, Value(whole, i32, value.lanes), dtype)


def _to_float(out: ScopedText, value: Value, dtype: DType, native_half: bool) -> Value:
    """A float of registers (f64, or f32 for all others) as another."""
    if dtype.bits == 64:
        if value.dtype.bits == 64:
            return value
        name = out.define(f"fpext {value} to {register_type(f64, value.lanes)}")
        return Value(name, f64, value.lanes)
    if value.dtype.bits == 64:
        vec = Vec(Shape(out, "f64", value.lanes), value.name)
        narrow = _rounded_to_odd(vec) if dtype.name == "f16" else vec.narrowed()
        value = Value(narrow.name, f32, value.lanes)
    return round_to(out, Value(value.name, f32, value.lanes), dtype, native_half=native_half)


def _rounded_to_odd(x: Vec) -> Vec:
    """f64 to f32 such that rounding once more gives what rounding at once would.

    Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008, section 3.
    """
    nearest = x.narrowed()
    wide = nearest.widened()
    inexact = wide.compare("one", x)
    away = wide.fabs().compare("ogt", x.fabs())
    odd_down = ((nearest.bits() - 1) | 1).as_float()
    odd = (nearest.bits() | 1).as_float()
    masks = (Mask(nearest.shape, away.name), Mask(nearest.shape, inexact.name))
    return masks[1].select(masks[0].select(odd_down, odd), nearest)


def round_to(out: ScopedText, value: Value, dtype: DType, *, native_half: bool) -> Value:
    """An f32 (or f64) result rounded to `dtype`; itself where that is what it is."""
    lanes = value.lanes
    if dtype.name not in ("f16", "bf16"):
        return Value(value.name, dtype, lanes)
    if dtype.name == "f16" and native_half:
        half = out.define(f"fptrunc {value} to {vector_type('half', lanes)}")
        name = out.define(f"fpext {vector_type('half', lanes)} {half} to {value.type}")
        return Value(name, dtype, lanes)
    x = Vec(Shape(out, "f32", lanes), value.name)
    if dtype != bf16:
        rounded = _round_f16(x)
    else:
        rounded = _round_halves(x) if has_halves(x.shape) else _round_bits(x, 16)
    return Value(rounded.name, dtype, lanes)


def _round_halves(x: Vec) -> Vec:
    """x rounded to bf16 by an instruction that takes subnormal numbers for zero: these get the bit
    that makes them as large as normal ones, and lose it again."""
    lowest, lanes = 0x0080_0000, vector_type("i16", x.shape.width)
    small = (x.bits() & 0x7F80_0000).equals(0)
    halves = normal_halves(small.select((x.bits() | lowest).as_float(), x))
    out, least = x.shape.out, splat(str(lowest >> 16), "i16", x.shape.width)
    lowered = out.define(f"sub {lanes} {halves}, {least}")
    chosen = f"{lanes} {lowered}, {lanes} {halves}"
    halves = out.define(f"select {x.shape.mask_type} {small.name}, {chosen}")
    return _widened_halves(x, halves)


def _widened_halves(x: Vec, halves: str) -> Vec:
    """The bits of numbers of bf16, as many as those of `x`, as f32."""
    lanes = vector_type("i16", x.shape.width)
    bits = x.shape.out.define(f"zext {lanes} {halves} to {x.shape.int_type}")
    return (Ints(x.shape, bits) << 16).as_float()


def round_flushed(out: ScopedText, value: Value) -> Value | None:
    """An f32 rounded to bf16, subnormal numbers to zero, in one instruction; None without it."""
    x = Vec(Shape(out, "f32", value.lanes), value.name)
    if not has_halves(x.shape):
        return None
    return Value(_widened_halves(x, normal_halves(x)).name, bf16, value.lanes)


def _round_bits(x: Vec, dropped: int) -> Vec:
    """x with the lowest `dropped` bits of its mantissa rounded away, halves to even."""
    bits = x.bits()
    odd = (bits >> dropped) & 1
    keep = -1 << dropped
    rounded = ((bits + ((1 << (dropped - 1)) - 1) + odd) & keep).as_float()
    quiet = ((bits | (1 << 22)) & keep).as_float()  # a NaN must not lose its last bit
    return x.compare("uno", x).select(quiet, rounded)


def _round_f16(x: Vec) -> Vec:
    size = x.fabs()
    normal = _round_bits(size, 13)
    normal = (normal >= 65536.0).select(float("inf"), normal)
    subnormal = (size + 0.5) - 0.5  # the last place of 0.5 is that of the least f16
    return (size < 2.0**-14).select(subnormal, normal).copysign(x)


def from_memory(out: ScopedText, raw: str, dtype: DType, lanes: int, *, native_half: bool) -> Value:
    """The value of loaded elements `raw` of type `memory_type(dtype, lanes)`."""
    stored = memory_type(dtype, lanes)
    if dtype.kind == "b":
        zero = literal(0, i8, lanes)
        return Value(out.define(f"icmp ne {stored} {raw}, {zero.name}"), dtype, lanes)
    if dtype.name not in ("f16", "bf16"):
        return Value(raw, dtype, lanes)
    if dtype.name == "f16" and native_half:
        half = vector_type("half", lanes)
        name = out.define(f"bitcast {stored} {raw} to {half}")
        name = out.define(f"fpext {half} {name} to {register_type(dtype, lanes)}")
        return Value(name, dtype, lanes)
    shape = Shape(out, "f32", lanes)
    bits = Ints(shape, out.define(f"zext {stored} {raw} to {shape.int_type}"))
    widened = (bits << 16).as_float() if dtype == bf16 else _widened_f16(bits)
    return Value(widened.name, dtype, lanes)


def _widened_f16(bits: Ints) -> Vec:
    shape = bits.shape
    size = (bits & 0x7FFF) << 13
    finite = size.as_float() * _F16_SCALE
    special = (size | 0x7F800000).as_float()
    value = (finite < 65536.0).select(finite, special)
    sign = ((bits & 0x8000) << 16).as_float()
    return value.copysign(Vec(shape, sign.name))


def to_memory(out: ScopedText, value: Value, *, native_half: bool) -> str:
    """The elements to store, of type `memory_type(value.dtype, value.lanes)`."""
    dtype, lanes = value.dtype, value.lanes
    stored = memory_type(dtype, lanes)
    if dtype.kind == "b":
        return out.define(f"zext {value} to {stored}")
    if dtype.name not in ("f16", "bf16"):
        return value.name
    if dtype.name == "f16" and native_half:
        half = vector_type("half", lanes)
        name = out.define(f"fptrunc {value} to {half}")
        return out.define(f"bitcast {half} {name} to {stored}")
    x = Vec(Shape(out, "f32", lanes), value.name)
    bits = x.bits() >> 16 if dtype == bf16 else _f16_bits(x)
    return out.define(f"trunc {x.shape.int_type} {bits.name} to {stored}")


def _f16_bits(x: Vec) -> Ints:
    """The bits of an f32 that f16 can hold."""
    size = x.fabs()
    finite = (size * (1.0 / _F16_SCALE)).bits() >> 13
    special = ((size.bits() >> 13) & 0x3FF) | 0x7C00
    is_finite = size < 65536.0
    chosen = is_finite.select(finite.as_float(), special.as_float()).bits()
    return chosen | ((x.bits() >> 16) & 0x8000)

