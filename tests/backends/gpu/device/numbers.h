// The bits of numbers, and narrow numbers as they lie in memory.
#pragma once

static inline float __int_as_float(int bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline int __float_as_int(float x) { int bits; memcpy(&bits, &x, 4); return bits; }

static inline float to_tf32(float x)
{
    int bits = __float_as_int(x);
    return fabsf(x) < INFINITY ? __int_as_float((bits + 0x1000) & ~0x1fff) : x;
}
static inline float f16_value(unsigned short bits)
{
    _Float16 half;
    memcpy(&half, &bits, 2);
    return (float)half;
}
template <class T> static inline unsigned short f16_bits(T x)
{
    _Float16 half = (_Float16)x;
    unsigned short bits;
    memcpy(&bits, &half, 2);
    return bits;
}

static inline float bf16_value(unsigned short bits)
{
    return __int_as_float((int)((unsigned)bits << 16));
}
static inline unsigned short bf16_bits(float x)
{
    unsigned bits = (unsigned)__float_as_int(x);
    if (x != x) return (unsigned short)((bits >> 16) | 0x40);
    return (unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
static inline unsigned short bf16_bits(double x)
{
    float near = (float)x;
    if (near == x || near != near) return bf16_bits(near);
    // Rounded to odd first, so that rounding again gives what rounding once would.
    int bits = __float_as_int(near);
    if (fabs((double)near) > fabs(x)) bits = (bits - 1) | 1;
    return bf16_bits(__int_as_float(bits | 1));
}
