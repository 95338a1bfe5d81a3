// Rows of the sums of a product: a lane has parts of two, and the four lanes of a quad the same two.
#pragma once

SHIM_WRAPPER void maxima_f32(float* most, const float* acc)
{
    for (int e = 0; e < 4; ++e) most[e / 2] = fmaxf(most[e / 2], acc[e]);
}
static void quad_maxima_f32(float* most, int line = __builtin_LINE())
{
    for (int step = 1; step < 4; step *= 2)
        for (int h = 0; h < 2; ++h)
            most[h] = fmaxf(most[h], __shfl_xor_sync(0xffffffffu, most[h], step, line));
}
SHIM_WRAPPER void powers_f32(float* to, const float* from)
{
    for (int e = 0; e < 4; ++e) {
        float power = exp2f(from[e]);
        to[e] = power < 0x1p-126f ? 0.0f : power;
    }
}
SHIM_WRAPPER void narrow_bf16(unsigned* to, const float* from)
{
    for (int e = 0; e < 4; ++e)
        to[e] = bf16_bits(from[2 * e]) | (unsigned)bf16_bits(from[2 * e + 1]) << 16;
}
SHIM_WRAPPER void narrow_f16(unsigned* to, const float* from)
{
    for (int e = 0; e < 4; ++e)
        to[e] = f16_bits(from[2 * e]) | (unsigned)f16_bits(from[2 * e + 1]) << 16;
}
static void row_sums_bf16(float* acc, const unsigned* a, int line = __builtin_LINE())
{
    const unsigned ones[2] = {0x3f803f80, 0x3f803f80};
    mma_bf16(acc, a, ones, line);
}
static void row_sums_f16(float* acc, const unsigned* a, int line = __builtin_LINE())
{
    const unsigned ones[2] = {0x3c003c00, 0x3c003c00};
    mma_f16(acc, a, ones, line);
}
