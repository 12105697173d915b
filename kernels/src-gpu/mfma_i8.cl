// d = a * b for matrices of 16 rows, 32 steps and 16 columns of signed bytes, one wave a matrix, exact in 32 bits.
//
// gfx90a takes four bytes a lane and needs two products, gfx942 eight and one.
#include "device.h"

typedef int sum4 __attribute__((ext_vector_type(4)));

GROUP_SIZE(64, 1)
kernel void mfma_i8(global const uint *restrict a, global const uint *restrict b, global int *restrict d) {
    uint lane = LOCAL_X, side = lane % 16, part = lane / 16;
    // Rows of a and columns of b: 32 bytes each, eight words.
    global const uint *row = a + GROUP_X * 128 + side * 8, *column = b + GROUP_X * 128 + side * 8;
    sum4 sum = {0, 0, 0, 0};
#ifdef __gfx942__
    long x = (long)((ulong)row[2 * part] | (ulong)row[2 * part + 1] << 32);
    long y = (long)((ulong)column[2 * part] | (ulong)column[2 * part + 1] << 32);
    sum = __builtin_amdgcn_mfma_i32_16x16x32_i8(x, y, sum, 0, 0, 0);
#else
    sum = __builtin_amdgcn_mfma_i32_16x16x16i8((int)row[part], (int)column[part], sum, 0, 0, 0);
    sum = __builtin_amdgcn_mfma_i32_16x16x16i8((int)row[4 + part], (int)column[4 + part], sum, 0, 0, 0);
#endif
    for (uint k = 0; k < 4; k++)
        d[GROUP_X * 256 + (4 * part + k) * 16 + side] = sum[k];
}
