"""Large angles, reduced by multiples of pi/2 with as many bits of 2/pi as that takes.

M. H. Payne, R. N. Hanek, "Radian reduction for trigonometric functions", SIGNUM Newsletter 18
(1983). With |x| = m 2**e, m an integer, the bits of 2/pi whose weight times 2**e is 4 or more add
whole turns, which no function sees. The next 192 bits, times m, are |x| in quarters of a turn, with
an error below 2**-137 of a turn, and no f64 comes nearer to a multiple of pi/2 than 2**-62.
"""

from __future__ import annotations

from ..text.builder import constant
from ..text.vectors import Ints, Vec
from .constants import PI_HALF, TWO_OVER_PI, parts

_WORDS = 20  # of 64 bits; the first is 0, for a window that begins before the first bit
_TABLE = "@ml.two_over_pi = internal constant [{count} x i64] [{words}]"
_INTRINSICS = (
    "declare double @llvm.fabs.f64(double)",
    "declare i64 @llvm.fshl.i64(i64, i64, i64)",
    "declare i128 @llvm.ctlz.i128(i128, i1)",
)

# Lane by lane, as large angles are rare. `quarters` is |x| in quarters of a turn, times 2**126. Of
# what is left over, a has 27 bits, so that its first product is exact, and b the next 53.
_FUNCTION = """define internal {pair} @{name}({real} %x, {pair} %near, double %limit) nounwind {{
entry:
  %near.rest = extractvalue {pair} %near, 0
  %near.turns = extractvalue {pair} %near, 1
  br label %lane
lane:
  %i = phi i64 [ 0, %entry ], [ %next, %kept ]
  %rests = phi {real} [ %near.rest, %entry ], [ %rests.kept, %kept ]
  %turns = phi {whole} [ %near.turns, %entry ], [ %turns.kept, %kept ]
  %one = extractelement {real} %x, i64 %i
  %size = call double @llvm.fabs.f64(double %one)
  %far = fcmp ogt double %size, %limit
  br i1 %far, label %reduce, label %kept
reduce:
  %bits = bitcast double %size to i64
  %biased = lshr i64 %bits, 52
  %stored = and i64 %bits, 4503599627370495
  %m = or i64 %stored, 4503599627370496
  %first = sub i64 %biased, 1013
  %word = lshr i64 %first, 6
  %shift = and i64 %first, 63
  %p0 = getelementptr i64, ptr @ml.two_over_pi, i64 %word
  %p1 = getelementptr i64, ptr %p0, i64 1
  %p2 = getelementptr i64, ptr %p0, i64 2
  %p3 = getelementptr i64, ptr %p0, i64 3
  %w0 = load i64, ptr %p0
  %w1 = load i64, ptr %p1
  %w2 = load i64, ptr %p2
  %w3 = load i64, ptr %p3
  %high = call i64 @llvm.fshl.i64(i64 %w0, i64 %w1, i64 %shift)
  %mid = call i64 @llvm.fshl.i64(i64 %w1, i64 %w2, i64 %shift)
  %low = call i64 @llvm.fshl.i64(i64 %w2, i64 %w3, i64 %shift)
  %m.wide = zext i64 %m to i128
  %high.wide = zext i64 %high to i128
  %mid.wide = zext i64 %mid to i128
  %low.wide = zext i64 %low to i128
  %low.product = mul i128 %m.wide, %low.wide
  %low.carry = lshr i128 %low.product, 64
  %mid.product = mul i128 %m.wide, %mid.wide
  %high.product = mul i128 %m.wide, %high.wide
  %high.moved = shl i128 %high.product, 64
  %two = add i128 %mid.product, %high.moved
  %quarters = add i128 %two, %low.carry
  %rounded = add i128 %quarters, {half_quarter}
  %count.wide = lshr i128 %rounded, 126
  %count = trunc i128 %count.wide to i64
  %part = shl i128 %quarters, 2
  %below = icmp slt i128 %part, 0
  %part.negated = sub i128 0, %part
  %distance = select i1 %below, i128 %part.negated, i128 %part
  %zeros = call i128 @llvm.ctlz.i128(i128 %distance, i1 false)
  %normal = shl i128 %distance, %zeros
  %leading.wide = lshr i128 %normal, 101
  %leading = trunc i128 %leading.wide to i64
  %rest.wide = lshr i128 %normal, 48
  %rest.low = trunc i128 %rest.wide to i64
  %rest.bits = and i64 %rest.low, 9007199254740991
  %a = sitofp i64 %leading to double
  %b = sitofp i64 %rest.bits to double
  %b.scaled = fmul double %b, {two_to_minus_53}
  %a.high = fmul double %a, {pi_half_high}
  %a.low = fmul double %a, {pi_half_low}
  %b.both = fmul double %b.scaled, {pi_half}
  %tail = fadd double %a.low, %b.both
  %angle = fadd double %a.high, %tail
  %zeros.low = trunc i128 %zeros to i64
  %exponent = sub i64 996, %zeros.low
  %exponent.bits = shl i64 %exponent, 52
  %scale = bitcast i64 %exponent.bits to double
  %scaled = fmul double %angle, %scale
  %x.negative = fcmp olt double %one, 0.0
  %negative = xor i1 %x.negative, %below
  %scaled.negated = fneg double %scaled
  %rest.finite = select i1 %negative, double %scaled.negated, double %scaled
  %finite = fcmp olt double %size, 0x7FF0000000000000
  %rest = select i1 %finite, double %rest.finite, double 0x7FF8000000000000
  %count.negated = sub i64 0, %count
  %turned = select i1 %x.negative, i64 %count.negated, i64 %count
  %rests.new = insertelement {real} %rests, double %rest, i64 %i
  %turns.new = insertelement {whole} %turns, i64 %turned, i64 %i
  br label %kept
kept:
  %rests.kept = phi {real} [ %rests, %lane ], [ %rests.new, %reduce ]
  %turns.kept = phi {whole} [ %turns, %lane ], [ %turns.new, %reduce ]
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {width}
  br i1 %more, label %lane, label %done
done:
  %half = insertvalue {pair} poison, {real} %rests.kept, 0
  %result = insertvalue {pair} %half, {whole} %turns.kept, 1
  ret {pair} %result
}}"""


def with_far_angles(x: Vec, near: tuple[Vec, Ints], limit: float) -> tuple[Vec, Ints]:
    """(r, n), x = n pi/2 + r, only the low bits of n meant: `near`, but in lanes where |x| is above
    `limit` (at least 1) by many bits of pi. All are of f64; r is NaN where x is infinite or NaN."""
    shape = x.shape
    out, width = shape.out, shape.width
    real, whole = f"<{width} x double>", f"<{width} x i64>"
    pair = f"{{ {real}, {whole} }}"
    for text in (*_INTRINSICS, _table_text(), _function_text(width)):
        out.declare(text)
    angle, rest, turns = (
        value if width > 1 else out.define(f"bitcast {kind} {value} to <1 x {kind}>")
        for value, kind in ((x.name, "double"), (near[0].name, "double"), (near[1].name, "i64"))
    )
    half = out.define(f"insertvalue {pair} poison, {real} {rest}, 0")
    usual = out.define(f"insertvalue {pair} {half}, {whole} {turns}, 1")
    arguments = f"{real} {angle}, {pair} {usual}, double {constant(limit, 'f64', 1)}"
    call = f"call {pair} @{_name(width)}({arguments})"
    found = out.unless_rare((x.fabs() > limit).any(), pair, usual, call)
    parts = [out.define(f"extractvalue {pair} {found}, {place}") for place in (0, 1)]
    if width == 1:
        parts = [
            out.define(f"bitcast <1 x {kind}> {part} to {kind}")
            for part, kind in zip(parts, ("double", "i64"), strict=True)
        ]
    return Vec(shape, parts[0]), Ints(shape, parts[1])


def _name(width: int) -> str:
    return f"ml.far_angles.{width}"


def _table_text() -> str:
    words = [TWO_OVER_PI >> 64 * place & 2**64 - 1 for place in reversed(range(_WORDS))]
    return _TABLE.format(count=_WORDS, words=", ".join(f"i64 {word}" for word in words))


def _function_text(width: int) -> str:
    real, whole = f"<{width} x double>", f"<{width} x i64>"
    high, low = parts(PI_HALF, 26, 53)
    return _FUNCTION.format(
        name=_name(width),
        width=width,
        real=real,
        whole=whole,
        pair=f"{{ {real}, {whole} }}",
        half_quarter=2**125,
        two_to_minus_53=constant(2.0**-53, "f64", 1),
        pi_half=constant(float(PI_HALF), "f64", 1),
        pi_half_high=constant(high, "f64", 1),
        pi_half_low=constant(low, "f64", 1),
    )
