"""Scalar helpers with loops of their own, as LLVM text that a module takes where it needs them."""

from __future__ import annotations

# Shift and subtract. Every step is exact: the divisor is scaled by powers of two, and a number is
# only subtracted from one at most twice as large (Sterbenz).
FMOD = """define internal double @ml.fmod(double %x, double %y) nounwind {
entry:
  %size = call double @llvm.fabs.f64(double %x)
  %divisor = call double @llvm.fabs.f64(double %y)
  %nonzero = fcmp ogt double %divisor, 0.0
  %finite = fcmp olt double %size, 0x7FF0000000000000
  %regular = and i1 %nonzero, %finite
  br i1 %regular, label %up, label %invalid
invalid:
  ret double 0x7FF8000000000000
up:
  %scaled = phi double [ %divisor, %entry ], [ %twice, %up ]
  %twice = fadd double %scaled, %scaled
  %more = fcmp ole double %twice, %size
  br i1 %more, label %up, label %down
down:
  %rest = phi double [ %size, %up ], [ %next, %down ]
  %by = phi double [ %scaled, %up ], [ %half, %down ]
  %less = fsub double %rest, %by
  %fits = fcmp oge double %rest, %by
  %next = select i1 %fits, double %less, double %rest
  %half = fmul double %by, 0.5
  %last = fcmp ole double %by, %divisor
  br i1 %last, label %done, label %down
done:
  %result = call double @llvm.copysign.f64(double %next, double %x)
  ret double %result
}"""
FMOD_NEEDS = (
    "declare double @llvm.fabs.f64(double)",
    "declare double @llvm.copysign.f64(double, double)",
)

# By squaring; wraps around, and a negative exponent gives 0.
INTEGER_POWER = """define internal i64 @ml.power(i64 %base, i64 %exponent) nounwind {
entry:
  %negative = icmp slt i64 %exponent, 0
  br i1 %negative, label %zero, label %loop
zero:
  ret i64 0
loop:
  %result = phi i64 [ 1, %entry ], [ %result.next, %loop ]
  %square = phi i64 [ %base, %entry ], [ %square.next, %loop ]
  %left = phi i64 [ %exponent, %entry ], [ %left.next, %loop ]
  %bit = and i64 %left, 1
  %odd = icmp ne i64 %bit, 0
  %product = mul i64 %result, %square
  %result.next = select i1 %odd, i64 %product, i64 %result
  %square.next = mul i64 %square, %square
  %left.next = lshr i64 %left, 1
  %more = icmp ne i64 %left.next, 0
  br i1 %more, label %loop, label %done
done:
  ret i64 %result.next
}"""
