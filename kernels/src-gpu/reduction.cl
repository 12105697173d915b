// partial[g] = the sum of work-group g's 1024 inputs: four per work-item, then a tree in LDS.
//
// Inputs past `n` count as zero. The order of additions is part of the contract: first the four inputs of a
// work-item 256 apart, in ascending order, then halves onto halves.
#include "device.h"

#define ITEMS 256u
#define PER_ITEM 4u

GROUP_SIZE(ITEMS, 1)
kernel void reduction(global const float *restrict input, global float *restrict partial, uint n) {
    local float sums[ITEMS];
    uint item = LOCAL_X;

    float sum = 0.0f;
    for (uint step = 0; step < PER_ITEM; step++) {
        uint i = (GROUP_X * PER_ITEM + step) * ITEMS + item;
        sum += i < n ? input[i] : 0.0f;
    }
    sums[item] = sum;
    group_barrier();

    for (uint half_count = ITEMS / 2; half_count > 0; half_count /= 2) {
        if (item < half_count)
            sums[item] += sums[item + half_count];
        group_barrier();
    }
    if (item == 0)
        partial[GROUP_X] = sums[0];
}
