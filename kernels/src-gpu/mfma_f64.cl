// d = a * b for matrices of 16 rows and columns of doubles, one wave a matrix.
//
// The sums of a lane are every fourth row of a column.
#include "device.h"

typedef double sum_of_doubles __attribute__((ext_vector_type(4)));

GROUP_SIZE(64, 1)
kernel void mfma_f64(global const double *restrict a, global const double *restrict b, global double *restrict d) {
    uint lane = LOCAL_X, side = lane % 16, part = lane / 16, matrix = GROUP_X * 256;
    sum_of_doubles sum = {0, 0, 0, 0};
    for (uint k = 0; k < 16; k += 4)
        sum = __builtin_amdgcn_mfma_f64_16x16x4f64(a[matrix + side * 16 + k + part], b[matrix + (k + part) * 16 + side], sum,
                                                   0, 0, 0);
    for (uint k = 0; k < 4; k++)
        d[matrix + (4 * k + part) * 16 + side] = sum[k];
}
