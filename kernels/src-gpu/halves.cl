// Half precision in pairs: out = a * b + c fused, and the larger of a + c and b - c, two results a word.
#include "device.h"

#pragma OPENCL EXTENSION cl_khr_fp16 : enable

typedef half pair_of_halves __attribute__((ext_vector_type(2)));

GROUP_SIZE(64, 1)
kernel void halves(global const uint *restrict a, global const uint *restrict b, global const uint *restrict c,
                   global uint *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    pair_of_halves x = __builtin_astype(a[index], pair_of_halves), y = __builtin_astype(b[index], pair_of_halves);
    pair_of_halves z = __builtin_astype(c[index], pair_of_halves);
    out[2 * index] = __builtin_astype(__builtin_elementwise_fma(x, y, z), uint);
    out[2 * index + 1] = __builtin_astype(__builtin_elementwise_max(x + z, y - z), uint);
}
