// d = a * b for matrices of 16 rows and columns, one wave a matrix, from half and from bfloat16 elements.
//
// Both come as two to a word. A lane holds four consecutive elements of the inner dimension; the sum of halves is
// followed by that of bfloat16s in the result.
#include "device.h"

#pragma OPENCL EXTENSION cl_khr_fp16 : enable

typedef half half4_ __attribute__((ext_vector_type(4)));
typedef short short4_ __attribute__((ext_vector_type(4)));
typedef float accumulator16 __attribute__((ext_vector_type(4)));

GROUP_SIZE(64, 1)
kernel void mfma_f16(global const uint2 *restrict a, global const uint2 *restrict b, global float *restrict d) {
    uint lane = LOCAL_X, side = lane % 16, part = lane / 16;
    // Rows of a, columns of b: sixteen elements each, four to a pair of words.
    uint2 x = a[GROUP_X * 64 + side * 4 + part], y = b[GROUP_X * 64 + side * 4 + part];
    accumulator16 zero = {0, 0, 0, 0};
    accumulator16 halves =
        __builtin_amdgcn_mfma_f32_16x16x16f16(__builtin_astype(x, half4_), __builtin_astype(y, half4_), zero, 0, 0, 0);
    accumulator16 brains = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(__builtin_astype(x, short4_),
                                                                    __builtin_astype(y, short4_), zero, 0, 0, 0);
    for (uint k = 0; k < 4; k++) {
        d[GROUP_X * 512 + (4 * part + k) * 16 + side] = halves[k];
        d[GROUP_X * 512 + 256 + (4 * part + k) * 16 + side] = brains[k];
    }
}
