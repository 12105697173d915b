// d = c + a * b for matrices of 32 rows and columns, one wave a matrix, on the matrix cores in single precision.
//
// Lane l holds row (column) l % 32 of a (b) and every second step of the inner dimension. The sums of a lane are four
// consecutive rows of a column, then four rows further on.
#include "device.h"

typedef float accumulator32 __attribute__((ext_vector_type(16)));

GROUP_SIZE(64, 1)
kernel void mfma_f32(global const float *restrict a, global const float *restrict b, global const float *restrict c,
                     global float *restrict d) {
    uint lane = LOCAL_X, side = lane % 32, half_ = lane / 32, matrix = GROUP_X * 1024;
    accumulator32 sum;
    for (uint k = 0; k < 16; k++)
        sum[k] = c[matrix + (8 * (k / 4) + 4 * half_ + k % 4) * 32 + side];
    for (uint k = 0; k < 32; k += 2)
        sum = __builtin_amdgcn_mfma_f32_32x32x2f32(a[matrix + side * 32 + k + half_], b[matrix + (k + half_) * 32 + side],
                                                   sum, 0, 0, 0);
    for (uint k = 0; k < 16; k++)
        d[matrix + (8 * (k / 4) + 4 * half_ + k % 4) * 32 + side] = sum[k];
}
