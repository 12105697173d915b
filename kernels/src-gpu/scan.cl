// out[i] = the sum of in up to and including i within its block of 256, modulo 2^32: Hillis and Steele's scan in LDS.
#include "device.h"

GROUP_SIZE(256, 1)
kernel void scan(global const uint *restrict in, global uint *restrict out, uint n) {
    local uint sums[2][256];
    uint at = LOCAL_X, index = global_index(256), from = 0;
    sums[0][at] = index < n ? in[index] : 0;
    group_barrier();
    for (uint by = 1; by < 256; by *= 2) {
        sums[1 - from][at] = sums[from][at] + (at >= by ? sums[from][at - by] : 0);
        from = 1 - from;
        group_barrier();
    }
    if (index < n)
        out[index] = sums[from][at];
}
