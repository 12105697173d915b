// steps[i] = how often 3 x + 1 and x / 2 are taken from *start + i until 1: every lane leaves the loop at its own time.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void collatz(global uint *restrict steps, global const uint *restrict start, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    ulong x = *start + index;
    uint count = 0;
    while (x != 1) {
        x = x & 1 ? 3 * x + 1 : x / 2;
        count++;
    }
    steps[index] = count;
}
