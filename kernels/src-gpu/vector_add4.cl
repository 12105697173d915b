// out = a + b, four elements a work-item: how programs stream memory. A place is a scalar base and a 32-bit offset, so that nothing of
// 64 bits is worked out for each lane. `quads` counts four elements; the last work-group may be partial.
#include "device.h"

#define QUAD_AT(base, index) ((global char *)(base) + (index) * 16u)

GROUP_SIZE(256, 1)
kernel void vector_add4(global const float4 *restrict a, global const float4 *restrict b, global float4 *restrict out,
                        uint quads) {
    uint i = global_index(256);
    if (i < quads)
        *(global float4 *)QUAD_AT(out, i) = *(global const float4 *)QUAD_AT(a, i) + *(global const float4 *)QUAD_AT(b, i);
}
