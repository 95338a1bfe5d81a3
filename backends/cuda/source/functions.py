"""Functions of the source that all kernels share: what C++ has no operator for, with the values at
NaN, overflow and zero divisors that `expr/functions.py` asks for. A source takes those it uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .joins import JOINS

_TEXTS = """
template <class T>
__device__ inline T smaller(T a, T b)
{
    return a < b || a != a ? a : b;
}

template <class T>
__device__ inline T larger(T a, T b)
{
    return a > b || a != a ? a : b;
}

template <class T>
__device__ inline T sign_of(T a)
{
    return a > T(0) ? T(1) : a < T(0) ? T(-1) : a == T(0) ? T(0) : a;
}

template <class T>
__device__ inline T magnitude(T a)
{
    return a < T(0) ? T(0 - (unsigned long long)a) : a;
}

template <class T>
__device__ inline T wrapping_add(T a, T b)
{
    return T((unsigned long long)a + (unsigned long long)b);
}

template <class T>
__device__ inline T wrapping_subtract(T a, T b)
{
    return T((unsigned long long)a - (unsigned long long)b);
}

template <class T>
__device__ inline T wrapping_multiply(T a, T b)
{
    return T((unsigned long long)a * (unsigned long long)b);
}

template <class T>
__device__ inline T shift_left(T a, T b)
{
    return sizeof(T) > 4 ? T((unsigned long long)a << b) : T((unsigned)a << b);
}

// Integer quotients and remainders: by zero they are 0, by -1 they wrap around.
template <class T>
__device__ inline T truncated_divide(T a, T b)
{
    if (b == T(0)) return T(0);
    return b == T(-1) ? T(0 - (unsigned long long)a) : T(a / b);
}

template <class T>
__device__ inline T truncated_modulo(T a, T b)
{
    return b == T(0) || b == T(-1) ? T(0) : T(a % b);
}

template <class T>
__device__ inline T floor_divide(T a, T b)
{
    if (b == T(0)) return T(0);
    if (b == T(-1)) return T(0 - (unsigned long long)a);
    T quotient = T(a / b), rest = T(a % b);
    return rest != T(0) && (rest < T(0)) != (b < T(0)) ? T(quotient - 1) : quotient;
}

template <class T>
__device__ inline T floor_modulo(T a, T b)
{
    if (b == T(0) || b == T(-1)) return T(0);
    T rest = T(a % b);
    return rest != T(0) && (rest < T(0)) != (b < T(0)) ? T(rest + b) : rest;
}

template <class T>
__device__ inline T unsigned_divide(T a, T b)
{
    return b == T(0) ? T(0) : T(a / b);
}

template <class T>
__device__ inline T unsigned_modulo(T a, T b)
{
    return b == T(0) ? T(0) : T(a % b);
}

template <class T>
__device__ inline T integer_power(T base, T exponent)
{
    if (exponent < T(0)) return T(0);
    unsigned long long result = 1, square = (unsigned long long)base;
    for (unsigned long long left = (unsigned long long)exponent; left != 0; left >>= 1) {
        if (left & 1) result *= square;
        square *= square;
    }
    return T(result);
}

// Floats rounded to zero; what does not fit becomes the nearest that does, NaN becomes 0.
template <class T, class F> __device__ inline T saturated(F x, T least, T most)
{
    if (x != x) return T(0);
    if (x <= F(least)) return least;
    return x >= F(most) ? most : T(x);
}

__device__ inline float infinity() { return __int_as_float(0x7f800000); }

__device__ inline float not_a_number() { return __int_as_float(0x7fc00000); }

// A zero of its sign instead of a subnormal number.
__device__ inline float flushed(float x) { return fabsf(x) < 0x1p-126f ? x * 0.0f : x; }

__device__ inline double flushed(double x) { return fabs(x) < 0x1p-1022 ? x * 0.0 : x; }

// The nearest number with ten bits after its first, halves to even.
__device__ inline float to_tf32_even(float x)
{
    int bits = __float_as_int(x);
    if ((bits & 0x7f800000) == 0x7f800000) return x;
    return __int_as_float((bits + 0xfff + (bits >> 13 & 1)) & ~0x1fff);
}

// A number with ten bits after its first, the rest cut off.
__device__ inline float cut_to_tf32(float x)
{
    return x != x ? x : __int_as_float(__float_as_int(x) & ~0x1fff);
}

// Whether a score of any lane, all of which have so many fragments, is not below 0, or a row has no
// total yet.
template <int rows, int columns>
__device__ inline void any_rises(float* to, const float* from, const float* total)
{
    int below = -1;
    bool rises = false;
    #pragma unroll
    for (int at = 0; at < 4 * rows * columns; ++at) below &= __float_as_int(from[at]);
    #pragma unroll
    for (int at = 0; at < 4 * rows; at += 2) rises |= total[at] == 0.0f;
    *to = __any_sync(0xffffffffu, rises || below >= 0) ? 1.0f : 0.0f;
}

// Sums of fragments side by side: each lane gets neighbours of the one whose number is its own
// among as many, two from each of so many lanes, where it had two of every fragment.
template <int count>
__device__ inline void quad_runs(float* to, const float* from)
{
    float own[4 * count];
    #pragma unroll
    for (int at = 0; at < 4 * count; ++at) own[at] = from[at];
    #pragma unroll
    for (int step = 1; step < count; step *= 2) {
        const bool is_upper = threadIdx.x & step;
        #pragma unroll
        for (int at = 0; at < 4 * count; ++at) {
            if (at / 4 & step) continue;
            const float low = own[at], high = own[at + 4 * step];
            const float got = __shfl_xor_sync(0xffffffffu, is_upper ? low : high, step);
            own[at] = is_upper ? got : low;
            own[at + 4 * step] = is_upper ? high : got;
        }
    }
    #pragma unroll
    for (int at = 0; at < 4 * count; ++at) {
        const int half = at % 4 / 2, e = at / 4 * 2 + at % 2;
        to[half * 2 * count + e] = own[at];
    }
}

// What a warpgroup is told of a matrix in shared memory, in rows of 128 bytes, swizzled eight at a
// time: where it begins, and how many bytes it is from the rows' first 128 bytes to the next, and
// from eight rows to the next eight, all in units of sixteen. What is of the array is found once:
// only how far the matrix is in it changes, in bits whose sum goes no further.
template <class T>
__device__ inline unsigned long long swizzled_matrix(const T* array, int first, int step)
{
    const unsigned place = (shared_place(array) & 0x3ffff) >> 4 | (unsigned)(step >> 4) << 16;
    const int distance = first * (int)sizeof(T) >> 4;
    return place + distance | 64ull << 32 | 1ull << 62;
}

// Remainder and quotient of floats with the divisor's sign, as NumPy makes them from fmod.
__device__ inline float modulo(float a, float b)
{
    float rest = fmodf(a, b);
    if (rest == 0.0f) return copysignf(0.0f, b);
    return (rest < 0.0f) != (b < 0.0f) ? rest + b : rest;
}

__device__ inline double modulo(double a, double b)
{
    double rest = fmod(a, b);
    if (rest == 0.0) return copysign(0.0, b);
    return (rest < 0.0) != (b < 0.0) ? rest + b : rest;
}

__device__ inline float floored_quotient(float a, float b)
{
    if (b == 0.0f) return a / b;
    float rest = fmodf(a, b), quotient = (a - rest) / b;
    if (rest != 0.0f && (rest < 0.0f) != (b < 0.0f)) quotient -= 1.0f;
    if (quotient == 0.0f) return copysignf(0.0f, a / b);
    float whole = floorf(quotient);
    return quotient - whole > 0.5f ? whole + 1.0f : whole;
}

__device__ inline double floored_quotient(double a, double b)
{
    if (b == 0.0) return a / b;
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0.0 && (rest < 0.0) != (b < 0.0)) quotient -= 1.0;
    if (quotient == 0.0) return copysign(0.0, a / b);
    double whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1.0 : whole;
}

__device__ inline float sigmoid(float x)
{
    float power = expf(-fabsf(x));
    return (x >= 0.0f ? 1.0f : power) / (1.0f + power);
}

__device__ inline double sigmoid(double x)
{
    double power = exp(-fabs(x));
    return (x >= 0.0 ? 1.0 : power) / (1.0 + power);
}

// The limit at -inf is 0, but -inf times 0 would be NaN.
__device__ inline float gelu(float x)
{
    float wide = x < -40.0f ? -40.0f : x;
    return wide * 0.5f * erfcf(wide * -0.70710678f);
}

__device__ inline double gelu(double x)
{
    double wide = x < -40.0 ? -40.0 : x;
    return wide * 0.5 * erfc(wide * -0.7071067811865476);
}

// Philox-4x32-10: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011).
__device__ inline long long philox(long long seed, long long stream, long long place)
{
    unsigned k0 = (unsigned)seed, k1 = (unsigned)((unsigned long long)seed >> 32);
    unsigned c0 = (unsigned)(place >> 1), c1 = (unsigned)((unsigned long long)(place >> 1) >> 32);
    unsigned c2 = (unsigned)stream, c3 = (unsigned)((unsigned long long)stream >> 32);
    for (int round = 0; round < 10; ++round) {
        unsigned long long left = c0 * 0xD2511F53ULL, right = c2 * 0xCD9E8D57ULL;
        c0 = (unsigned)(right >> 32) ^ c1 ^ k0;
        c1 = (unsigned)right;
        c2 = (unsigned)(left >> 32) ^ c3 ^ k1;
        c3 = (unsigned)left;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    unsigned long long first = place & 1 ? c2 : c0, second = place & 1 ? c3 : c1;
    return (long long)(first | second << 32);
}

__device__ inline float to_bf16(float x) { return bf16_value(bf16_bits(x)); }

__device__ inline float to_bf16(double x) { return bf16_value(bf16_bits(x)); }

__device__ inline float to_f16(float x) { return f16_value(f16_bits(x)); }

__device__ inline float to_f16(double x) { return f16_value(f16_bits(x)); }
"""


def _split(text: str) -> Mapping[str, str]:
    """The functions by name; overloads, which stand side by side, and the comment as one."""
    found: dict[str, str] = {}
    for piece in re.split(r"\n\n(?=template|__device__|//)", text.strip()):
        match = re.search(r"inline [\w ]*?(\w+)\(", piece)
        assert match is not None
        name = match[1]
        found[name] = f"{found[name]}\n\n{piece}" if name in found else piece
    return found


FUNCTIONS = {**_split(_TEXTS), **_split(JOINS)}
