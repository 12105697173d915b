// The approximations of the vector unit: reciprocal, square root, its reciprocal, 2^x, log2, sine and cosine of turns.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void approximate(global const float *restrict in, global float *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    float x = in[index];
    global float *to = out + 7 * index;
    to[0] = __builtin_amdgcn_rcpf(x);
    to[1] = __builtin_amdgcn_sqrtf(x);
    to[2] = __builtin_amdgcn_rsqf(x);
    to[3] = __builtin_amdgcn_exp2f(x - 8.0f);
    to[4] = __builtin_amdgcn_logf(x);
    to[5] = __builtin_amdgcn_sinf(x);
    to[6] = __builtin_amdgcn_cosf(x);
}
