// out[i] = the sum of sixteen registers after one of them, chosen by the index of the work-group, was replaced, plus another of
// them that was chosen alike: registers by index.
#include "device.h"

typedef uint sixteen __attribute__((ext_vector_type(16)));

GROUP_SIZE(64, 1)
kernel void vector_index(global const uint *restrict in, global uint *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    sixteen v;
    for (uint k = 0; k < 16; k++)
        v[k] = in[index] * (2 * k + 1);
    v[GROUP_X % 16] = 1000;
    uint sum = v[(GROUP_X * 7 + 3) % 16];
    for (uint k = 0; k < 16; k++)
        sum += v[k] * (k + 1);
    out[index] = sum;
}
