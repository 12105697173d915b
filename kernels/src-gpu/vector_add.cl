// out[i] = a[i] + b[i]: the smallest useful program. The last work-group may be partial.
#include "device.h"

GROUP_SIZE(256, 1)
kernel void vector_add(global const float *restrict a, global const float *restrict b, global float *restrict out,
                       uint n) {
    uint i = global_index(256);
    if (i < n)
        out[i] = a[i] + b[i];
}
