// Products of fragments, that the lanes of a warp hold and multiply together.
#pragma once

template <class F>
SHIM_WRAPPER void shim_mma(float* acc, const unsigned* a, const unsigned* b, F value, int line)
{
    shim_given own = {0, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const shim_given* all = shim_meet(own, line);
    int lane = shim_current % 32;
    for (int e = 0; e < 4; ++e) {
        int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        for (int k = 0; k < 16; ++k) {
            unsigned left = all[row % 8 * 4 + k % 8 / 2].a[k / 8 * 2 + row / 8];
            unsigned right = all[column * 4 + k % 8 / 2].b[k / 8];
            int shift = k % 2 * 16;
            acc[e] += value((unsigned short)(left >> shift)) * value((unsigned short)(right >> shift));
        }
    }
}
// The machine reads ten bits after the first of each factor.
static float shim_tf32(float x) { return __int_as_float(__float_as_int(x) & ~0x1fff); }
SHIM_WRAPPER void mma_tf32(float* acc, const float* a, const float* b, int line = __builtin_LINE())
{
    shim_given own = {};
    for (int part = 0; part < 4; ++part) own.a[part] = (unsigned)__float_as_int(a[part]);
    for (int part = 0; part < 2; ++part) own.b[part] = (unsigned)__float_as_int(b[part]);
    const shim_given* all = shim_meet(own, line);
    int lane = shim_current % 32;
    for (int e = 0; e < 4; ++e) {
        int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        for (int k = 0; k < 8; ++k) {
            unsigned left = all[row % 8 * 4 + k % 4].a[k / 4 * 2 + row / 8];
            unsigned right = all[column * 4 + k % 4].b[k / 4];
            acc[e] += shim_tf32(__int_as_float((int)left)) * shim_tf32(__int_as_float((int)right));
        }
    }
}
static void mma_bf16(float* c, const unsigned* a, const unsigned* b, int line = __builtin_LINE())
{
    shim_mma(c, a, b, bf16_value, line);
}
static void mma_f16(float* c, const unsigned* a, const unsigned* b, int line = __builtin_LINE())
{
    shim_mma(c, a, b, f16_value, line);
}
